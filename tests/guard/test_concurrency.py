"""The concurrency limit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.concurrency import MAX_WAIT, QUEUE_FACTOR, ConcurrencyLimit
from tests.fakes import RIGHT, FailingVerifier, FixedVerifier
from tests.guard.fakes import (
    DEADLINE,
    NUMBERS,
    OVERLOADED,
    PLACES,
    TIMEOUT,
    WRONG,
    ControlledVerifier,
    LateWhenCancelledVerifier,
    LoginClient,
    SlowToCancelVerifier,
    StrictClock,
    ask,
    hang_up,
)


class ConcurrencyLimitTests(SynchronousTestCase):
    """So many checks at a time, so many that wait, and so long for each."""

    PLACES = 2
    DEADLINE = 10
    WAIT = 5
    """Seconds that a check may wait: half of its deadline."""

    def setUp(self) -> None:
        """A verifier that waits for the test, and its guard."""
        self.clock = StrictClock()
        self.verifier = LateWhenCancelledVerifier()
        self.limit = ConcurrencyLimit(self.verifier, self.PLACES, self.DEADLINE, self.clock)

    def asked(self) -> str:
        """The checks that were let in, in order, by the letters of their names."""
        return "".join(login.username for login in self.verifier.asked)

    def expect_empty(self) -> None:
        """All places are free, the queue is empty, and no time-out is left running."""
        self.assertEqual(self.verifier.waiting, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        before = len(self.verifier.asked)
        room = (1 + QUEUE_FACTOR) * self.PLACES
        checks = [ask(self.limit) for _ in range(room + 1)]
        self.assertEqual(len(self.verifier.asked) - before, self.PLACES)
        self.assertEqual(self.successResultOf(checks.pop()), OVERLOADED)
        for _ in range(room):
            self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * room)

    def test_only_so_many_at_a_time_and_in_order(self) -> None:
        """A check is let in for each that ends, in the order in which they came."""
        checks = [ask(self.limit, name) for name in "abcdef"]
        for let_in in ("ab", "abc", "abcd", "abcde", "abcdef", "abcdef"):
            self.assertEqual(self.asked(), let_in)
            self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 6)
        self.expect_empty()

    def test_who_finds_the_queue_full_is_told_at_once(self) -> None:
        """It is four times as long as there are places; who leaves it makes room."""
        checks = [ask(self.limit, name) for name in "abcdefghij"]
        for _ in range(3):
            self.assertEqual(self.successResultOf(ask(self.limit, "k")), OVERLOADED)
        hang_up(checks[5])
        checks.append(ask(self.limit, "l"))
        self.assertEqual(self.successResultOf(ask(self.limit, "m")), OVERLOADED)
        while self.verifier.waiting:
            self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual(self.asked(), "abcdeghijl")
        self.expect_empty()

    def test_a_walk_that_takes_too_long(self) -> None:
        """At the deadline a walk is given up, and its place is free."""
        check = ask(self.limit)
        self.clock.advance(self.DEADLINE - 1)
        self.assertNoResult(check)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(check), TIMEOUT)
        self.expect_empty()

    def test_a_place_is_taken_until_the_walk_has_really_ended(self) -> None:
        """A walk that needs a moment to give up keeps its place, and its client waits for it."""
        verifier = SlowToCancelVerifier()
        limit = ConcurrencyLimit(verifier, 1, self.DEADLINE, self.clock)
        late = ask(limit)
        self.clock.advance(self.DEADLINE - 1)
        waits = ask(limit)
        self.clock.advance(1)
        self.assertNoResult(late)
        self.assertEqual(len(verifier.asked), 1)
        verifier.ending.pop().callback(None)
        self.failureResultOf(late)
        self.assertEqual(len(verifier.asked), 2)
        verifier.waiting.pop().callback(RIGHT)
        verifier.ending.pop().callback(None)
        self.assertEqual(self.successResultOf(waits), RIGHT)

    def test_the_wait_is_part_of_the_deadline(self) -> None:
        """A walk that begins late has the rest of the time, which is half of it at least."""
        check = [ask(self.limit, name) for name in "abc"][-1]
        self.clock.advance(self.WAIT - 1)
        self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual(self.asked(), "abc")
        self.clock.advance(self.DEADLINE - self.WAIT)
        self.assertNoResult(check)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(check), TIMEOUT)
        self.expect_empty()

    def test_a_wait_that_takes_too_long(self) -> None:
        """A check that gets no slot within half of the deadline is told so, and is never let in."""
        walks = [ask(self.limit) for _ in range(self.PLACES)]
        self.clock.advance(1)
        waits = ask(self.limit, "late")
        self.clock.advance(self.WAIT - 1)
        self.assertNoResult(waits)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waits), OVERLOADED)
        while self.verifier.waiting:
            self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual([self.successResultOf(walk) for walk in walks], [RIGHT] * self.PLACES)
        self.assertNotIn("late", self.asked())
        self.expect_empty()

    def test_a_place_that_comes_free_too_late(self) -> None:
        """A reactor that was busy hands a place on to the next whose time is not over."""
        checks = [ask(self.limit, name) for name in "abc"]
        self.clock.rightNow += self.WAIT - 1
        checks.append(ask(self.limit, "d"))
        self.clock.rightNow += 1
        self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual(self.asked(), "abd")
        self.assertEqual(self.successResultOf(checks[2]), OVERLOADED)
        self.clock.advance(0)
        for walk in list(self.verifier.waiting):
            walk.callback(RIGHT)
        self.assertEqual(self.successResultOf(checks[3]), RIGHT)
        self.verifier.waiting.clear()
        self.expect_empty()

    def test_who_gives_up_waiting_is_passed_over(self) -> None:
        """A wait that is given up takes no place."""
        checks = [ask(self.limit, name) for name in "abcd"]
        checks[2].cancel()
        self.failureResultOf(checks[2], CancelledError)
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(self.asked(), "abd")

    def test_who_asks_again_at_once_is_behind_those_who_wait(self) -> None:
        """A place that comes free in the middle of an answer is for the next in the queue."""
        checks = [ask(self.limit, name) for name in "abcd"]
        checks[2].addCallback(lambda _: ask(self.limit, "c again"))
        self.limit._verifier = at_once = FixedVerifier(RIGHT)
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual([login.username for login in at_once.asked], ["c", "d", "c again"])

    def test_a_walk_comes_to_its_end_whoever_gives_up(self) -> None:
        """Authentik is at work until then, and what it says counts."""
        checks = [ask(self.limit, name) for name in "abc"]
        for _ in range(3):
            checks[0].cancel()
        self.assertEqual((self.asked(), len(self.verifier.waiting)), ("ab", 2))
        self.verifier.waiting.pop(0).callback(WRONG)
        self.assertEqual(self.successResultOf(checks[0]), WRONG)
        self.assertEqual(self.asked(), "abc")
        checks[1].cancel()
        checks[2].cancel()
        self.clock.advance(self.DEADLINE)
        for check in checks[1:]:
            self.assertEqual(self.successResultOf(check), TIMEOUT)
        self.expect_empty()

    def test_the_end_waits_for_checks_that_have_begun(self) -> None:
        """Also for one whose client has hung up, and for one that fails."""
        first, second = (ask(self.limit, name) for name in "ab")
        hang_up(first)
        end = Deferred.fromCoroutine(self.limit.finished())
        self.verifier.waiting.pop().errback(Failure(ZeroDivisionError()))
        self.failureResultOf(second, ZeroDivisionError)
        self.assertNoResult(end)
        self.verifier.waiting.pop().callback(RIGHT)
        self.successResultOf(end)
        self.expect_empty()

    def test_a_mistake_gives_the_place_back(self) -> None:
        """An exception ends a walk as an answer does, and who waits is let in."""
        checks = [ask(self.limit, name) for name in "abcd"]
        checks[1].cancel()
        for check in checks:
            self.verifier.waiting.pop(0).errback(Failure(ZeroDivisionError()))
            self.failureResultOf(check, ZeroDivisionError)
        self.expect_empty()


class FloodTests(SynchronousTestCase):
    """Three hundred checks that wait for sixty-four places."""

    PLACES = 64
    DEADLINE = 15

    def setUp(self) -> None:
        """All of them have come at the same moment."""
        self.clock = StrictClock()
        self.verifier = LateWhenCancelledVerifier()
        self.limit = ConcurrencyLimit(self.verifier, self.PLACES, self.DEADLINE, self.clock)
        self.checks = [ask(self.limit) for _ in range(self.PLACES + 300)]
        self.waiting = self.checks[self.PLACES :][: QUEUE_FACTOR * self.PLACES]

    def expect_free(self) -> None:
        """Every place is free."""
        self.assertEqual(self.verifier.waiting, [])
        self.verifier.asked.clear()
        for _ in range(self.PLACES):
            ask(self.limit)
        self.assertEqual(len(self.verifier.asked), self.PLACES)

    def test_all_expire_at_once(self) -> None:
        """Everybody is answered, nobody is let in too late, and no place is lost."""
        for check in self.checks[self.PLACES + len(self.waiting) :]:
            self.assertEqual(self.successResultOf(check), OVERLOADED)
        self.clock.advance(MAX_WAIT * self.DEADLINE)
        self.assertEqual({self.successResultOf(check) for check in self.waiting}, {OVERLOADED})
        self.clock.advance(self.DEADLINE)
        walks = self.checks[: self.PLACES]
        self.assertEqual({self.successResultOf(check) for check in walks}, {TIMEOUT})
        self.assertEqual(len(self.verifier.asked), self.PLACES)
        self.expect_free()

    def test_walks_and_waits_that_expire_in_one_turn(self) -> None:
        """A reactor that was busy for long finds the time of all of them over."""
        self.clock.advance(2 * self.DEADLINE)
        for check in self.checks:
            self.assertIn(self.successResultOf(check), (OVERLOADED, TIMEOUT))
        self.expect_free()

    def test_walks_that_end_at_once(self) -> None:
        """Checks are let in one after the other, however many they are."""
        self.limit._verifier = FixedVerifier(RIGHT)
        self.verifier.waiting.pop().callback(RIGHT)
        self.assertEqual({self.successResultOf(check) for check in self.waiting}, {RIGHT})
        for walk in list(self.verifier.waiting):
            walk.callback(RIGHT)
        self.verifier.waiting.clear()
        self.limit._verifier = self.verifier
        self.expect_free()

    def test_mistakes_that_are_made_at_once(self) -> None:
        """They give their places back as well."""
        self.limit._verifier = FailingVerifier(RIGHT)
        self.verifier.waiting.pop().callback(RIGHT)
        for check in self.waiting:
            self.failureResultOf(check, ZeroDivisionError)
        for walk in list(self.verifier.waiting):
            walk.callback(RIGHT)
        self.verifier.waiting.clear()
        self.limit._verifier = self.verifier
        self.expect_free()

    def test_all_hang_up(self) -> None:
        """Checks that wait leave no trace; logins under way are waited for."""
        for check in reversed(self.checks):
            hang_up(check)
        self.assertEqual(len(self.verifier.waiting), self.PLACES)
        self.clock.advance(self.DEADLINE)
        self.assertEqual(len(self.verifier.asked), self.PLACES)
        self.expect_free()


ARRIVALS = st.tuples(st.just("arrive"), st.integers(1, 6))


LIMIT_STEPS = st.lists(
    st.one_of(
        ARRIVALS,
        ARRIVALS,
        st.tuples(st.just("end"), NUMBERS),
        st.tuples(st.just("break"), NUMBERS),
        st.tuples(st.just("hang up"), NUMBERS),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 2, 3, 5, DEADLINE])),
        st.tuples(st.just("be busy"), st.sampled_from([0.5, 4, 5, DEADLINE])),
        st.tuples(st.just("answer at once"), st.booleans()),
    ),
    min_size=10,
    max_size=60,
)


class ConcurrencyModel:
    """Arrivals, ends, hang-ups and time at a concurrency limit, and what must hold of them."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = StrictClock()
        self.verifier = ControlledVerifier(self.clock)
        self.limit = ConcurrencyLimit(self.verifier, PLACES, DEADLINE, self.clock)
        self.clients: list[LoginClient] = []

    def step(self, kind: str, what: Any) -> None:
        """Do one thing, and look at everybody."""
        walks = self.verifier.pending
        match kind:
            case "arrive":
                for _ in range(what):
                    name = f"{len(self.clients)}"
                    self.clients.append(LoginClient(self.limit, self.clock, name, "x"))
            case "end" if walks:
                walks[what % len(walks)].result.callback(RIGHT)
            case "break" if walks:
                walks[what % len(walks)].result.errback(ZeroDivisionError())
            case "hang up" if self.clients:
                self.clients[-1 - what % len(self.clients)].hang_up()
            case "wait":
                self.clock.advance(what)
            case "be busy":
                self.clock.rightNow += what
            case "answer at once":
                self.verifier.at_once = RIGHT if what else None
        self.probe()

    def probe(self) -> None:
        """No more walk than may, nobody is passed by, and everybody has time enough."""
        test, verifier = self.test, self.verifier
        names = [int(walk.login.username) for walk in verifier.begun]
        waiting = [
            client
            for number, client in enumerate(self.clients)
            if not client.results and number not in names
        ]
        test.assertLessEqual(len(verifier.pending), PLACES)
        test.assertLessEqual(len(waiting), QUEUE_FACTOR * PLACES)
        test.assertEqual(names, sorted(names))
        if waiting:
            test.assertEqual(len(verifier.pending), PLACES)
        for walk in verifier.begun:
            came = self.clients[int(walk.login.username)].came
            test.assertLess(walk.began - came, MAX_WAIT * DEADLINE)
        for number, client in enumerate(self.clients):
            test.assertLessEqual(len(client.results), 1)
            if client.results and isinstance(failure := client.results[0], Failure):
                test.assertIs(
                    failure.type, ZeroDivisionError if number in names else CancelledError
                )
            elif client.results:
                test.assertEqual(client.results[0] == OVERLOADED, number not in names)

    def finish(self) -> None:
        """Within one deadline everybody is answered, and every place is free."""
        self.step("answer at once", False)
        self.step("wait", DEADLINE)
        self.test.assertEqual([c for c in self.clients if len(c.results) != 1], [])
        self.test.assertEqual((self.verifier.pending, self.clock.getDelayedCalls()), ([], []))
        self.step("arrive", PLACES)
        self.test.assertEqual(len(self.verifier.pending), PLACES)


class AnyLoadTests(SynchronousTestCase):
    """A concurrency limit under any load."""

    @given(LIMIT_STEPS)
    def test_any_order_of_things(self, steps: list[tuple[str, Any]]) -> None:
        """Everybody is answered in time and in turn, and no place is lost."""
        load = ConcurrencyModel(self)
        for step in steps:
            load.step(*step)
        load.finish()
