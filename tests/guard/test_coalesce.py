"""Identical checks at the same moment."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard.coalesce import CoalescedChecks
from ropg_twisted.guard.concurrency import ConcurrencyLimit
from ropg_twisted.interfaces import CheckResult, LoginAttempt
from tests.fakes import RIGHT, CapturedLog, FixedVerifier, PendingVerifier
from tests.guard.fakes import TOKENS, WRONG, SlowToCancelVerifier, ask, hang_up


class SharedChecksTests(SynchronousTestCase):
    """A single login for identical checks at the same moment."""

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
        """A client that goes away because another was answered does so without an error."""
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
