"""The circuit breaker."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.circuit_breaker import OUTAGES_TO_OPEN, SECONDS_OPEN, CircuitBreaker
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.interfaces import CheckResult, LoginAttempt
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict
from tests.fakes import RIGHT, CapturedLog, FixedVerifier, PendingVerifier, outcome
from tests.guard.fakes import (
    DENIED,
    DOWN,
    DOWN_LATER,
    MFA,
    OPEN,
    WRONG,
    WRONG_CODE,
    LateWhenCancelledVerifier,
    ask,
    hang_up,
)


class CircuitBreakerTests(SynchronousTestCase):
    """An Authentik that is down is left alone."""

    def setUp(self) -> None:
        """A verifier that finds Authentik down, and its guard."""
        self.clock = Clock()
        self.verifier = FixedVerifier(DOWN)
        self.guard = CircuitBreaker(self.verifier, self.clock)
        self.events = CapturedLog(self).events

    def answer(
        self, check: CheckResult, username: str = "alice", address: str | None = "192.0.2.7"
    ) -> CheckResult:
        """The result of a login if the verifier would return ``check``."""
        self.verifier.check = check
        client = None if address is None else ip_address(address)
        login = LoginAttempt(username, "x", client)
        return self.successResultOf(Deferred.fromCoroutine(self.guard.verify(login)))

    def open(self) -> None:
        """Meet as many outages as it takes."""
        for _ in range(OUTAGES_TO_OPEN):
            self.assertEqual(self.answer(DOWN), DOWN)
        self.assertEqual(self.answer(RIGHT), OPEN)

    def said(self) -> list[str]:
        """The log lines of the circuit breaker."""
        return [event["log_format"].rpartition(": ")[2] for event in self.events]

    def test_outages_in_a_row_open_it(self) -> None:
        """After so many outages of any kind, and not before, nobody is asked; said once."""
        reasons = sorted(OUTAGES)
        for number in range(OUTAGES_TO_OPEN):
            check = CheckResult(Outcome(Verdict.UNVERIFIABLE, reasons[number % len(reasons)]))
            check = replace(check, authentik_down=True)
            self.assertEqual(self.answer(check), check)
        for _ in range(3):
            self.assertEqual(self.answer(RIGHT), OPEN)
        self.assertEqual(len(self.verifier.asked), OUTAGES_TO_OPEN)
        self.assertEqual(self.said(), ["breaker open"])

    def test_any_answer_of_authentik_resets_the_row(self) -> None:
        """An Authentik that answers something is not down, whatever it says."""
        flow_error = outcome(Verdict.UNVERIFIABLE, Reason.FLOW_ERROR)
        identity = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_IDENTITY)
        for check in (RIGHT, WRONG, WRONG_CODE, MFA, DENIED, flow_error, identity):
            for _ in range(OUTAGES_TO_OPEN - 1):
                self.assertEqual(self.answer(DOWN), DOWN)
            self.assertEqual(self.answer(check), check)
        self.assertEqual(self.said(), [])

    def ambiguous(self) -> list[CheckResult]:
        """Checks that do not tell whether Authentik is down."""
        reasons = (*OUTAGES, Reason.OVERLOADED, Reason.INTERNAL_ERROR)
        checks = [outcome(Verdict.UNVERIFIABLE, reason) for reason in reasons]
        return [*checks, *[replace(check, name_sent=True) for check in checks]]

    def test_what_says_nothing_of_authentik_changes_nothing(self) -> None:
        """It is neither an outage nor a sign of life."""
        for _ in range(OUTAGES_TO_OPEN):
            for check in self.ambiguous():
                self.assertEqual(self.answer(check), check)
            self.answer(DOWN)
        self.assertEqual(self.answer(RIGHT), OPEN)
        self.assertEqual(self.said(), ["breaker open"])

    def test_outages_after_the_name_count_once_for_their_user_and_network(self) -> None:
        """A client whose passwords a firewall cuts off takes nobody's checks away."""
        clients = [(f"user{n}", f"192.0.2.{n}") for n in range(OUTAGES_TO_OPEN)]
        for username, address in clients[:-1]:
            for _ in range(3):
                self.answer(DOWN_LATER, username, address)
                self.answer(DOWN_LATER, username.upper(), "203.0.113.1")
                self.answer(DOWN_LATER, f"another {username}", address)
        self.assertEqual(self.said(), [])
        self.answer(DOWN_LATER, *clients[-1])
        self.assertEqual(self.said(), ["breaker open"])
        self.assertEqual(self.answer(RIGHT), OPEN)

    def test_who_has_failed_is_forgotten_after_a_sign_of_life(self) -> None:
        """Each row begins with nobody."""
        for _ in range(2):
            for number in range(OUTAGES_TO_OPEN - 1):
                self.answer(DOWN_LATER, f"user{number}", None)
            self.assertEqual(self.answer(RIGHT), RIGHT)
        for number in range(OUTAGES_TO_OPEN):
            self.answer(DOWN_LATER, f"user{number}", None)
        self.assertEqual(self.answer(RIGHT), OPEN)

    def test_outages_before_the_name_count_each(self) -> None:
        """The name had not been sent yet, so the client does not matter."""
        self.answer(DOWN_LATER)
        self.answer(DOWN_LATER)
        for _ in range(OUTAGES_TO_OPEN - 1):
            self.assertEqual(self.said(), [])
            self.answer(DOWN)
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

    def test_a_probe_that_tells_nothing_is_followed_by_the_next(self) -> None:
        """A probe that got no slot, was late, or failed for its own user, keeps nobody out."""
        self.open()
        self.clock.advance(SECONDS_OPEN)
        for check in (*self.ambiguous(), DOWN_LATER, DOWN_LATER):
            self.assertEqual(self.answer(check), check)
        self.assertEqual(self.answer(RIGHT), RIGHT)
        self.assertEqual(self.said(), ["breaker open", "breaker closed"])

    def about_to_probe(self) -> tuple[CircuitBreaker, PendingVerifier]:
        """A circuit breaker whose next check is a probe, and the verifier behind it."""
        verifier = PendingVerifier()
        guard = CircuitBreaker(verifier, self.clock)
        for _ in range(OUTAGES_TO_OPEN):
            check = ask(guard)
            verifier.waiting.pop().callback(DOWN)
            self.successResultOf(check)
        self.clock.advance(SECONDS_OPEN)
        return guard, verifier

    def test_only_the_probe_is_under_way(self) -> None:
        """While the probe walks, nobody else does, however long it takes."""
        guard, verifier = self.about_to_probe()
        probe = ask(guard)
        for _ in range(3):
            self.assertEqual(self.successResultOf(ask(guard)), OPEN)
            self.clock.advance(SECONDS_OPEN)
        verifier.waiting.pop().callback(DOWN)
        self.assertEqual(self.successResultOf(probe), DOWN)
        self.assertEqual(self.successResultOf(ask(guard)), OPEN)
        self.clock.advance(SECONDS_OPEN)
        probe = ask(guard)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(probe), RIGHT)

    def test_a_lost_probe_lets_another_through(self) -> None:
        """A probe that was given up, or broke, is followed at once."""
        guard, verifier = self.about_to_probe()
        for _ in range(2):
            hang_up(ask(guard))
        broken = ask(guard)
        verifier.waiting.pop().errback(Failure(ZeroDivisionError()))
        self.failureResultOf(broken, ZeroDivisionError)
        probe = ask(guard)
        self.assertEqual(self.successResultOf(ask(guard)), OPEN)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(probe), RIGHT)

    def test_a_probe_that_waits_for_a_place_is_given_up_by_its_client(self) -> None:
        """Through all guards: who hangs up in the queue does not leave the others shut out."""
        verifier = LateWhenCancelledVerifier()
        guards = guarded(verifier, 1, 30, self.clock, Plausibility(self.clock))
        for number in range(OUTAGES_TO_OPEN):
            check = ask(guards, f"user{number}")
            if number == OUTAGES_TO_OPEN - 1:
                straggler = ask(guards, "straggler")
            verifier.waiting.pop(0).callback(DOWN)
            self.assertEqual(self.successResultOf(check), DOWN)
        self.clock.advance(SECONDS_OPEN)
        hang_up(ask(guards))
        self.assertEqual(len(verifier.waiting), 1)
        probe = ask(guards, "bob")
        self.assertEqual(self.successResultOf(ask(guards, "carol")), OPEN)
        verifier.waiting.pop().callback(DOWN_LATER)
        self.assertEqual(self.successResultOf(straggler), DOWN_LATER)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(probe), RIGHT)
        self.assertNoResult(ask(guards, "carol"))

    def test_who_was_under_way_when_it_opened_closes_it_as_well(self) -> None:
        """A late answer is an answer, and a late outage tells nothing new."""
        verifier = PendingVerifier()
        guard = CircuitBreaker(verifier, self.clock)
        checks = [ask(guard, f"user{n}") for n in range(OUTAGES_TO_OPEN + 2)]
        for _ in range(OUTAGES_TO_OPEN):
            verifier.waiting.pop().callback(DOWN)
        self.clock.advance(SECONDS_OPEN - 1)
        verifier.waiting.pop().callback(DOWN)
        self.assertEqual(self.successResultOf(ask(guard)), OPEN)
        verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(len([check for check in checks if self.successResultOf(check)]), 10)
        self.assertNoResult(ask(guard))
        self.assertEqual(self.said(), ["breaker open", "breaker closed"])
