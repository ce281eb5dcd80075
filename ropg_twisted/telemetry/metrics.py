"""Metrics for Prometheus. No value from outside is ever a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from zope.interface import implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.networks import Address
from ropg_twisted.telemetry.observers import CheckRecord, IRequestObserver
from ropg_twisted.trace_context import TraceContext

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
"""Seconds. A login at Authentik takes about one; the default deadline is 15."""

Readings: TypeAlias = Mapping[str, tuple[str, Callable[[], float]]]
"""The help text and the callback of each metric, by its name."""


@implementer(IRequestObserver)
class RequestMetrics:
    """Counts the results of requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Counter(
            "ropg_checks", "Password checks.", ["verdict", "reason"], registry=registry
        )
        self._refused = Counter(
            "ropg_refused", "Requests that could not be served.", ["error"], registry=registry
        )
        self._relayed = Counter(
            "ropg_relayed", "Grants that Authentik answers.", ["grant", "result"], registry=registry
        )
        self._seconds = Histogram(
            "ropg_check_seconds",
            "Time that checks took.",
            ["verdict"],
            registry=registry,
            buckets=BUCKETS,
        )

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        verdict, reason = record.outcome.verdict.value, record.outcome.reason.value
        self._checks.labels(verdict, reason).inc()
        self._seconds.labels(verdict).observe(record.seconds)

    def relay(self, context: RequestContext, result: str, error: str | None = None) -> None:
        """See :class:`IRequestObserver`."""
        self._relayed.labels(context.grant, result).inc()

    def refused(self, trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        self._refused.labels(error.code).inc()


class CallbackCollector(Collector):
    """Collects ``counters``, which only grow, and ``gauges``."""

    def __init__(self, counters: Readings, gauges: Readings) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """See :class:`Collector`."""
        for name, (documentation, read) in self._counters.items():
            yield CounterMetricFamily(name, documentation, value=read())
        for name, (documentation, read) in self._gauges.items():
            yield GaugeMetricFamily(name, documentation, value=read())
