"""Evidence of how a flow refuses a password. Without it, an acceptance proves nothing. No I/O.

Each stage binding of Authentik has an *Invalid response action*. RETRY refuses a password in place:
the same challenge comes again, with errors. RESTART and RESTART_WITH_CONTEXT respond with a 302,
exactly as to an accepted password, and the flow starts again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from twisted.internet.interfaces import IReactorTime

LIFETIME: Final = 86400
"""Seconds after which new evidence is needed, unless a refusal has confirmed it since."""

RECHECK_SECONDS: Final = 60
"""Minimum time between two canaries after a contradiction, or for a flow that restarts."""


class Evidence(StrEnum):
    """Ways in which a flow was seen to refuse a password."""

    UNKNOWN = "unknown"
    """It did not ask for the password: it refuses unknown names, or a policy denied access."""

    IN_PLACE = "in_place"
    """It sends the same challenge with errors, or denies access."""

    RESTARTS = "restarts"
    """It sends a 302, a redirect or another challenge: a refusal looks like an acceptance."""


class FlowEvidence:
    """The evidence of one flow, and when new evidence is due."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._current: Evidence | None = None
        self._contradicted = False
        self._gathered = 0.0
        self._confirmed = 0.0

    @property
    def current(self) -> Evidence | None:
        """The evidence now, ``None`` if there is none yet."""
        return self._current

    @property
    def age(self) -> float | None:
        """Seconds since the evidence was gathered or confirmed, ``None`` if there is none yet."""
        return None if self._current is None else self._age(self._confirmed)

    @property
    def due(self) -> bool:
        """True if a canary must run before the next verdict."""
        if self._current is None or self._contradicted:
            return True
        if self._current is Evidence.RESTARTS:
            return self._age(self._gathered) >= RECHECK_SECONDS
        return self._age(self._confirmed) >= LIFETIME

    def gather(self, evidence: Evidence) -> None:
        """Record the evidence of a canary."""
        self._current = evidence
        self._contradicted = False
        self._gathered = self._confirmed = self._clock.seconds()

    def confirm(self) -> None:
        """Record that a login was refused in place. A canary that saw a restart prevails."""
        if self._current is not Evidence.RESTARTS:
            self._current = Evidence.IN_PLACE
            self._confirmed = self._clock.seconds()

    def contradict(self) -> None:
        """Record that a flow restarted after the password of a login: a new canary is due.

        A later stage that restarts the flow looks the same, so a recent canary prevails.
        """
        if self._age(self._gathered) >= RECHECK_SECONDS:
            self._contradicted = True

    def _age(self, since: float) -> float:
        return self._clock.seconds() - since
