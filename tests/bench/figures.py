"""Medians, quantiles and ratios of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of values, of which there is at least one."""
    return Spread(median(values), min(values), max(values))


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of the ratios of two servers, round by round.

    A machine that is slower for a while slows both of a round, so their ratio stays.
    """
    return spread([value / other for value, other in zip(values, base, strict=True)])


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least ``part`` of the values do not exceed."""
    ordered = sorted(values)
    position = -int(-part * len(ordered) // 1) - 1
    return ordered[min(len(ordered) - 1, max(0, position))]
