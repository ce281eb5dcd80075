"""Metrics for Prometheus. No value from outside is ever a label."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from zope.interface import implementer

import twisted
from ropg_twisted import __version__
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.interfaces import CheckTrace, UpstreamRequest
from ropg_twisted.networks import Address
from ropg_twisted.telemetry.observers import REQUEST_STAGES, CheckRecord, IRequestObserver
from ropg_twisted.trace_context import TraceContext
from ropg_twisted.verdict import Verdict

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
"""Seconds. A login at Authentik takes about one; the default deadline is 15."""

NO_STATUS: Final = "none"
"""The status of a request without a complete response, or whose status HTTP does not define."""


def add_build_info(registry: CollectorRegistry) -> None:
    """Add the versions of the daemon, of Python and of Twisted."""
    info = Gauge(
        "ropg_build_info",
        "Versions of the daemon, of Python and of Twisted. Always 1.",
        ["version", "python", "twisted"],
        registry=registry,
    )
    info.labels(__version__, platform.python_version(), twisted.__version__).set(1)


@implementer(IRequestObserver)
class RequestMetrics:
    """Counts the results of requests. ``now``: returns the time in seconds since the epoch."""

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float]) -> None:
        # They would double the series, and a counter that starts at 0 says the same.
        disable_created_metrics()
        self.last_verified: float | None = None
        self._now = now
        self._checks = Counter(
            "ropg_checks", "Password checks.", ["verdict", "reason"], registry=registry
        )
        self._client_checks = Counter(
            "ropg_client_checks",
            "Password checks by client.",
            ["client", "verdict"],
            registry=registry,
        )
        self._refused = Counter(
            "ropg_refused",
            "Requests refused before a check, as in the log.",
            ["error"],
            registry=registry,
        )
        self._relayed = Counter(
            "ropg_relayed",
            "Relayed codes and refresh tokens.",
            ["grant", "result"],
            registry=registry,
        )
        self._introspections = Counter(
            "ropg_introspections", "Introspected tokens.", ["result"], registry=registry
        )
        self._seconds = Histogram(
            "ropg_check_seconds",
            "Duration of checks.",
            ["verdict"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._stage_seconds = Histogram(
            "ropg_check_stage_seconds",
            "Time that each stage of a check took.",
            ["stage"],
            registry=registry,
            buckets=BUCKETS,
        )

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        verdict, reason = record.outcome.verdict.value, record.outcome.reason.value
        self._checks.labels(verdict, reason).inc()
        self._client_checks.labels(record.context.client, verdict).inc()
        self._seconds.labels(verdict).observe(record.seconds)
        if record.outcome.verdict is Verdict.VERIFIED:
            self.last_verified = self._now()
        if record.trace is not None:
            self._observe_stages(record.trace)
        if record.signing_seconds is not None:
            self._stage_seconds.labels("signing").observe(record.signing_seconds)

    def relay(
        self, context: RequestContext, grant_type: str, result: str, error: str | None = None
    ) -> None:
        """See :class:`IRequestObserver`."""
        self._relayed.labels(grant_type, result).inc()

    def introspection(self, context: RequestContext, result: str) -> None:
        """See :class:`IRequestObserver`."""
        self._introspections.labels(result).inc()

    def refused(self, trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        self._refused.labels(error.code).inc()

    def _observe_stages(self, trace: CheckTrace) -> None:
        self._stage_seconds.labels("queue").observe(trace.queue_seconds)
        for kind in REQUEST_STAGES:
            seconds = [request.seconds for request in trace.requests if request.kind is kind]
            if seconds:
                self._stage_seconds.labels(kind.value).observe(sum(seconds))


class UpstreamMetrics:
    """Counts the requests to Authentik."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "ropg_upstream_requests",
            "Requests to Authentik.",
            ["kind", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "ropg_upstream_request_seconds",
            "Time that requests to Authentik took.",
            ["kind"],
            registry=registry,
            buckets=BUCKETS,
        )

    def observe(self, request: UpstreamRequest) -> None:
        """Count one request."""
        self._requests.labels(request.kind.value, _status_class(request.status)).inc()
        self._seconds.labels(request.kind.value).observe(request.seconds)


def _status_class(status: int | None) -> str:
    defined = status is not None and 200 <= status < 600
    return f"{status // 100}xx" if status is not None and defined else NO_STATUS


Value: TypeAlias = float | Mapping[str, float] | None
"""The value of a metric, or its values by those of its label; ``None`` while there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric that is read from another object.

    Attributes:
        documentation: its help text.
        read: returns its value.
        label: the name of its label, if it has one.
    """

    documentation: str
    read: Callable[[], Value]
    label: str | None = None


class CallbackCollector(Collector):
    """Collects ``counters``, which only grow, and ``gauges``, by their names, at each scrape."""

    def __init__(self, counters: Mapping[str, Reading], gauges: Mapping[str, Reading]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """See :class:`Collector`."""
        for name, reading in self._counters.items():
            yield _family(CounterMetricFamily, name, reading)
        for name, reading in self._gauges.items():
            yield _family(GaugeMetricFamily, name, reading)


def _family(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, reading: Reading
) -> Metric:
    family = kind(name, reading.documentation, labels=[reading.label] if reading.label else [])
    value = reading.read()
    if isinstance(value, Mapping):
        for label, number in value.items():
            family.add_metric([label], number)
    elif value is not None:
        family.add_metric([], value)
    return family
