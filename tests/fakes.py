"""Fakes: verifiers for each outcome, readiness, and the captured log."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ropg_twisted.interfaces import (
    CheckResult,
    IPasswordVerifier,
    IReadinessProbe,
    LoginAttempt,
    Readiness,
    User,
)
from ropg_twisted.verdict import Outcome, Reason, Verdict

ALICE = User("5ub", "alice", "Alice Example", "alice@example.com", ("staff",))
RIGHT = CheckResult(Outcome(Verdict.VERIFIED, Reason.VERIFIED), ALICE)


@implementer(ILogObserver)
class CapturedLog:
    """Keeps every event of the log; for as long as ``test`` runs."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self)
        test.addCleanup(globalLogPublisher.removeObserver, self)

    def __call__(self, event: LogEvent) -> None:
        """See :class:`ILogObserver`."""
        self.events.append(event)


@implementer(IPasswordVerifier)
class FixedVerifier:
    """Returns the same result every time, and keeps the attempts."""

    def __init__(self, check: CheckResult) -> None:
        self.asked: list[LoginAttempt] = []
        self.check = check

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        return self.check


@implementer(IPasswordVerifier)
class FailingVerifier(FixedVerifier):
    """Raises an unexpected exception, with a secret in its text."""

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        raise ZeroDivisionError(f"canary {login.password}")


@implementer(IPasswordVerifier)
class PendingVerifier(FixedVerifier):
    """Answers when the test says. ``waiting`` holds the checks that are not cancelled."""

    def __init__(self) -> None:
        super().__init__(RIGHT)
        self.waiting: list[Deferred[CheckResult]] = []

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        waiter: Deferred[CheckResult] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return await waiter

    def answer(self, check: CheckResult) -> None:
        """End all pending checks with this result."""
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            waiter.callback(check)


def outcome(verdict: Verdict, reason: Reason) -> CheckResult:
    """The result of a check without a user."""
    return CheckResult(Outcome(verdict, reason))


@implementer(IReadinessProbe)
class FakeReadiness:
    """A readiness probe with a fixed result."""

    def __init__(self, reason: Reason | None = None, warning: Reason | None = None) -> None:
        self.now = Readiness(reason, warning)

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        return self.now
