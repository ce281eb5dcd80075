"""What stands between a login and Authentik: each guard alone, and all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ropg_twisted.guard import rejected_passwords
from ropg_twisted.guard.breaker import OUTAGES_TO_OPEN, SECONDS_OPEN, Breaker
from ropg_twisted.guard.rejected_passwords import LIFETIME, MAX_PASSWORDS, RejectedPasswords
from ropg_twisted.guard.room import Room
from ropg_twisted.guard.shared import SharedChecks
from ropg_twisted.interfaces import Check, CodeRequest, IPasswordVerifier, Login, Person
from ropg_twisted.service import guarded
from ropg_twisted.verdict import OUTAGES, Reason, Verdict
from tests.fakes import RIGHT, Listens, Ponders, Says, outcome

WRONG = outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
STALE = outcome(Verdict.REJECTED, Reason.STALE_PASSWORD)
WRONG_CODE = outcome(Verdict.REJECTED, Reason.WRONG_CODE)
MFA = outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA)
DENIED = outcome(Verdict.DENIED, Reason.POLICY)
DOWN = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION)
OPEN = outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN)
OVERLOADED = outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED)
TIMEOUT = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_TIMEOUT)


class StrictClock(Clock):
    """A clock that refuses a delay below zero, as the reactor does."""

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """See :class:`IReactorTime`."""
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        return super().callLater(delay, callable, *args, **kw)


def ask(
    verifier: IPasswordVerifier, username: str = "alice", password: str = "x"
) -> Deferred[Check]:
    """A check that has begun."""
    return Deferred.fromCoroutine(verifier.verify(Login(username, password)))


def hang_up(check: Deferred[Check]) -> None:
    """Give up a check, as a client that goes away does."""
    check.addErrback(lambda failure: failure.trap(CancelledError) and None)
    check.cancel()


class RejectedPasswordsTests(SynchronousTestCase):
    """Refused passwords are not sent again."""

    def setUp(self) -> None:
        """A verifier that refuses, and its guard."""
        self.clock = Clock()
        self.verifier = Says(WRONG)
        self.guard = RejectedPasswords(self.verifier, self.clock)

    def answer(self, check: Check, username: str = "alice", password: str = "x") -> Check:
        """What a login comes to if Authentik would say ``check``."""
        self.verifier.check = check
        return self.successResultOf(ask(self.guard, username, password))

    def test_a_refusal_lasts_ten_minutes(self) -> None:
        """The same password of the same user is refused here until its time is over."""
        self.assertEqual(LIFETIME, 600)
        self.assertEqual(self.answer(WRONG), WRONG)
        for seconds in (0, 300, 299):
            self.clock.advance(seconds)
            self.assertEqual(self.answer(RIGHT), STALE)
        self.assertEqual(len(self.verifier.asked), 1)
        self.clock.advance(1)
        self.assertEqual(self.answer(WRONG), WRONG)
        self.assertEqual(self.answer(RIGHT), STALE)

    def test_it_is_about_one_password_of_one_user(self) -> None:
        """Other passwords, and the same password of others, are asked for."""
        self.answer(WRONG)
        for username, password in (("alice", "X"), ("alice", "x "), ("bob", "x"), ("alicex", "")):
            self.assertEqual(self.answer(MFA, username, password), MFA)

    def test_another_spelling_of_a_name_is_asked_for(self) -> None:
        """Authentik may tell names apart that are spelt alike: a refusal of one says nothing."""
        for spelling, name in (("Alice", "alice"), ("\uff41lice", "alice"), ("strasse", "straße")):
            self.assertEqual(self.answer(WRONG, spelling, "right"), WRONG)
            self.assertEqual(self.answer(RIGHT, name, "right"), RIGHT, spelling)

    def test_an_accepted_password_clears_the_user(self) -> None:
        """Whatever shows that Authentik accepts a password again forgets all refused ones."""
        for accepted in (RIGHT, MFA, WRONG_CODE):
            self.assertEqual(self.answer(WRONG, password="old"), WRONG)
            self.assertEqual(self.answer(WRONG, password="older"), WRONG)
            self.assertEqual(self.answer(WRONG, "bob", "old"), WRONG)
            self.assertEqual(self.answer(accepted, "ALICE", "new"), accepted)
            self.assertEqual(self.answer(RIGHT, password="old"), RIGHT)
            self.assertEqual(self.answer(RIGHT, password="older"), RIGHT)
            self.assertEqual(self.answer(RIGHT, "bob", "old"), STALE)
            self.clock.advance(LIFETIME)

    def test_only_refusals_are_remembered(self) -> None:
        """Nothing else that a check comes to keeps the next one from being asked."""
        for check in (RIGHT, MFA, WRONG_CODE, DENIED, DOWN, OVERLOADED, OPEN):
            self.assertEqual(self.answer(check), check)
            self.assertEqual(self.answer(check), check)
        self.assertEqual(self.answer(WRONG), WRONG)
        for check in (DENIED, DOWN, OVERLOADED):
            self.assertEqual(self.answer(check, password="other"), check)
        self.assertEqual(self.answer(RIGHT), STALE)

    def test_memory_is_bounded(self) -> None:
        """The refusals that have not been of use for longest are forgotten first."""
        for number in range(MAX_PASSWORDS + 1):
            self.answer(WRONG, password=str(number))
        self.assertEqual(self.answer(DOWN, password="0"), DOWN)
        self.assertEqual(self.answer(DOWN, password="1"), STALE)
        self.patch(rejected_passwords, "MAX_USERS", 2)
        for username in ("bob", "alice", "carol"):
            self.answer(WRONG, username, "new")
        self.assertEqual(self.answer(DOWN, "bob", "new"), DOWN)
        self.assertEqual(self.answer(DOWN, "alice", "new"), STALE)
        self.assertEqual(self.answer(DOWN, "carol", "new"), STALE)

    def test_a_refusal_that_is_new_again_is_forgotten_last(self) -> None:
        """A password that was refused once more, after its time, is younger than the others."""
        for number in range(MAX_PASSWORDS):
            self.answer(WRONG, password=str(number))
        self.clock.advance(LIFETIME)
        for number in (0, *range(2, MAX_PASSWORDS + 1)):
            self.assertEqual(self.answer(WRONG, password=str(number)), WRONG)
        for number in (0, *range(2, MAX_PASSWORDS + 1)):
            self.assertEqual(self.answer(RIGHT, password=str(number)), STALE, number)

    def test_no_password_is_kept(self) -> None:
        """Whatever a password came to, nothing that the guard holds shows it."""
        for check in (WRONG, DOWN, RIGHT, WRONG):
            self.answer(check, password="canary")
        self.verifier.asked.clear()
        kept = repr(vars(self.guard))
        self.assertIn("alice", kept)
        self.assertNotIn("canary", kept)


@implementer(IPasswordVerifier)
class Lingers(Ponders):
    """Takes a while to give up: ``ending`` holds what it waits for when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.ending: list[Deferred[None]] = []

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        try:
            return await super().verify(login)
        finally:
            end: Deferred[None] = Deferred()
            self.ending.append(end)
            await end


class SharedChecksTests(SynchronousTestCase):
    """One walk for all who ask the same at the same moment."""

    def setUp(self) -> None:
        """A verifier that waits for the test, and its guard."""
        self.verifier = Ponders()
        self.guard = SharedChecks(self.verifier)

    def test_identical_checks_share_a_walk(self) -> None:
        """The same name and password are asked for once, and all hear the same."""
        checks = [ask(self.guard) for _ in range(3)]
        self.assertEqual(self.verifier.asked, [Login("alice", "x")])
        self.verifier.waiting.pop().callback(RIGHT)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 3)

    def test_other_checks_walk_alone(self) -> None:
        """Another password, another name and another spelling are other checks."""
        for username, password in (("alice", "x"), ("alice", "y"), ("bob", "x"), ("ALICE", "x")):
            ask(self.guard, username, password).addErrback(lambda _: None)
        ask(self.guard, "alicex", "").addErrback(lambda _: None)
        self.assertEqual(len(self.verifier.waiting), 5)

    def test_what_is_for_one_alone_is_not_shared(self) -> None:
        """Another code of a second factor, and tokens for one client, need a walk of their own."""
        tokens = CodeRequest("mac", None, "https://mac.example.com/", ("openid",))
        logins = [Login("alice", "x", code=code) for code in (None, "123456", "654321", "123456")]
        for login in (*logins, *[Login("alice", "x", tokens=tokens)] * 2):
            Deferred.fromCoroutine(self.guard.verify(login)).addErrback(lambda _: None)
        self.assertEqual(len(self.verifier.waiting), 5)

    def test_a_walk_that_is_over_is_not_joined(self) -> None:
        """The next check after the end walks again, at once or later."""
        first = ask(self.guard)
        again: list[Deferred[Check]] = []
        first.addCallback(lambda _: again.append(ask(self.guard)))
        self.verifier.waiting.pop().callback(WRONG)
        self.assertEqual(len(self.verifier.asked), 2)
        self.verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(again[0]), RIGHT)

    def test_one_who_hangs_up_disturbs_nobody(self) -> None:
        """The walk goes on for those who stay, whoever began it."""
        for gone in range(3):
            checks = [ask(self.guard) for _ in range(3)]
            hang_up(checks.pop(gone))
            [walk] = self.verifier.waiting
            self.verifier.waiting.clear()
            walk.callback(RIGHT)
            self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 2)

    def test_the_last_who_hangs_up_ends_the_walk(self) -> None:
        """A walk that nobody waits for is cancelled, and the next check begins a new one."""
        checks = [ask(self.guard) for _ in range(3)]
        for check in checks:
            self.assertEqual(len(self.verifier.waiting), 1)
            hang_up(check)
        self.assertEqual(self.verifier.waiting, [])
        check = ask(self.guard)
        self.verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(check), RIGHT)

    def test_a_walk_that_is_being_given_up_is_not_joined(self) -> None:
        """A walk may need a moment to end: who comes then walks alone and is not cancelled."""
        verifier = Lingers()
        guard = SharedChecks(verifier)
        hang_up(ask(guard))
        check = ask(guard)
        self.assertEqual(len(verifier.asked), 2)
        verifier.ending[0].callback(None)
        joined = ask(guard)
        self.assertEqual(len(verifier.asked), 2)
        verifier.waiting[-1].callback(RIGHT)
        verifier.ending[1].callback(None)
        self.assertEqual([self.successResultOf(one) for one in (check, joined)], [RIGHT] * 2)

    def test_an_answer_may_make_another_hang_up(self) -> None:
        """Who goes away because somebody else was answered does it without an error."""
        first, second, third = (ask(self.guard) for _ in range(3))
        first.addCallback(lambda _: hang_up(second))
        self.verifier.waiting.pop().callback(RIGHT)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.successResultOf(third), RIGHT)

    def test_failures_reach_all(self) -> None:
        """An exception is nobody's answer: all who wait for the walk meet it."""
        checks = [ask(self.guard) for _ in range(3)]
        self.verifier.waiting.pop().errback(Failure(ZeroDivisionError()))
        for check in checks:
            self.failureResultOf(check, ZeroDivisionError)

    def test_answers_that_are_there_at_once(self) -> None:
        """A verifier that needs no time is asked each time, and leaves nothing behind."""
        verifier = Says(RIGHT)
        guard = SharedChecks(verifier)
        for number in range(1, 4):
            self.assertEqual(self.successResultOf(ask(guard)), RIGHT)
            self.assertEqual(len(verifier.asked), number)


class BreakerTests(SynchronousTestCase):
    """An Authentik that is down is left alone."""

    def setUp(self) -> None:
        """A verifier that finds Authentik down, and its guard."""
        self.clock = Clock()
        self.verifier = Says(DOWN)
        self.guard = Breaker(self.verifier, self.clock)
        self.events = Listens(self).events

    def answer(self, check: Check) -> Check:
        """What a login comes to if a walk would come to ``check``."""
        self.verifier.check = check
        return self.successResultOf(ask(self.guard))

    def open(self) -> None:
        """Meet as many outages as it takes."""
        for _ in range(OUTAGES_TO_OPEN):
            self.assertEqual(self.answer(DOWN), DOWN)
        self.assertEqual(self.answer(RIGHT), OPEN)

    def said(self) -> list[str]:
        """What the log says of the breaker."""
        return [event["log_format"].rpartition(": ")[2] for event in self.events]

    def test_outages_in_a_row_open_it(self) -> None:
        """After so many outages of any kind, and not before, nobody is asked; said once."""
        reasons = sorted(OUTAGES)
        for number in range(OUTAGES_TO_OPEN):
            check = outcome(Verdict.UNVERIFIABLE, reasons[number % len(reasons)])
            self.assertEqual(self.answer(check), check)
        for _ in range(3):
            self.assertEqual(self.answer(RIGHT), OPEN)
        self.assertEqual(len(self.verifier.asked), OUTAGES_TO_OPEN)
        self.assertEqual(self.said(), ["breaker open"])

    def test_any_answer_of_authentik_resets_the_row(self) -> None:
        """An Authentik that answers something is not down, whatever it says."""
        for check in (RIGHT, WRONG, MFA, DENIED, outcome(Verdict.UNVERIFIABLE, Reason.FLOW_ERROR)):
            for _ in range(OUTAGES_TO_OPEN - 1):
                self.assertEqual(self.answer(DOWN), DOWN)
            self.assertEqual(self.answer(check), check)
        self.assertEqual(self.said(), [])

    def test_what_says_nothing_of_authentik_changes_nothing(self) -> None:
        """A check that never got a place is no sign of life: neither the row nor a probe ends."""
        for _ in range(OUTAGES_TO_OPEN - 1):
            self.answer(DOWN)
            self.assertEqual(self.answer(OVERLOADED), OVERLOADED)
        self.answer(DOWN)
        self.assertEqual(self.answer(RIGHT), OPEN)
        self.clock.advance(SECONDS_OPEN)
        self.assertEqual(self.answer(OVERLOADED), OVERLOADED)
        self.assertEqual(self.answer(RIGHT), OPEN)
        self.assertEqual(self.said(), ["breaker open"])

    def test_one_probe_at_a_time(self) -> None:
        """After its time one check goes through, and the others go on being spared."""
        self.open()
        for _ in range(3):
            self.clock.advance(SECONDS_OPEN - 1)
            self.assertEqual(self.answer(RIGHT), OPEN)
            self.clock.advance(1)
            self.assertEqual(self.answer(DOWN), DOWN)
            self.assertEqual(self.answer(RIGHT), OPEN)
        self.assertEqual(self.said(), ["breaker open"])

    def test_a_probe_that_is_answered_closes_it(self) -> None:
        """Authentik is asked again by all, and a single outage does not open it anew."""
        for check in (RIGHT, WRONG, MFA, DENIED):
            self.open()
            self.clock.advance(SECONDS_OPEN)
            self.assertEqual(self.answer(check), check)
            self.assertEqual(self.answer(check), check)
            self.assertEqual(self.answer(DOWN), DOWN)
            self.assertEqual(self.answer(check), check)
        self.assertEqual(self.said(), ["breaker open", "breaker closed"] * 4)

    def about_to_probe(self) -> tuple[Breaker, Ponders]:
        """A breaker whose next check is a probe, and the verifier behind it."""
        verifier = Ponders()
        guard = Breaker(verifier, self.clock)
        for _ in range(OUTAGES_TO_OPEN):
            check = ask(guard)
            verifier.waiting.pop().callback(DOWN)
            self.successResultOf(check)
        self.clock.advance(SECONDS_OPEN)
        return guard, verifier

    def test_only_the_probe_is_under_way(self) -> None:
        """While the probe walks, nobody else does."""
        guard, verifier = self.about_to_probe()
        probe = ask(guard)
        self.assertEqual(self.successResultOf(ask(guard)), OPEN)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(probe), RIGHT)

    def test_a_lost_probe_does_not_lock_it(self) -> None:
        """After a probe that was given up, or broke, there is another in its time."""
        guard, verifier = self.about_to_probe()
        hang_up(ask(guard))
        self.clock.advance(SECONDS_OPEN)
        broken = ask(guard)
        verifier.waiting.pop().errback(Failure(ZeroDivisionError()))
        self.failureResultOf(broken, ZeroDivisionError)
        self.assertEqual(self.successResultOf(ask(guard)), OPEN)
        self.clock.advance(SECONDS_OPEN)
        probe = ask(guard)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(probe), RIGHT)


class RoomTests(SynchronousTestCase):
    """So many checks at a time, and so long for each."""

    PLACES = 2
    DEADLINE = 10

    def setUp(self) -> None:
        """A verifier that waits for the test, and its guard."""
        self.clock = StrictClock()
        self.verifier = Ponders()
        self.room = Room(self.verifier, self.PLACES, self.DEADLINE, self.clock)

    def asked(self) -> str:
        """Who has been let in, in order, by the letters of their names."""
        return "".join(login.username for login in self.verifier.asked)

    def expect_empty(self) -> None:
        """All places are free, and no time-out is left running."""
        self.assertEqual(self.verifier.waiting, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        before = len(self.verifier.asked)
        checks = [ask(self.room) for _ in range(self.PLACES + 1)]
        self.assertEqual(len(self.verifier.asked) - before, self.PLACES)
        for check in reversed(checks):
            hang_up(check)

    def test_only_so_many_at_a_time_and_in_order(self) -> None:
        """One is let in for each that ends, in the order in which they came."""
        checks = [ask(self.room, name) for name in "abcdef"]
        for let_in in ("ab", "abc", "abcd", "abcde", "abcdef", "abcdef"):
            self.assertEqual(self.asked(), let_in)
            self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 6)
        self.expect_empty()

    def test_a_walk_that_takes_too_long(self) -> None:
        """At the deadline a walk is given up, and its place is free."""
        check = ask(self.room)
        self.clock.advance(self.DEADLINE - 1)
        self.assertNoResult(check)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(check), TIMEOUT)
        self.expect_empty()

    def test_the_wait_is_part_of_the_deadline(self) -> None:
        """A walk that begins late has only the rest of the time."""
        checks = [ask(self.room, name) for name in "abc"]
        self.clock.advance(self.DEADLINE - 1)
        self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual(self.asked(), "abc")
        self.clock.advance(1)
        self.assertEqual(
            [self.successResultOf(check) for check in checks], [RIGHT, TIMEOUT, TIMEOUT]
        )
        self.expect_empty()

    def test_a_wait_that_takes_too_long(self) -> None:
        """Who gets no place until the deadline is told so, and was never let in."""
        verifier = Lingers()
        room = Room(verifier, self.PLACES, self.DEADLINE, self.clock)
        walks = [ask(room) for _ in range(self.PLACES)]
        self.clock.advance(1)
        waits = ask(room)
        self.clock.advance(self.DEADLINE - 1)
        self.assertNoResult(waits)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waits), OVERLOADED)
        for end in verifier.ending:
            end.callback(None)
        self.assertEqual([self.successResultOf(walk) for walk in walks], [TIMEOUT] * self.PLACES)
        self.assertEqual(len(verifier.asked), self.PLACES)

    def test_a_place_that_comes_free_too_late(self) -> None:
        """A reactor that was busy past the deadline hands a place on without a mistake."""
        checks = [ask(self.room, name) for name in "abc"]
        self.clock.rightNow += self.DEADLINE + 1
        self.verifier.waiting.pop(0).callback(RIGHT)
        self.clock.advance(0)
        answers: list[Any] = []
        for check in checks:
            check.addBoth(answers.append)
        self.assertIn(answers[2], (OVERLOADED, TIMEOUT))
        self.assertEqual(answers[:2], [RIGHT, TIMEOUT])
        self.expect_empty()

    def test_who_gives_up_waiting_is_passed_over(self) -> None:
        """A wait that is given up takes no place."""
        checks = [ask(self.room, name) for name in "abcd"]
        hang_up(checks[2])
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(self.asked(), "abd")

    def test_a_walk_comes_to_its_end_whoever_waits(self) -> None:
        """Authentik is at work until then, and a session may have to be removed."""
        checks = [ask(self.room, name) for name in "abc"]
        hang_up(checks[0])
        self.assertEqual((self.asked(), len(self.verifier.waiting)), ("ab", 2))
        self.verifier.waiting.pop(0).callback(RIGHT)
        self.assertEqual(self.asked(), "abc")
        hang_up(checks[1])
        hang_up(checks[2])
        self.clock.advance(self.DEADLINE)
        self.assertEqual(self.verifier.waiting, [])
        self.expect_empty()

    def test_a_mistake_gives_the_place_back(self) -> None:
        """An exception ends a walk as an answer does, and who waits is let in."""
        checks = [ask(self.room, name) for name in "abcd"]
        for check in checks:
            self.verifier.waiting.pop(0).errback(Failure(ZeroDivisionError()))
            self.failureResultOf(check, ZeroDivisionError)
        self.expect_empty()


class Walk:
    """One walk of :class:`Scripted`; ``result`` is for the test to fire."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.pair = (login.username, login.password)
        self.result: Deferred[Check] = Deferred()


@implementer(IPasswordVerifier)
class Scripted:
    """Walks that come to what the test says, and when; ``walks`` are those under way."""

    def __init__(self) -> None:
        self.walks: list[Walk] = []

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        walk = Walk(login)
        self.walks.append(walk)
        try:
            return await walk.result
        finally:
            self.walks.remove(walk)


class Caller:
    """One who logs in at the guards, and whatever it hears."""

    def __init__(self, verifier: IPasswordVerifier, username: str, password: str) -> None:
        self.pair = (username, password)
        self.gone = False
        self.heard: list[Check | Failure] = []
        self._check = ask(verifier, username, password)
        self._check.addBoth(self.heard.append)

    def hang_up(self) -> None:
        """Go away."""
        self.gone = self.gone or not self.heard
        self._check.cancel()


PLACES, DEADLINE = 2, 10

NUMBERS = st.integers(0, 7)
LOGINS = st.tuples(st.just("ask"), st.sampled_from("aab"), st.sampled_from("xy"))
STEPS = st.lists(
    st.one_of(
        LOGINS,
        LOGINS,
        st.tuples(st.just("end"), NUMBERS, st.sampled_from([RIGHT, WRONG, WRONG, MFA, DENIED])),
        st.tuples(st.just("end"), NUMBERS, st.just(DOWN)),
        st.tuples(st.just("break"), NUMBERS),
        st.tuples(st.just("hang up"), NUMBERS),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 4, DEADLINE, LIFETIME - 1, LIFETIME])),
    ),
    min_size=25,
    max_size=60,
)


class AllGuards:
    """Logins, answers, exceptions, hang-ups and time, in any order, and what must hold of them."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = StrictClock()
        self.scripted = Scripted()
        self.guards = guarded(self.scripted, PLACES, DEADLINE, self.clock)
        self.callers: list[Caller] = []
        self.refused: dict[tuple[str, str], float] = {}
        self.ended: Check | None = None

    def step(self, kind: str, *what: Any) -> None:
        """Do one thing, and look at everybody."""
        before = [len(caller.heard) for caller in self.callers]
        match kind:
            case "ask":
                self.callers.append(Caller(self.guards, *what))
            case "wait":
                self.clock.advance(what[0])
            case "hang up" if self.callers:
                self.callers[-1 - what[0] % len(self.callers)].hang_up()
            case "end" | "break" if self.scripted.walks:
                self.end(self.scripted.walks[what[0] % len(self.scripted.walks)], *what[1:])
        self.look(before)

    def end(self, walk: Walk, check: Check | None = None) -> None:
        """Bring a walk to its end: by a check, or else by a mistake."""
        if check is None:
            walk.result.errback(ZeroDivisionError())
            return
        if check == WRONG:
            self.refused[walk.pair] = self.clock.seconds()
        person = check.person and Person(":".join(walk.pair), walk.login.username)
        walk.result.callback(Check(check.outcome, person))

    def look(self, before: list[int]) -> None:
        """Nobody has heard what is not so."""
        pairs = [walk.pair for walk in self.scripted.walks]
        self.test.assertLessEqual(len(pairs), PLACES)
        for pair, walks in Counter(pairs).items():
            left = sum(caller.gone for caller in self.callers if caller.pair == pair)
            self.test.assertLessEqual(walks, 1 + left, pair)
        for caller, known in zip(self.callers, [*before, 0], strict=False):
            self.test.assertLessEqual(len(caller.heard), 1, caller.pair)
            if known < len(caller.heard):
                self.judge(caller, caller.heard[0])

    def judge(self, caller: Caller, answer: Check | Failure) -> None:
        """An answer that a caller has just got is its own, and true."""
        if isinstance(answer, Failure):
            self.test.assertIs(answer.type, CancelledError if caller.gone else ZeroDivisionError)
            return
        self.test.assertFalse(caller.gone)
        if answer.person is not None:
            self.test.assertEqual(answer.person.sub, ":".join(caller.pair))
        if answer.outcome.verdict is Verdict.REJECTED:
            self.test.assertIn(caller.pair, self.refused)
            age = self.clock.seconds() - self.refused[caller.pair]
            self.test.assertLess(age, LIFETIME)

    def finish(self) -> None:
        """Whatever has happened, in the end everybody is answered and every place is free."""
        self.step("wait", DEADLINE)
        self.step("wait", DEADLINE)
        self.test.assertEqual(
            [len(caller.heard) for caller in self.callers], [1] * len(self.callers)
        )
        self.test.assertEqual((self.scripted.walks, self.clock.getDelayedCalls()), ([], []))
        for check in (WRONG, WRONG):
            self.step("ask", "probe", f"{len(self.callers)}")
            self.step("end", 0, check)
        for name in range(PLACES + 1):
            self.step("ask", f"last{name}", "x")
        self.test.assertEqual(len(self.scripted.walks), PLACES)


class AllGuardsTests(SynchronousTestCase):
    """Every guard round one verifier, under random logins."""

    @given(STEPS)
    def test_any_order_of_things(self, steps: list[tuple[Any, ...]]) -> None:
        """Each login is answered once and truly, within its places, and nothing stays behind."""
        guards = AllGuards(self)
        for step in steps:
            guards.step(*step)
        guards.finish()
