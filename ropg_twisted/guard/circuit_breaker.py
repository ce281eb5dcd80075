"""A circuit breaker: an Authentik that is down is left alone for a moment."""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict

OUTAGES_TO_OPEN: Final = 8
"""Failures in a row, with no sign of life among them, after which the circuit breaker opens."""

SECONDS_OPEN: Final = 5
"""Until a probe is let through."""

_OPEN: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN))

_AMBIGUOUS: Final = OUTAGES | {Reason.OVERLOADED, Reason.INTERNAL_ERROR}
"""Reasons of checks that do not show Authentik at work."""


@implementer(IPasswordVerifier)
class CircuitBreaker:
    """Answers checks by itself while Authentik is known to be down.

    It opens after some failures in a row. A failure before the user name was sent counts each time;
    a later one only once for its user and its network, as a firewall before Authentik may dislike
    what one client sends. While it is open, one check after the other goes through as a probe:
    :data:`SECONDS_OPEN` after a probe that failed before the name was sent, at once after one that
    was given up or told nothing. It closes with the first check that finds Authentik at work.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, verifier: IPasswordVerifier, clock: IReactorTime) -> None:
        self._verifier = verifier
        self._clock = clock
        self._failures = 0
        self._failed: set[str] = set()
        self._next_probe = 0.0
        self._probing = False

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        if not self._is_open:
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
    def _is_open(self) -> bool:
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
        if self._is_open:
            return
        if check.name_sent:
            source = _source(login)
            if source & self._failed:
                return
            self._failed |= source
        self._failures += 1
        if self._is_open:
            self._next_probe = self._clock.seconds() + SECONDS_OPEN
            reason = check.outcome.reason.value
            self.log.error("Authentik is down ({reason}): breaker open", reason=reason)

    def _close(self) -> None:
        if self._is_open:
            self.log.info("Authentik is back: breaker closed")
        self._failures = 0
        self._failed.clear()


def _source(login: LoginAttempt) -> set[str]:
    """The user and the network that a check came from."""
    user = {f"user {fold(login.username)}"}
    return user if login.network is None else user | {f"network {login.network}"}
