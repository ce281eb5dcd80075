"""What stands between a login and Authentik: each guard alone, and all of them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
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
from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.circuit_breaker import OUTAGES_TO_OPEN, SECONDS_OPEN, CircuitBreaker
from ropg_twisted.guard.coalesce import CoalescedChecks
from ropg_twisted.guard.concurrency import MAX_WAIT, QUEUE_FACTOR, ConcurrencyLimit
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.guard.rejected_passwords import LIFETIME, MAX_PASSWORDS, RejectedPasswords
from ropg_twisted.interfaces import CheckResult, CodeRequest, IPasswordVerifier, LoginAttempt, User
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, UpstreamError, Verdict
from tests.fakes import RIGHT, CapturedLog, FailingVerifier, FixedVerifier, PendingVerifier, outcome

WRONG = outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
STALE = outcome(Verdict.REJECTED, Reason.STALE_PASSWORD)
WRONG_CODE = outcome(Verdict.REJECTED, Reason.WRONG_CODE)
MFA = outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA)
DENIED = outcome(Verdict.DENIED, Reason.POLICY)
DOWN = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION), authentik_down=True)
DOWN_LATER = replace(DOWN, name_sent=True)
OPEN = outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN)
OVERLOADED = outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED)
TIMEOUT = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_TIMEOUT)
TOKENS = CodeRequest("mac", None, "https://mac.example.com/", ("openid",))


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
) -> Deferred[CheckResult]:
    """A check that has begun."""
    return Deferred.fromCoroutine(verifier.verify(LoginAttempt(username, password)))


def hang_up(check: Deferred[CheckResult]) -> None:
    """Give up a check, as a client that goes away does."""
    check.addErrback(lambda failure: failure.trap(CancelledError) and None)
    check.cancel()


class RejectedPasswordsTests(SynchronousTestCase):
    """Refused passwords are not sent again."""

    def setUp(self) -> None:
        """A verifier that refuses, and its guard."""
        self.clock = Clock()
        self.verifier = FixedVerifier(WRONG)
        self.guard = RejectedPasswords(self.verifier, self.clock)

    def answer(
        self, check: CheckResult, username: str = "alice", password: str = "x"
    ) -> CheckResult:
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
        self.guard = RejectedPasswords(self.verifier, self.clock)
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
class LateWhenCancelledVerifier(PendingVerifier):
    """Is under way at Authentik until the test says; cancelled there, it was late."""

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        try:
            return await super().verify(login)
        except CancelledError:
            return TIMEOUT


@implementer(IPasswordVerifier)
class SlowToCancelVerifier(PendingVerifier):
    """Takes a while to give up: ``ending`` holds what it waits for when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.ending: list[Deferred[None]] = []

    async def verify(self, login: LoginAttempt) -> CheckResult:
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
        self.verifier = PendingVerifier()
        self.guard = CoalescedChecks(self.verifier)

    def test_identical_checks_share_a_walk(self) -> None:
        """The same name and password are asked for once, and all hear the same."""
        checks = [ask(self.guard) for _ in range(3)]
        self.assertEqual(self.verifier.asked, [LoginAttempt("alice", "x")])
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
        logins = [
            LoginAttempt("alice", "x", code=code) for code in (None, "123456", "654321", "123456")
        ]
        for login in (*logins, *[LoginAttempt("alice", "x", tokens=TOKENS)] * 2):
            Deferred.fromCoroutine(self.guard.verify(login)).addErrback(lambda _: None)
        self.assertEqual(len(self.verifier.waiting), 5)

    def test_a_walk_that_is_over_is_not_joined(self) -> None:
        """The next check after the end walks again, at once or later."""
        first = ask(self.guard)
        again: list[Deferred[CheckResult]] = []
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

    def test_who_hangs_up_is_told_at_once(self) -> None:
        """Alone, with others, or with tokens to come, and whatever becomes of the walk."""
        guard = CoalescedChecks(ConcurrencyLimit(self.verifier, 3, 10, Clock()))
        for login in (
            LoginAttempt("alice", "x"),
            LoginAttempt("alice", "x"),
            LoginAttempt("bob", "x", tokens=TOKENS),
        ):
            check = Deferred.fromCoroutine(guard.verify(login))
            check.cancel()
            self.failureResultOf(check, CancelledError)
        self.assertEqual([login.username for login in self.verifier.asked], ["alice", "bob"])
        self.assertEqual(len(self.verifier.waiting), 2)

    def test_the_last_who_hangs_up_ends_a_walk_that_has_not_begun(self) -> None:
        """A check that waits and that nobody waits for is cancelled; the next is a new one."""
        checks = [ask(self.guard) for _ in range(3)]
        for check in checks:
            self.assertEqual(len(self.verifier.waiting), 1)
            hang_up(check)
        self.assertEqual(self.verifier.waiting, [])
        check = ask(self.guard)
        self.verifier.waiting.pop().callback(RIGHT)
        self.assertEqual(self.successResultOf(check), RIGHT)

    def test_a_walk_that_has_begun_is_joined_until_it_ends(self) -> None:
        """However often its only client hangs up and asks again, it is one walk."""
        guard = CoalescedChecks(ConcurrencyLimit(self.verifier, 2, 10, Clock()))
        for _ in range(2000):
            hang_up(ask(guard))
        check = ask(guard)
        self.assertEqual(len(self.verifier.asked), 1)
        self.verifier.waiting.pop().callback(WRONG)
        self.assertEqual(self.successResultOf(check), WRONG)
        self.assertNoResult(ask(guard))
        self.assertEqual(len(self.verifier.asked), 2)

    def test_a_walk_that_is_being_given_up_begins_again(self) -> None:
        """A walk may need a moment to end: who joins it then is not cancelled with it."""
        verifier = SlowToCancelVerifier()
        guard = CoalescedChecks(verifier)
        hang_up(ask(guard))
        checks = [ask(guard), ask(guard)]
        self.assertEqual(len(verifier.asked), 1)
        verifier.ending[0].callback(None)
        self.assertEqual(len(verifier.asked), 2)
        checks.append(ask(guard))
        hang_up(checks.pop(0))
        verifier.waiting.pop().callback(RIGHT)
        verifier.ending[1].callback(None)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 2)
        self.assertEqual(len(verifier.asked), 2)

    def test_a_walk_that_ends_as_cancelled_by_itself(self) -> None:
        """It does not begin again for ever: who waits for it is told."""
        check = ask(self.guard)
        self.verifier.waiting.pop().errback(CancelledError())
        self.failureResultOf(check, CancelledError)
        self.assertEqual(len(self.verifier.asked), 1)

    def test_a_mistake_behind_a_client_that_has_gone_is_logged(self) -> None:
        """Once; and nothing is, if somebody is there to be told or if there was no mistake."""
        events = CapturedLog(self).events
        guard = CoalescedChecks(ConcurrencyLimit(self.verifier, 2, 10, Clock()))
        for stays, mistakes in ((False, 1), (True, 1), (False, 2)):
            hang_up(ask(guard))
            if stays:
                ask(guard).addErrback(lambda _: None)
            self.verifier.waiting.pop().errback(ZeroDivisionError())
            self.assertEqual([e["log_format"] for e in events], ["internal_error"] * mistakes)
        hang_up(ask(guard))
        self.verifier.waiting.pop().callback(WRONG)
        hang_up(ask(self.guard))
        self.assertEqual(len(events), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

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
        verifier = FixedVerifier(RIGHT)
        guard = CoalescedChecks(verifier)
        for number in range(1, 4):
            self.assertEqual(self.successResultOf(ask(guard)), RIGHT)
            self.assertEqual(len(verifier.asked), number)


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
        """What a login comes to if a walk would come to ``check``."""
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
        """What the log says of the circuit breaker."""
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
        """Whatever the same client sends, it had not been sent yet."""
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
        """One that got no place, was late, or failed for its own user, keeps nobody out."""
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


class WhoseFaultTests(SynchronousTestCase):
    """Which faults say that Authentik itself is down."""

    def test_before_the_name_every_outage_does_and_later_only_what_breaks(self) -> None:
        """A silence or an odd answer after the name may be about this user alone."""
        always = {Reason.UPSTREAM_CONNECTION: True, Reason.UPSTREAM_TLS: False}
        before = (Reason.UPSTREAM_BODY, Reason.UPSTREAM_STATUS, Reason.UPSTREAM_TIMEOUT)
        for reason, transient in always.items():
            for name_sent in (False, True):
                fault = UpstreamError(reason, transient=transient, name_sent=name_sent)
                self.assertTrue(fault.authentik_down, (reason, name_sent))
        for reason in before:
            self.assertTrue(UpstreamError(reason, name_sent=False).authentik_down, reason)
            self.assertFalse(UpstreamError(reason, name_sent=True).authentik_down, reason)
        self.assertTrue(UpstreamError(Reason.UPSTREAM_STATUS, transient=True).authentik_down)
        self.assertEqual(OUTAGES, {*always, *before})
        for reason in set(Reason) - OUTAGES:
            self.assertFalse(UpstreamError(reason, name_sent=False).authentik_down, reason)


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
        """Who has been let in, in order, by the letters of their names."""
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
        """One is let in for each that ends, in the order in which they came."""
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
        """Who gets no place within half of the deadline is told so, and is never let in."""
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
        """One after the other is let in, ends and lets the next in, however many they are."""
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
        """Those who wait leave no trace; those who walk are waited for."""
        for check in reversed(self.checks):
            hang_up(check)
        self.assertEqual(len(self.verifier.waiting), self.PLACES)
        self.clock.advance(self.DEADLINE)
        self.assertEqual(len(self.verifier.asked), self.PLACES)
        self.expect_free()


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


class Walk:
    """One walk of :class:`Scripted`; ``result`` is for the test to fire."""

    def __init__(self, login: LoginAttempt, began: float) -> None:
        self.login = login
        self.began = began
        self.pair = (login.username, login.password)
        self.result: Deferred[CheckResult] = Deferred()


@implementer(IPasswordVerifier)
class Scripted:
    """Walks that come to what the test says, and when; ``walks`` are those under way.

    ``at_once``: what a walk comes to that need not wait. ``begun``: all walks there were.
    """

    def __init__(self, clock: Clock) -> None:
        self.walks: list[Walk] = []
        self.begun: list[Walk] = []
        self.at_once: CheckResult | None = None
        self._clock = clock

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        walk = Walk(login, self._clock.seconds())
        self.begun.append(walk)
        if self.at_once is not None:
            return self.at_once
        self.walks.append(walk)
        try:
            return await walk.result
        except CancelledError:
            return TIMEOUT
        finally:
            self.walks.remove(walk)


class Caller:
    """One who logs in at the guards, and whatever it hears, and when."""

    def __init__(
        self, verifier: IPasswordVerifier, clock: Clock, username: str, password: str
    ) -> None:
        self.pair = (username, password)
        self.gone = False
        self.came = clock.seconds()
        self.heard: list[CheckResult | Failure] = []
        self._check = ask(verifier, username, password)
        self._check.addBoth(self.heard.append)

    def hang_up(self) -> None:
        """Go away."""
        self.gone = self.gone or not self.heard
        self._check.cancel()


PLACES, DEADLINE = 2, 10

NUMBERS = st.integers(0, 15)
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


class AnyLoad:
    """Arrivals, ends, hang-ups and time at a concurrency limit, and what must hold of them."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = StrictClock()
        self.scripted = Scripted(self.clock)
        self.limit = ConcurrencyLimit(self.scripted, PLACES, DEADLINE, self.clock)
        self.callers: list[Caller] = []

    def step(self, kind: str, what: Any) -> None:
        """Do one thing, and look at everybody."""
        walks = self.scripted.walks
        match kind:
            case "arrive":
                for _ in range(what):
                    name = f"{len(self.callers)}"
                    self.callers.append(Caller(self.limit, self.clock, name, "x"))
            case "end" if walks:
                walks[what % len(walks)].result.callback(RIGHT)
            case "break" if walks:
                walks[what % len(walks)].result.errback(ZeroDivisionError())
            case "hang up" if self.callers:
                self.callers[-1 - what % len(self.callers)].hang_up()
            case "wait":
                self.clock.advance(what)
            case "be busy":
                self.clock.rightNow += what
            case "answer at once":
                self.scripted.at_once = RIGHT if what else None
        self.probe()

    def probe(self) -> None:
        """No more walk than may, nobody is passed by, and everybody has time enough."""
        test, scripted = self.test, self.scripted
        names = [int(walk.login.username) for walk in scripted.begun]
        waiting = [
            caller
            for number, caller in enumerate(self.callers)
            if not caller.heard and number not in names
        ]
        test.assertLessEqual(len(scripted.walks), PLACES)
        test.assertLessEqual(len(waiting), QUEUE_FACTOR * PLACES)
        test.assertEqual(names, sorted(names))
        if waiting:
            test.assertEqual(len(scripted.walks), PLACES)
        for walk in scripted.begun:
            came = self.callers[int(walk.login.username)].came
            test.assertLess(walk.began - came, MAX_WAIT * DEADLINE)
        for number, caller in enumerate(self.callers):
            test.assertLessEqual(len(caller.heard), 1)
            if caller.heard and isinstance(failure := caller.heard[0], Failure):
                test.assertIs(
                    failure.type, ZeroDivisionError if number in names else CancelledError
                )
            elif caller.heard:
                test.assertEqual(caller.heard[0] == OVERLOADED, number not in names)

    def finish(self) -> None:
        """Within one deadline everybody is answered, and every place is free."""
        self.step("answer at once", False)
        self.step("wait", DEADLINE)
        self.test.assertEqual([c for c in self.callers if len(c.heard) != 1], [])
        self.test.assertEqual((self.scripted.walks, self.clock.getDelayedCalls()), ([], []))
        self.step("arrive", PLACES)
        self.test.assertEqual(len(self.scripted.walks), PLACES)


class AnyLoadTests(SynchronousTestCase):
    """A concurrency limit under any load."""

    @given(LIMIT_STEPS)
    def test_any_order_of_things(self, steps: list[tuple[str, Any]]) -> None:
        """Everybody is answered in time and in turn, and no place is lost."""
        load = AnyLoad(self)
        for step in steps:
            load.step(*step)
        load.finish()


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
        self.scripted = Scripted(self.clock)
        plausibility = Plausibility(self.clock)
        self.guards = guarded(self.scripted, PLACES, DEADLINE, self.clock, plausibility)
        self.callers: list[Caller] = []
        self.refused: dict[tuple[str, str], float] = {}
        self.ended: CheckResult | None = None

    def step(self, kind: str, *what: Any) -> None:
        """Do one thing, and look at everybody."""
        before = [len(caller.heard) for caller in self.callers]
        match kind:
            case "ask":
                self.callers.append(Caller(self.guards, self.clock, *what))
            case "wait":
                self.clock.advance(what[0])
            case "hang up" if self.callers:
                self.callers[-1 - what[0] % len(self.callers)].hang_up()
            case "end" | "break" if self.scripted.walks:
                self.end(self.scripted.walks[what[0] % len(self.scripted.walks)], *what[1:])
        self.probe(before)

    def end(self, walk: Walk, check: CheckResult | None = None) -> None:
        """Bring a walk to its end: by a check, or else by a mistake."""
        if check is None:
            walk.result.errback(ZeroDivisionError())
            return
        if check == WRONG:
            self.refused[walk.pair] = self.clock.seconds()
        person = check.user and User(":".join(walk.pair), walk.login.username)
        walk.result.callback(CheckResult(check.outcome, person))

    def probe(self, before: list[int]) -> None:
        """Nobody has heard what is not so."""
        pairs = [walk.pair for walk in self.scripted.walks]
        self.test.assertLessEqual(len(pairs), PLACES)
        self.test.assertEqual(len(pairs), len(set(pairs)))
        for caller, known in zip(self.callers, [*before, 0], strict=False):
            self.test.assertLessEqual(len(caller.heard), 1, caller.pair)
            if known < len(caller.heard):
                self.judge(caller, caller.heard[0])

    def judge(self, caller: Caller, answer: CheckResult | Failure) -> None:
        """An answer that a caller has just got is its own, and true."""
        if isinstance(answer, Failure):
            self.test.assertIs(answer.type, CancelledError if caller.gone else ZeroDivisionError)
            return
        self.test.assertFalse(caller.gone)
        if answer.user is not None:
            self.test.assertEqual(answer.user.sub, ":".join(caller.pair))
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
        # Mistakes that nobody was left to be told of.
        self.flushLoggedErrors(ZeroDivisionError)
