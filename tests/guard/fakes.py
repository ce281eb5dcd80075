"""Stand-ins for what is behind the guards, and for the clients in front of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, CodeRequest, IPasswordVerifier, LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.fakes import PendingVerifier, outcome

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


TIMEOUT_LATER = replace(TIMEOUT, name_sent=True)


SLOW = outcome(Verdict.UNVERIFIABLE, Reason.REFUSAL_TOO_SLOW)


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


class PendingCheck:
    """A check at :class:`ControlledVerifier`; ``result`` is for the test to fire."""

    def __init__(self, login: LoginAttempt, began: float) -> None:
        self.login = login
        self.began = began
        self.pair = (login.username, login.password)
        self.result: Deferred[CheckResult] = Deferred()


@implementer(IPasswordVerifier)
class ControlledVerifier:
    """Returns what the test says, when it says so. ``pending``: the checks under way.

    ``at_once``: the result of checks that need not wait. ``begun``: all checks so far.
    """

    def __init__(self, clock: Clock) -> None:
        self.pending: list[PendingCheck] = []
        self.begun: list[PendingCheck] = []
        self.at_once: CheckResult | None = None
        self._clock = clock

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        check = PendingCheck(login, self._clock.seconds())
        self.begun.append(check)
        if self.at_once is not None:
            return self.at_once
        self.pending.append(check)
        try:
            return await check.result
        except CancelledError:
            return TIMEOUT
        finally:
            self.pending.remove(check)


class LoginClient:
    """A client that logs in at the guards, and its results."""

    def __init__(
        self, verifier: IPasswordVerifier, clock: Clock, username: str, password: str
    ) -> None:
        self.pair = (username, password)
        self.gone = False
        self.came = clock.seconds()
        self.results: list[CheckResult | Failure] = []
        self._check = ask(verifier, username, password)
        self._check.addBoth(self.results.append)

    def hang_up(self) -> None:
        """Go away."""
        self.gone = self.gone or not self.results
        self._check.cancel()


PLACES, DEADLINE = 2, 10

NUMBERS = st.integers(0, 15)
