"""Counting in sliding windows, in the memory of this process."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Final, TypeAlias

from limits import RateLimitItem
from twisted.internet.interfaces import IReactorTime

Key: TypeAlias = tuple[str, ...]
"""What is counted. The words are put one behind the other, so one that is typed comes last."""

MAX_COUNTS: Final = 100_000
"""Counts that are kept at a time."""


@dataclass(slots=True)
class _Window:
    """A window of ``seconds`` since ``began``: its ``count``, and that of the window ``before``."""

    began: float
    seconds: int
    count: int = 0
    before: int = 0

    def turn(self, now: float) -> None:
        """Begin the next window if this one is over."""
        passed = (now - self.began) // self.seconds
        if passed >= 1:
            self.before = self.count if passed == 1 else 0
            self.count = 0
            self.began += passed * self.seconds


class SlidingWindows:
    """Sliding window counters like those of ``limits``, on a clock that is passed in.

    ``limits.storage.MemoryStorage`` counts by the wall clock: a jump of it would give everybody new
    attempts. A count is that of the window which is open, and of the one before it the part that
    the last ``seconds`` still reach into, as if it had been counted evenly.

    At most :data:`MAX_COUNTS` are kept. To make room, those that are over are forgotten first, then
    the lowest: whoever wants a count of n forgotten has to make 75,000 others that are not lower.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def add(self, rate: RateLimitItem, key: Key) -> None:
        """Count one more, whether there is room for it or not."""
        name = rate.key_for(*key)
        if name not in self._windows:
            if len(self._windows) >= MAX_COUNTS:
                self._forget_some()
            self._windows[name] = _Window(self._clock.seconds(), rate.get_expiry())
        window = self._windows[name]
        window.turn(self._clock.seconds())
        window.count += 1

    def has_room(self, rate: RateLimitItem, key: Key, cost: int = 1) -> bool:
        """Whether there is room for ``cost`` more. Nothing is counted."""
        window = self._find(rate, key)
        before = floor(window.before * self._left(window) / window.seconds)
        return before + window.count + cost <= rate.amount

    def seconds_left(self, rate: RateLimitItem, key: Key) -> int:
        """Whole seconds after which there is room for one more if nobody else comes; at least 1."""
        window = self._find(rate, key)
        seconds = self._left(window)
        if window.count < rate.amount:
            # The window before has to slide away but for the room that this one leaves.
            seconds -= window.seconds * (rate.amount - window.count) / max(window.before, 1)
        else:
            # This one has to be over, and to slide away itself.
            seconds += window.seconds - window.seconds * rate.amount / window.count
        return max(1, floor(seconds) + 1)

    def _find(self, rate: RateLimitItem, key: Key) -> _Window:
        now = self._clock.seconds()
        window = self._windows.get(rate.key_for(*key)) or _Window(now, rate.get_expiry())
        window.turn(now)
        return window

    def _left(self, window: _Window) -> float:
        """Seconds until a window is over."""
        return window.began + window.seconds - self._clock.seconds()

    def _forget_some(self) -> None:
        now = self._clock.seconds()
        for window in self._windows.values():
            window.turn(now)
        used = [(max(w.count, w.before), name) for name, w in self._windows.items()]
        kept = sorted((entry for entry in used if entry[0]), key=lambda entry: entry[0])
        kept = kept[-(MAX_COUNTS * 3 // 4) :]
        self._windows = {name: self._windows[name] for _, name in kept}
