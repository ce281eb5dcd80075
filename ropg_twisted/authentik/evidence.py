"""Evidence of how a flow refuses a password, without which its acceptances prove nothing. No I/O.

Each stage binding of Authentik has an *Invalid response action*. RETRY refuses a password in place:
the same challenge again, with errors. RESTART and RESTART_WITH_CONTEXT answer it by a 302, exactly
as Authentik answers an accepted password, and whatever the flow begins with follows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from twisted.internet.interfaces import IReactorTime

LIFETIME: Final = 86400
"""Seconds after which evidence is gathered anew, unless a refusal has confirmed it meanwhile."""

RECHECK_SECONDS: Final = 60
"""Shortest time between two canaries that a contradiction, or a flow that restarts, asks for."""


class Evidence(StrEnum):
    """How a flow has been seen to refuse a password."""

    UNKNOWN = "unknown"
    """It did not ask for the password: it refuses unknown names, or a policy was in the way."""

    IN_PLACE = "in_place"
    """It shows the same challenge with errors, or denies access."""

    RESTARTS = "restarts"
    """It answers by a 302, a redirect or another challenge: a refusal looks like an acceptance."""


class FlowEvidence:
    """The evidence of one flow, and when it has to be gathered."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._current: Evidence | None = None
        self._contradicted = False
        self._gathered = 0.0
        self._confirmed = 0.0

    @property
    def current(self) -> Evidence | None:
        """The evidence now, ``None`` before there is any."""
        return self._current

    @property
    def due(self) -> bool:
        """Whether a canary has to be walked before the next verdict."""
        if self._current is None or self._contradicted:
            return True
        if self._current is Evidence.RESTARTS:
            return self._age(self._gathered) >= RECHECK_SECONDS
        return self._age(self._confirmed) >= LIFETIME

    def gather(self, evidence: Evidence) -> None:
        """Take what a canary has shown."""
        self._current = evidence
        self._contradicted = False
        self._gathered = self._confirmed = self._clock.seconds()

    def confirm(self) -> None:
        """Take the refusal of a login in place. It does not outweigh a canary that restarted."""
        if self._current is not Evidence.RESTARTS:
            self._current = Evidence.IN_PLACE
            self._confirmed = self._clock.seconds()

    def contradict(self) -> None:
        """Take a login whose flow began again after the password: another canary is due.

        A later stage that restarts the flow looks the same, so a recent canary keeps its word.
        """
        if self._age(self._gathered) >= RECHECK_SECONDS:
            self._contradicted = True

    def _age(self, since: float) -> float:
        return self._clock.seconds() - since
