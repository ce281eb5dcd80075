"""An Authentik that is down is left alone for a moment, instead of being asked by everybody."""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict

OUTAGES_TO_OPEN: Final = 8
"""Outages in a row, and nothing else among them, after which the breaker opens."""

SECONDS_OPEN: Final = 5
"""Until a probe is let through."""

_OPEN: Final = Check(Outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN))


@implementer(IPasswordVerifier)
class Breaker:
    """Answers checks by itself while Authentik is known to be down.

    It opens after some outages in a row. After a while it lets one check through as a probe, and
    closes again with the first that finds Authentik at work.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, verifier: IPasswordVerifier, clock: IReactorTime) -> None:
        self._verifier = verifier
        self._clock = clock
        self._outages = 0
        self._next_probe = 0.0

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        if self._outages >= OUTAGES_TO_OPEN:
            if self._clock.seconds() < self._next_probe:
                return _OPEN
            self._next_probe = self._clock.seconds() + SECONDS_OPEN
        try:
            check = await self._verifier.verify(login)
        except CancelledError:
            # A probe that nobody waits for any more tells nothing: let another through.
            self._next_probe = min(self._next_probe, self._clock.seconds())
            raise
        if check.outcome.reason in OUTAGES:
            self._count_outage(check.outcome.reason)
        elif check.outcome.reason not in (Reason.OVERLOADED, Reason.INTERNAL_ERROR):
            self._count_success()
        return check

    def _count_outage(self, reason: Reason) -> None:
        self._outages += 1
        if self._outages == OUTAGES_TO_OPEN:
            self._next_probe = self._clock.seconds() + SECONDS_OPEN
            self.log.error("Authentik is down ({reason}): breaker open", reason=reason.value)

    def _count_success(self) -> None:
        if self._outages >= OUTAGES_TO_OPEN:
            self.log.info("Authentik is back: breaker closed")
        self._outages = 0
