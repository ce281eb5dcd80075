"""Figures that others keep, read when Prometheus asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Readings: TypeAlias = Mapping[str, tuple[str, Callable[[], float]]]
"""By the name of a metric: what it says, and where to read it."""


class CallbackCollector(Collector):
    """Reads ``counters``, which only grow, and ``gauges``."""

    def __init__(self, counters: Readings, gauges: Readings) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """See :class:`Collector`."""
        for name, (meaning, read) in self._counters.items():
            yield CounterMetricFamily(name, meaning, value=read())
        for name, (meaning, read) in self._gauges.items():
            yield GaugeMetricFamily(name, meaning, value=read())
