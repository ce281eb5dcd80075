"""History: what happened in the last hour and in the last day, as counts in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.interfaces import CheckTrace, IReadinessProbe, Readiness
from ropg_twisted.networks import Address
from ropg_twisted.telemetry.observers import REQUEST_STAGES, CheckRecord, IRequestObserver
from ropg_twisted.trace_context import TraceContext
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict

QUEUE: Final = "queue"
SIGNING: Final = "signing"

STAGES: Final = (QUEUE, *(kind.value for kind in REQUEST_STAGES), SIGNING)
"""The stages of a check: the queue, the requests to Authentik by their purpose, and our tokens."""

HOUR: Final = (60, 60)
"""Seconds of an interval, and the number of intervals that are kept."""

DAY: Final = (1800, 48)

_OF_EVERYBODY: Final = OUTAGES | {
    Reason.BREAKER_OPEN,
    Reason.FLOW_MISSING,
    Reason.FLOW_RESTARTS,
}
"""Reasons that no single user leads to."""


@dataclass(slots=True)
class Interval:
    """Counts of one interval.

    Attributes:
        outcomes: checks by outcome.
        clients: checks by client and verdict.
        refused: requests refused before a check, by error.
        relayed: relayed grants, by result.
        introspected: introspected tokens, by result.
        traced: checks that asked Authentik.
        seconds: time of these checks by stage, in sum.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    clients: Counter[tuple[str, Verdict]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    relayed: Counter[str] = field(default_factory=Counter)
    introspected: Counter[str] = field(default_factory=Counter)
    traced: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @property
    def checks(self) -> int:
        """The number of checks."""
        return self.outcomes.total()

    def verdict(self, verdict: Verdict) -> int:
        """Return the number of checks with this verdict."""
        return sum(n for outcome, n in self.outcomes.items() if outcome.verdict is verdict)

    def reason(self, *reasons: Reason) -> int:
        """Return the number of checks with one of these reasons."""
        return sum(n for outcome, n in self.outcomes.items() if outcome.reason in reasons)

    def mean(self, stage: str) -> float:
        """Return the mean time of a stage, in seconds, over the checks that asked Authentik."""
        return self.seconds[stage] / self.traced if self.traced else 0.0

    def count_trace(self, trace: CheckTrace, signing_seconds: float) -> None:
        """Count the time of a check by its stages."""
        self.traced += 1
        self.seconds[QUEUE] += trace.queue_seconds
        self.seconds[SIGNING] += signing_seconds
        for request in trace.requests:
            if request.kind in self.seconds:
                self.seconds[request.kind.value] += request.seconds


def total(intervals: Iterable[Interval]) -> Interval:
    """Return the sum of intervals."""
    result = Interval()
    for interval in intervals:
        result.outcomes.update(interval.outcomes)
        result.clients.update(interval.clients)
        result.refused.update(interval.refused)
        result.relayed.update(interval.relayed)
        result.introspected.update(interval.introspected)
        result.traced += interval.traced
        for stage in STAGES:
            result.seconds[stage] += interval.seconds[stage]
    return result


@dataclass(frozen=True, slots=True)
class Period:
    """The latest intervals at one moment.

    Attributes:
        seconds: duration of an interval.
        length: the number of intervals in a full period. There are fewer after a start.
        elapsed: seconds since the last interval began.
        intervals: oldest first; the last one is not over yet.
    """

    seconds: int
    length: int
    elapsed: float
    intervals: tuple[Interval, ...]

    def age(self, position: int) -> float:
        """Return for how many seconds the interval at this position has begun."""
        return self.elapsed + self.seconds * (len(self.intervals) - 1 - position)

    def latest(self, seconds: float) -> Interval:
        """Return the sum of the intervals of the last ``seconds``."""
        return total(self.intervals[-max(1, round(seconds / self.seconds)) :])


class Window:
    """The latest intervals of one length. The first one begins now.

    If the clock jumps ahead, empty intervals follow. If it jumps back, the latest one goes on.
    """

    def __init__(self, seconds: int, length: int, clock: IReactorTime) -> None:
        self._seconds = seconds
        self._length = length
        self._clock = clock
        self._began = clock.seconds()
        self._intervals = deque((Interval(),), maxlen=length)
        self._number = 0

    def current(self) -> Interval:
        """Return the interval of now."""
        number = self._numbered_now()
        for _ in range(min(number - self._number, self._length)):
            self._intervals.append(Interval())
        self._number = number
        return self._intervals[-1]

    def period(self) -> Period:
        """Return the intervals until now."""
        self.current()
        elapsed = self._clock.seconds() - self._began - self._number * self._seconds
        return Period(self._seconds, self._length, elapsed, tuple(self._intervals))

    def _numbered_now(self) -> int:
        return int((self._clock.seconds() - self._began) // self._seconds)


@implementer(IRequestObserver)
class History:
    """Counts requests by minute for an hour, and by half hour for a day. Knows no user name.

    Attributes:
        failing_since: time of the first check that nobody's password could pass, since the last one
            that Authentik answered; ``None`` if there is none.
        recovered: time at which the last such failure ended.
        last_verified: time of the last verified check.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.failing_since: float | None = None
        self.recovered: float | None = None
        self.last_verified: float | None = None
        self._clock = clock
        self._hour = Window(*HOUR, clock)
        self._day = Window(*DAY, clock)

    @property
    def hour(self) -> Period:
        """The last hour."""
        return self._hour.period()

    @property
    def day(self) -> Period:
        """The last day."""
        return self._day.period()

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        for interval in self._current():
            interval.outcomes[record.outcome] += 1
            interval.clients[record.context.client, record.outcome.verdict] += 1
            if record.trace is not None:
                interval.count_trace(record.trace, record.signing_seconds or 0.0)
        self._note(record.outcome, asked=record.trace is not None)

    def relay(
        self, context: RequestContext, grant_type: str, result: str, error: str | None = None
    ) -> None:
        """See :class:`IRequestObserver`."""
        for interval in self._current():
            interval.relayed[result] += 1

    def introspection(self, context: RequestContext, result: str) -> None:
        """See :class:`IRequestObserver`."""
        for interval in self._current():
            interval.introspected[result] += 1

    def refused(self, trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        for interval in self._current():
            interval.refused[error.code] += 1

    def _current(self) -> tuple[Interval, Interval]:
        return self._hour.current(), self._day.current()

    def _note(self, outcome: Outcome, *, asked: bool) -> None:
        now = self._clock.seconds()
        if outcome.verdict is Verdict.VERIFIED:
            self.last_verified = now
        failing = self.failing_since is not None
        if outcome.reason in _OF_EVERYBODY:
            self.failing_since = self.failing_since if failing else now
        elif failing and asked and outcome.verdict is not Verdict.UNVERIFIABLE:
            self.failing_since, self.recovered = None, now


@implementer(IReadinessProbe)
class ReadinessHistory:
    """Remembers since when the readiness has been what it is.

    ``since``: time of the first probe with the latest result.
    """

    def __init__(self, probe: IReadinessProbe, clock: IReactorTime) -> None:
        self.since = clock.seconds()
        self._probe = probe
        self._clock = clock
        self._latest: Readiness | None = None

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        readiness = await self._probe.probe()
        if readiness != self._latest:
            self._latest, self.since = readiness, self._clock.seconds()
        return readiness

    async def probe_for(self, seconds: float) -> Readiness | None:
        """Probe, and return the result if it comes within ``seconds``. The probe then goes on."""
        result: Deferred[Readiness | None] = Deferred()
        timeout = self._clock.callLater(seconds, result.callback, None)

        def end(readiness: Readiness | Failure) -> None:
            if timeout.active():
                timeout.cancel()
                result.callback(readiness)

        Deferred.fromCoroutine(self.probe()).addBoth(end)
        return await result
