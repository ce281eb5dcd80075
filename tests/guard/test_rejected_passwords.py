"""The cache of rejected passwords."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard import rejected_passwords
from ropg_twisted.guard.rejected_passwords import LIFETIME, MAX_PASSWORDS, RejectedPasswords
from ropg_twisted.interfaces import CheckResult
from tests.fakes import RIGHT, FixedVerifier
from tests.guard.fakes import DENIED, DOWN, MFA, OPEN, OVERLOADED, STALE, WRONG, WRONG_CODE, ask


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
        """The result of a login if Authentik would say ``check``."""
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
        """An accepted password makes the guard forget all refused ones of its user."""
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
        """The guard's state does not contain a password, whatever its result was."""
        for check in (WRONG, DOWN, RIGHT, WRONG):
            self.answer(check, password="canary")
        self.verifier.asked.clear()
        kept = repr(vars(self.guard))
        self.assertIn("alice", kept)
        self.assertNotIn("canary", kept)
