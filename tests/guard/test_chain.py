"""All guards together."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.guard.rejected_passwords import LIFETIME
from ropg_twisted.interfaces import CheckResult, LoginAttempt, User
from ropg_twisted.verdict import Verdict
from tests.fakes import RIGHT
from tests.guard.fakes import (
    DEADLINE,
    DENIED,
    DOWN,
    MFA,
    NUMBERS,
    OVERLOADED,
    PLACES,
    STALE,
    TOKENS,
    WRONG,
    ControlledVerifier,
    LateWhenCancelledVerifier,
    LoginClient,
    PendingCheck,
    StrictClock,
    ask,
    hang_up,
)


class ImpatientClientTests(SynchronousTestCase):
    """Clients that hang up, and what they leave behind, through all guards."""

    def setUp(self) -> None:
        """All guards round a verifier that waits for the test."""
        self.clock = StrictClock()
        self.verifier = LateWhenCancelledVerifier()
        self.guards = guarded(self.verifier, 64, 15, self.clock, Plausibility(self.clock))

    def refuse(self) -> None:
        """Let Authentik refuse all that is under way."""
        walks, self.verifier.waiting = self.verifier.waiting, []
        for walk in walks:
            walk.callback(WRONG)

    def test_guesses_of_a_client_that_hangs_up_at_once(self) -> None:
        """The refusal of each reaches the guards: no guess is tried at Authentik twice."""
        guesses = [f"user{number}" for number in range(50)]
        for tokens in (None, TOKENS):
            for username in guesses:
                login = LoginAttempt(username, f"{tokens}", tokens=tokens)
                hang_up(Deferred.fromCoroutine(self.guards.verify(login)))
            self.refuse()
            for username in guesses:
                answer = self.successResultOf(ask(self.guards, username, f"{tokens}"))
                self.assertEqual(answer, STALE)
        self.assertEqual(len(self.verifier.asked), 100)

    def test_one_stale_password_of_an_impatient_client(self) -> None:
        """It reaches Authentik once, while that takes its time, and is remembered afterwards."""
        for _ in range(20):
            hang_up(ask(self.guards))
            self.clock.advance(0.5)
        self.assertEqual(len(self.verifier.asked), 1)
        self.refuse()
        for _ in range(20):
            self.assertEqual(self.successResultOf(ask(self.guards)), STALE)
        self.assertEqual(len(self.verifier.asked), 1)

    def test_a_client_that_hangs_up_in_the_queue(self) -> None:
        """It gives up its place there, is never told to Authentik, and nothing is remembered."""
        walks = [ask(self.guards, f"user{number}") for number in range(64)]
        waits = [ask(self.guards, "alice", f"guess {number}") for number in range(256)]
        self.assertEqual(self.successResultOf(ask(self.guards, "bob")), OVERLOADED)
        for check in waits:
            hang_up(check)
        bob = ask(self.guards, "bob")
        self.assertNoResult(bob)
        self.refuse()
        self.assertEqual({self.successResultOf(walk) for walk in walks}, {WRONG})
        self.refuse()
        self.assertEqual(self.successResultOf(bob), WRONG)
        self.assertEqual(len(self.verifier.asked), 65)
        self.assertNoResult(ask(self.guards, "alice", "guess 0"))


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


class ChainModel:
    """Logins, answers, exceptions, hang-ups and time, in any order, and what must hold of them."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = StrictClock()
        self.verifier = ControlledVerifier(self.clock)
        plausibility = Plausibility(self.clock)
        self.guards = guarded(self.verifier, PLACES, DEADLINE, self.clock, plausibility)
        self.clients: list[LoginClient] = []
        self.refused: dict[tuple[str, str], float] = {}
        self.ended: CheckResult | None = None

    def step(self, kind: str, *what: Any) -> None:
        """Do one thing, and look at everybody."""
        before = [len(client.results) for client in self.clients]
        match kind:
            case "ask":
                self.clients.append(LoginClient(self.guards, self.clock, *what))
            case "wait":
                self.clock.advance(what[0])
            case "hang up" if self.clients:
                self.clients[-1 - what[0] % len(self.clients)].hang_up()
            case "end" | "break" if self.verifier.pending:
                self.end(self.verifier.pending[what[0] % len(self.verifier.pending)], *what[1:])
        self.probe(before)

    def end(self, walk: PendingCheck, check: CheckResult | None = None) -> None:
        """Bring a walk to its end: by a check, or else by a mistake."""
        if check is None:
            walk.result.errback(ZeroDivisionError())
            return
        if check == WRONG:
            self.refused[walk.pair] = self.clock.seconds()
        person = check.user and User(":".join(walk.pair), walk.login.username)
        walk.result.callback(CheckResult(check.outcome, person))

    def probe(self, before: list[int]) -> None:
        """Every new result is true, and no more checks run than may."""
        pairs = [walk.pair for walk in self.verifier.pending]
        self.test.assertLessEqual(len(pairs), PLACES)
        self.test.assertEqual(len(pairs), len(set(pairs)))
        for client, known in zip(self.clients, [*before, 0], strict=False):
            self.test.assertLessEqual(len(client.results), 1, client.pair)
            if known < len(client.results):
                self.judge(client, client.results[0])

    def judge(self, client: LoginClient, answer: CheckResult | Failure) -> None:
        """An answer that a client has just got is its own, and true."""
        if isinstance(answer, Failure):
            self.test.assertIs(answer.type, CancelledError if client.gone else ZeroDivisionError)
            return
        self.test.assertFalse(client.gone)
        if answer.user is not None:
            self.test.assertEqual(answer.user.sub, ":".join(client.pair))
        if answer.outcome.verdict is Verdict.REJECTED:
            self.test.assertIn(client.pair, self.refused)
            age = self.clock.seconds() - self.refused[client.pair]
            self.test.assertLess(age, LIFETIME)

    def finish(self) -> None:
        """Every client is answered in the end, and every place is free."""
        self.step("wait", DEADLINE)
        self.step("wait", DEADLINE)
        self.test.assertEqual(
            [len(client.results) for client in self.clients], [1] * len(self.clients)
        )
        self.test.assertEqual((self.verifier.pending, self.clock.getDelayedCalls()), ([], []))
        for check in (WRONG, WRONG):
            self.step("ask", "probe", f"{len(self.clients)}")
            self.step("end", 0, check)
        for name in range(PLACES + 1):
            self.step("ask", f"last{name}", "x")
        self.test.assertEqual(len(self.verifier.pending), PLACES)


class AllGuardsTests(SynchronousTestCase):
    """Every guard round one verifier, under random logins."""

    @given(STEPS)
    def test_any_order_of_things(self, steps: list[tuple[Any, ...]]) -> None:
        """Each login is answered once and truly, within its places, and nothing stays behind."""
        guards = ChainModel(self)
        for step in steps:
            guards.step(*step)
        guards.finish()
        # Mistakes that nobody was left to be told of.
        self.flushLoggedErrors(ZeroDivisionError)
