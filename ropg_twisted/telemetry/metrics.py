"""Metrics that are read by callbacks when Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Readings: TypeAlias = Mapping[str, tuple[str, Callable[[], float]]]
"""The help text and the callback of each metric, by its name."""


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
