"""State of the daemon at one moment, as the status page shows it. No user name, no secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.guard.chain import Guards
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import Readiness
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Settings
from ropg_twisted.telemetry.history import History, Period, ReadinessHistory

PROBE_SECONDS: Final = 3
"""Seconds for which the status page waits for the readiness probe."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of a listener. ``expires``: in seconds since the epoch."""

    endpoint: str
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of the daemon. Times are in seconds since the epoch.

    Attributes:
        readiness: ``None`` if Authentik has not answered within :data:`PROBE_SECONDS`.
        since: time since when the readiness is what it is.
        last_verified: time of the last verified check, ``None`` if there is none.
        evidence_age: seconds since the evidence was gathered or confirmed.
        running: checks at Authentik.
        waiting: checks in the queue.
        store_failing: the shared store of counts does not answer.
    """

    settings: Settings
    now: float
    started: float
    readiness: Readiness | None
    since: float
    hour: Period
    day: Period
    last_verified: float | None = None
    evidence: Evidence | None = None
    evidence_age: float | None = None
    breaker_open: bool = False
    running: int = 0
    waiting: int = 0
    connections: int = 0
    sessions_removed: int = 0
    sessions_left_to_expire: int = 0
    sessions_left: int = 0
    sessions_waiting: int = 0
    dropped_lines: int = 0
    store_failing: bool = False
    keys: KeyRing
    certificates: tuple[Certificate, ...] = ()


class StateReader:
    """Reads the state from the parts of the daemon.

    ``settings``: returns those that are in use.
    ``now``: returns the time in seconds since the epoch; ``clock`` may have another zero.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        readiness: ReadinessHistory,
        history: History,
        evidence: FlowEvidence,
        guards: Guards,
        sessions: SessionRemover,
        site: BoundedSite,
        store: SharedStore | None,
        keys: Callable[[], KeyRing],
        certificates: Callable[[], tuple[Certificate, ...]],
        dropped_lines: Callable[[], int],
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._readiness = readiness
        self._history = history
        self._evidence = evidence
        self._guards = guards
        self._sessions = sessions
        self._site = site
        self._store = store
        self._keys = keys
        self._certificates = certificates
        self._dropped_lines = dropped_lines
        self._clock = clock
        self._now = now
        self._started = clock.seconds()

    async def read(self) -> State:
        """Probe the readiness, and return the state."""
        readiness = await self._readiness.probe_for(PROBE_SECONDS)
        now = self._now()
        ahead = now - self._clock.seconds()
        verified = self._history.last_verified
        return State(
            settings=self._settings(),
            now=now,
            started=self._started + ahead,
            readiness=readiness,
            since=self._since(readiness) + ahead,
            hour=self._history.hour,
            day=self._history.day,
            last_verified=None if verified is None else verified + ahead,
            evidence=self._evidence.current,
            evidence_age=self._evidence.age,
            breaker_open=self._guards.breaker.is_open,
            running=self._guards.concurrency.running,
            waiting=self._guards.concurrency.waiting,
            connections=self._site.connections,
            sessions_removed=self._sessions.removed,
            sessions_left_to_expire=self._sessions.left_to_expire,
            sessions_left=self._sessions.failed,
            sessions_waiting=self._sessions.waiting,
            dropped_lines=self._dropped_lines(),
            store_failing=self._store is not None and self._store.failing,
            keys=self._keys(),
            certificates=self._certificates(),
        )

    def _since(self, readiness: Readiness | None) -> float:
        """Return the time since when the daemon is ready, or is not. Checks may know it earlier."""
        probed, failing = self._readiness.since, self._history.failing_since
        if readiness is None:
            probed = self._clock.seconds() - PROBE_SECONDS
        if readiness is None or readiness.reason is not None:
            return probed if failing is None else min(probed, failing)
        recovered = self._history.recovered
        return probed if recovered is None else max(probed, recovered)
