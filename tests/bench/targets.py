"""The targets of the daemon, and whether a run has met them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.clients import FLASK_THREADS, OURS_1000
from tests.bench.figures import quantile, ratios
from tests.bench.results import Results, row_of
from tests.bench.servers import (
    AIOHTTP_SAME,
    FLASK,
    OURS,
    OURS_BARE,
    OURS_BARE_EC,
    OURS_EC,
)

CPU: Final = ((OURS, 0.36), (OURS_EC, 0.28), (OURS_BARE, 0.27), (OURS_BARE_EC, 0.21))
"""The CPU time of a check, at most, as a part of Flask's."""

FULL_SPEED: Final = 0.95
"""The part of the best rate that counts as full speed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target. ``least``: the value must be at least the limit; otherwise at most."""

    text: str
    value: float
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        """True if the value is within the limit."""
        return self.value >= self.limit if self.least else self.value <= self.limit


def targets(results: Results) -> Iterator[Target]:
    """Yield the targets of the parts that have run."""
    if results.cpu:
        yield from _cpu(results)
    if results.clients:
        yield from _clients(results)
    if results.overload:
        yield from _overload(results)
    if results.latency:
        added = quantile(row_of(results.latency, OURS).added, 0.5)
        for milliseconds in (8, 6):
            yield Target("added latency at the median, ms", 1000 * added, milliseconds)


def _cpu(results: Results) -> Iterator[Target]:
    flask = row_of(results.cpu, FLASK).milliseconds
    for shape, limit in CPU:
        ratio = ratios(row_of(results.cpu, shape).milliseconds, flask).median
        yield Target(f"CPU per check of Flask's: {shape.name}", ratio, limit)
    aiohttp = row_of(results.cpu, AIOHTTP_SAME).milliseconds
    ratio = ratios(row_of(results.cpu, OURS).milliseconds, aiohttp).median
    yield Target("CPU per check of aiohttp's with the same requests", ratio, 1.0)


def _clients(results: Results) -> Iterator[Target]:
    row = row_of(results.clients, OURS_1000)
    flask = row_of(results.clients, FLASK_THREADS)
    name = f"1,000 clients, {OURS_1000.name.removeprefix('ours, ')}"
    yield Target(f"{name}: told later or unanswered", row.told_later + row.unanswered, 0)
    yield Target(f"{name}: rate, times Flask's", row.rate / flask.rate, 100, least=True)
    yield Target(f"{name}: p50, seconds", row.p50, 3)
    yield Target(f"{name}: p99, seconds", row.p99, 8)
    yield Target(f"{name}: memory over idle, MiB", row.memory_over, 60)
    yield Target(f"{name}: new connections to Authentik", row.connections, 0)
    row = row_of(results.clients, OURS)
    yield Target("1,000 clients, defaults: told later within, seconds", row.told_seconds, 1)
    yield Target("1,000 clients, defaults: unanswered", row.unanswered, 0)


def _overload(results: Results) -> Iterator[Target]:
    row = row_of(results.overload, OURS)
    goodput = median(row.goodput)
    yield Target("twice the rate: goodput, of the best", goodput, 0.9, least=True)
    yield Target("twice the rate: told later within, seconds", row.told_seconds, 1)
    yield Target("twice the rate: unanswered", row.unanswered, 0)
    after = median(row.after)
    yield Target("two seconds after: rate, of the best", after, FULL_SPEED, least=True)
