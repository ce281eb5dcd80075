"""The bulkhead between checks that may hang and all others."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.bulkhead import LIFETIME, PART, Bulkhead
from ropg_twisted.interfaces import CheckResult, LoginAttempt
from tests.fakes import PendingVerifier
from tests.guard.fakes import OVERLOADED, SLOW, TIMEOUT, TIMEOUT_LATER, WRONG
from tests.parametrize import parametrize

NAMES = [f"user{number}" for number in range(30)]


class BulkheadTests(SynchronousTestCase):
    """Checks of users whose last check has hung."""

    def setUp(self) -> None:
        """Eight slots, of which two are for checks that may hang."""
        self.clock = Clock()
        self.verifier = PendingVerifier()
        self.guard = Bulkhead(self.verifier, 2 * PART, self.clock)

    def start(self, name: str) -> Deferred[CheckResult]:
        """Start a check of a user."""
        return Deferred.fromCoroutine(self.guard.verify(LoginAttempt(name, "x")))

    def end(self, name: str, result: CheckResult) -> None:
        """Run a check of a user to its end."""
        check = self.start(name)
        self.verifier.waiting.pop().callback(result)
        self.assertEqual(self.successResultOf(check), result)

    def start_all(self, names: list[str]) -> list[bool]:
        """Start a check of each user. Return which have begun."""
        return [self._begins(name) for name in names]

    def _begins(self, name: str) -> bool:
        before = len(self.verifier.waiting)
        check = self.start(name)
        if len(self.verifier.waiting) > before:
            return True
        self.assertEqual(self.successResultOf(check), OVERLOADED)
        return False

    @parametrize({"a timeout": (TIMEOUT_LATER,), "a slow refusal": (SLOW,)})
    def test_they_take_a_quarter_of_the_slots(self, result: CheckResult) -> None:
        """The others are overloaded at once."""
        for name in NAMES[:5]:
            self.end(name, result)
        self.assertEqual(self.start_all(NAMES[:5]), [True, True, False, False, False])

    def test_others_are_not_limited(self) -> None:
        """Their last check has not hung."""
        for name in NAMES[:5]:
            self.end(name, TIMEOUT_LATER)
        self.start_all(NAMES[:5])
        self.assertEqual(self.start_all(NAMES[5:20]), [True] * 15)

    def test_a_timeout_before_the_name_says_nothing_of_the_user(self) -> None:
        """Authentik itself is slow."""
        for name in NAMES[:5]:
            self.end(name, TIMEOUT)
        self.assertEqual(self.start_all(NAMES[:5]), [True] * 5)

    def test_a_check_that_ends_in_time_ends_it(self) -> None:
        """The verdict does not matter."""
        for name in NAMES[:5]:
            self.end(name, TIMEOUT_LATER)
            self.end(name, WRONG)
        self.assertEqual(self.start_all(NAMES[:5]), [True] * 5)

    def test_a_check_that_was_not_made_changes_nothing(self) -> None:
        """It found the queue full."""
        for name in NAMES[:3]:
            self.end(name, TIMEOUT_LATER)
            self.end(name, OVERLOADED)
        self.assertEqual(self.start_all(NAMES[:3]), [True, True, False])

    def test_a_slot_is_free_again(self) -> None:
        """After a check that hung once more."""
        for name in NAMES[:4]:
            self.end(name, TIMEOUT_LATER)
        self.end("user0", TIMEOUT_LATER)
        self.assertEqual(self.start_all(NAMES[1:4]), [True, True, False])

    def test_it_is_forgotten(self) -> None:
        """After ten minutes."""
        for name in NAMES[:5]:
            self.end(name, TIMEOUT_LATER)
        self.clock.advance(LIFETIME)
        self.assertEqual(self.start_all(NAMES[:5]), [True] * 5)

    def test_there_is_a_slot_at_least(self) -> None:
        """Also if there is one slot in all."""
        self.guard = Bulkhead(self.verifier, 1, self.clock)
        self.end("user0", TIMEOUT_LATER)
        self.assertEqual(self.start_all(["user0"]), [True])
