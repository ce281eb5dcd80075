"""Refusals while a directory is down, through one guard and through all of them."""

from __future__ import annotations

from ipaddress import IPv4Address

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.accepted_passwords import LIFETIME, AcceptedPasswords
from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.implausible_refusals import ImplausibleRefusals
from ropg_twisted.guard.plausibility import MIN_ALLOWANCE, Plausibility
from ropg_twisted.guard.rejected_passwords import LIFETIME as REJECTED_LIFETIME
from ropg_twisted.guard.rejected_passwords import SHORT_LIFETIME
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt, User
from ropg_twisted.settings.values import rates
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.fakes import CapturedLog, FixedVerifier, PendingVerifier, outcome
from tests.guard.fakes import DENIED, MFA, SLOW, TIMEOUT_LATER, WRONG
from tests.parametrize import parametrize

IMPLAUSIBLE = Reason.REFUSALS_IMPLAUSIBLE
NAMES = [f"user{number}" for number in range(30)]


def right(username: str) -> CheckResult:
    """A verified check of a user."""
    return CheckResult(Outcome(Verdict.VERIFIED, Reason.VERIFIED), User("uid", username))


def start(
    verifier: IPasswordVerifier, username: str, password: str = "x", *, limits: str = "off"
) -> Deferred[CheckResult]:
    """Start a check."""
    address = IPv4Address("192.0.2.1")
    login = LoginAttempt(username, password, address, rates=rates(limits))
    return Deferred.fromCoroutine(verifier.verify(login))


class ImplausibleRefusalsTests(SynchronousTestCase):
    """The guard before a directory that is up or down."""

    def setUp(self) -> None:
        """The guard, and users whose password was accepted."""
        self.clock = Clock()
        self.log = CapturedLog(self)
        self.verifier = FixedVerifier(WRONG)
        self.plausibility = Plausibility(self.clock)
        accepted = AcceptedPasswords(self.clock)
        self.guard = ImplausibleRefusals(self.verifier, accepted, self.plausibility)
        for name in NAMES:
            self.check(name, right(name))

    def check(self, name: str, result: CheckResult, password: str = "x") -> CheckResult:
        """Check a password to which Authentik's result is ``result``."""
        self.verifier.check = result
        return self.successResultOf(start(self.guard, name, password))

    def begin_outage(self) -> None:
        """Refuse the passwords of some users."""
        for name in NAMES[: MIN_ALLOWANCE + 1]:
            self.check(name, WRONG)

    def test_an_outage_is_no_wrong_password(self) -> None:
        """Three users are told, all others are not."""
        reasons = [self.check(name, WRONG).outcome.reason for name in NAMES]
        told, others = reasons[:MIN_ALLOWANCE], reasons[MIN_ALLOWANCE:]
        self.assertEqual(told, [Reason.WRONG_CREDENTIALS] * MIN_ALLOWANCE)
        self.assertEqual(others, [IMPLAUSIBLE] * len(others))

    def test_every_refusal_is_unverifiable_during_an_outage(self) -> None:
        """Also that of a password that was never accepted, and of an unknown user."""
        self.begin_outage()
        for name in ("user20", "nobody"):
            checked = self.check(name, WRONG, "guess").outcome
            self.assertEqual(checked, Outcome(Verdict.UNVERIFIABLE, IMPLAUSIBLE))

    def test_acceptances_pass(self) -> None:
        """Some directory may still be up."""
        self.begin_outage()
        self.assertEqual(self.check("user20", right("user20")), right("user20"))
        self.assertEqual(self.check("user21", MFA), MFA)

    def test_other_results_pass(self) -> None:
        """They are not about the password."""
        self.begin_outage()
        for result in (TIMEOUT_LATER, DENIED):
            self.assertEqual(self.check("user20", result), result)

    def test_guesses_cause_nothing(self) -> None:
        """Wrong passwords of any number of users are plausible."""
        for name in NAMES:
            self.assertEqual(self.check(name, WRONG, "guess").outcome, WRONG.outcome)
        self.assertFalse(self.plausibility.implausible)

    def test_two_names_of_one_user_count_once(self) -> None:
        """User name and e-mail address."""
        names = [f"{name}{domain}" for name in NAMES[:2] for domain in ("", "@a", "@b", "@c")]
        for name in names:
            self.check(name, right(name.partition("@")[0]))
        for name in names:
            self.assertEqual(self.check(name, WRONG).outcome, WRONG.outcome)

    def test_a_password_accepted_with_a_second_factor_counts(self) -> None:
        """The user is then known by the typed name."""
        for name in NAMES:
            self.check(name, MFA, "y")
        reasons = [self.check(name, WRONG, "y").outcome.reason for name in NAMES]
        self.assertEqual(reasons.count(IMPLAUSIBLE), len(NAMES) - MIN_ALLOWANCE)

    def test_a_refusal_of_the_last_accepted_password_is_marked(self) -> None:
        """In any spelling of the name; a refusal of another password is not."""
        self.assertTrue(self.check("USER0", WRONG).was_accepted)
        self.assertTrue(self.check("user0", SLOW).was_accepted)
        self.assertFalse(self.check("user0", WRONG, "y").was_accepted)

    def test_only_the_last_accepted_password_counts(self) -> None:
        """The one before is an old one."""
        self.check("user0", right("user0"), "new")
        self.assertFalse(self.check("user0", WRONG, "x").was_accepted)
        self.assertTrue(self.check("user0", WRONG, "new").was_accepted)

    def test_an_accepted_password_is_forgotten(self) -> None:
        """After thirty days."""
        self.clock.advance(LIFETIME)
        self.assertFalse(self.check("user0", WRONG).was_accepted)

    def test_slow_refusals_cause_nothing(self) -> None:
        """They are unverifiable already."""
        for name in NAMES:
            self.assertEqual(self.check(name, SLOW).outcome, SLOW.outcome)
        self.assertFalse(self.plausibility.implausible)

    def test_new_passwords_for_everybody_end_the_doubt(self) -> None:
        """Users who were told come with passwords that are accepted."""
        self.begin_outage()
        for name in NAMES[:2]:
            self.check(name, right(name), "new")
        self.assertEqual(self.check("user20", WRONG).outcome, WRONG.outcome)

    def test_one_line_at_the_start_and_one_at_the_end(self) -> None:
        """However many checks there are."""
        self.begin_outage()
        for name in NAMES:
            self.check(name, WRONG)
        for name in NAMES:
            self.check(name, right(name))
        lines = [(event["log_level"].name, event["log_format"]) for event in self.log.events]
        self.assertEqual([level for level, _ in lines], ["error", "info"])
        self.assertIn("refusals_implausible", lines[0][1])

    def test_hashes_differ_between_users_and_processes(self) -> None:
        """The same password of two users, and of one user in two daemons."""
        one, other = AcceptedPasswords(self.clock), AcceptedPasswords(self.clock)
        login = LoginAttempt("alice", "x")
        digests = {one.digest(login), one.digest(LoginAttempt("bob", "x")), other.digest(login)}
        self.assertEqual(len(digests), 3)


class ChainTests(SynchronousTestCase):
    """All guards around a directory that fails."""

    def setUp(self) -> None:
        """The guards, and a user whose password was accepted."""
        self.clock = Clock()
        self.verifier = FixedVerifier(right("alice"))
        self.guards = guarded(self.verifier, 64, 15, self.clock, Plausibility(self.clock))
        self.check()
        self.verifier.check = WRONG

    def check(self, password: str = "x", name: str = "alice") -> Reason:
        """Return the reason of a check with the usual limits."""
        limits = "user 3 per 15 minutes"
        result = self.successResultOf(start(self.guards, name, password, limits=limits))
        return result.outcome.reason

    def test_a_short_outage_is_remembered_for_a_minute(self) -> None:
        """A refused password that was accepted before is soon tried again."""
        self.assertEqual(self.check(), Reason.WRONG_CREDENTIALS)
        self.clock.advance(SHORT_LIFETIME - 1)
        self.assertEqual(self.check(), Reason.STALE_PASSWORD)
        self.clock.advance(1)
        self.verifier.check = right("alice")
        self.assertEqual(self.check(), Reason.VERIFIED)

    def test_the_minute_begins_with_the_check(self) -> None:
        """A directory that came back since is asked within a minute."""
        verifier = PendingVerifier()
        guards = guarded(verifier, 64, 15, self.clock, Plausibility(self.clock))
        for result in (right("alice"), WRONG):
            check = start(guards, "alice")
            self.clock.advance(10)
            verifier.waiting.pop(0).callback(result)
            self.successResultOf(check)
        self.clock.advance(SHORT_LIFETIME - 10)
        start(guards, "alice")
        self.assertEqual(len(verifier.waiting), 1)

    def test_another_password_is_remembered_for_ten_minutes(self) -> None:
        """It was never accepted."""
        self.check("guess")
        self.clock.advance(REJECTED_LIFETIME - 1)
        self.assertEqual(self.check("guess"), Reason.STALE_PASSWORD)

    def test_an_old_password_uses_up_no_attempts(self) -> None:
        """A Mac that repeats it leaves its user all guesses."""
        for _ in range(10):
            self.assertEqual(self.check(), Reason.WRONG_CREDENTIALS)
            self.clock.advance(SHORT_LIFETIME)
        self.assertEqual(self.check("guess"), Reason.WRONG_CREDENTIALS)

    @parametrize({"implausible": (IMPLAUSIBLE,), "too slow": (Reason.REFUSAL_TOO_SLOW,)})
    def test_guesses_are_counted_while_refusals_are_not_believed(self, reason: Reason) -> None:
        """An outage gives nobody more guesses."""
        self.verifier.check = outcome(Verdict.UNVERIFIABLE, reason)
        reasons = [self.check(f"guess {number}", "bob") for number in range(4)]
        self.assertEqual(reasons, [reason, reason, reason, Reason.THROTTLED])

    def test_a_refusal_that_is_not_believed_is_not_remembered(self) -> None:
        """The next check asks Authentik again."""
        self.verifier.check = outcome(Verdict.UNVERIFIABLE, IMPLAUSIBLE)
        self.check()
        self.verifier.check = right("alice")
        self.assertEqual(self.check(), Reason.VERIFIED)
