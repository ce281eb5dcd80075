"""Circuit breaker: sends no checks to an Authentik that is down."""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict

OUTAGES_TO_OPEN: Final = 8
"""Failures in a row after which the circuit breaker opens."""

SECONDS_OPEN: Final = 5
"""Seconds until a probe passes."""

_OPEN: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN))

_AMBIGUOUS: Final = OUTAGES | {Reason.OVERLOADED, Reason.INTERNAL_ERROR}
"""Reasons that do not show whether Authentik works."""


@implementer(IPasswordVerifier)
class CircuitBreaker:
    """Fails checks immediately while Authentik is known to be down.

    It opens after :data:`OUTAGES_TO_OPEN` failures in a row. A failure before the user name was
    sent always counts. A later one counts once for its user and its network: a firewall may block
    the requests of one client.

    While it is open, one check at a time passes as a probe: :data:`SECONDS_OPEN` after a probe that
    failed before the user name was sent, immediately after one that was cancelled or inconclusive.
    It closes after the first check that shows that Authentik works.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, verifier: IPasswordVerifier, clock: IReactorTime) -> None:
        self._verifier = verifier
        self._clock = clock
        self._failures = 0
        self._failed_sources: set[str] = set()
        self._next_probe = 0.0
        self._probing = False

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        if not self.is_open:
            check = await self._verifier.verify(login)
        elif self._probing or self._clock.seconds() < self._next_probe:
            return _OPEN
        else:
            check = await self._probe(login)
        if check.authentik_down:
            self._count_failure(login, check)
        elif check.outcome.reason not in _AMBIGUOUS:
            self._close()
        return check

    @property
    def is_open(self) -> bool:
        """True while Authentik is known to be down."""
        return self._failures >= OUTAGES_TO_OPEN

    async def _probe(self, login: LoginAttempt) -> CheckResult:
        self._probing = True
        try:
            check = await self._verifier.verify(login)
        finally:
            self._probing = False
        if check.authentik_down and not check.name_sent:
            self._next_probe = self._clock.seconds() + SECONDS_OPEN
        return check

    def _count_failure(self, login: LoginAttempt, check: CheckResult) -> None:
        if self.is_open:
            return
        if check.name_sent:
            sources = _sources(login)
            if sources & self._failed_sources:
                return
            self._failed_sources |= sources
        self._failures += 1
        if self.is_open:
            self._next_probe = self._clock.seconds() + SECONDS_OPEN
            reason = check.outcome.reason.value
            self.log.error("Authentik is down ({reason}): breaker open", reason=reason)

    def _close(self) -> None:
        if self.is_open:
            self.log.info("Authentik is back: breaker closed")
        self._failures = 0
        self._failed_sources.clear()


def _sources(login: LoginAttempt) -> set[str]:
    """Return the user and the network of a login attempt."""
    user = {f"user {fold(login.username)}"}
    return user if login.network is None else user | {f"network {login.network}"}
