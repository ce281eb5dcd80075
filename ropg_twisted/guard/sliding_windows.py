"""Sliding window counters in the memory of this process."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Final, TypeAlias

from limits import RateLimitItem
from twisted.internet.interfaces import IReactorTime

Key: TypeAlias = tuple[str, ...]
"""Identifies a count. Its words are joined, so a word that a user chooses comes last."""

MAX_COUNTS: Final = 100_000
"""Maximum number of counts."""


@dataclass(slots=True)
class _Window:
    """A window of ``seconds`` since ``began``, its ``count``, and that of the previous window."""

    began: float
    seconds: int
    count: int = 0
    previous: int = 0

    def turn(self, now: float) -> None:
        """Start a new window if this one has ended."""
        passed = (now - self.began) // self.seconds
        if passed >= 1:
            self.previous = self.count if passed == 1 else 0
            self.count = 0
            self.began += passed * self.seconds


class SlidingWindows:
    """Sliding window counters like those of ``limits``, but on ``clock``.

    ``limits.storage.MemoryStorage`` uses the wall clock: a jump of it would give everybody new
    attempts. A count is the sum of the current window and of a part of the previous one: the part
    that the last ``seconds`` overlap, as if its attempts had come evenly.

    At most :data:`MAX_COUNTS` are kept. When there are more, ended windows are dropped first, then
    the lowest counts. To have a count of n dropped, an attacker must make 75,000 counts of at least
    n.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def add(self, rate: RateLimitItem, key: Key) -> None:
        """Count one attempt, even above the limit."""
        name = rate.key_for(*key)
        if name not in self._windows:
            if len(self._windows) >= MAX_COUNTS:
                self._drop_some()
            self._windows[name] = _Window(self._clock.seconds(), rate.get_expiry())
        window = self._windows[name]
        window.turn(self._clock.seconds())
        window.count += 1

    def has_room(self, rate: RateLimitItem, key: Key, cost: int = 1) -> bool:
        """Return whether ``cost`` more attempts are allowed. Counts nothing."""
        window = self._find(rate, key)
        previous = floor(window.previous * self._left(window) / window.seconds)
        return previous + window.count + cost <= rate.amount

    def seconds_left(self, rate: RateLimitItem, key: Key) -> int:
        """Return whole seconds after which one more attempt is allowed, at least 1."""
        window = self._find(rate, key)
        seconds = self._left(window)
        if window.count < rate.amount:
            # The previous window has to shrink to what this one leaves free.
            seconds -= window.seconds * (rate.amount - window.count) / max(window.previous, 1)
        else:
            # This window has to end, and then to shrink itself.
            seconds += window.seconds - window.seconds * rate.amount / window.count
        return max(1, floor(seconds) + 1)

    def _find(self, rate: RateLimitItem, key: Key) -> _Window:
        now = self._clock.seconds()
        window = self._windows.get(rate.key_for(*key)) or _Window(now, rate.get_expiry())
        window.turn(now)
        return window

    def _left(self, window: _Window) -> float:
        """Seconds until a window ends."""
        return window.began + window.seconds - self._clock.seconds()

    def _drop_some(self) -> None:
        now = self._clock.seconds()
        for window in self._windows.values():
            window.turn(now)
        used = [(max(w.count, w.previous), name) for name, w in self._windows.items()]
        kept = sorted((entry for entry in used if entry[0]), key=lambda entry: entry[0])
        kept = kept[-(MAX_COUNTS * 3 // 4) :]
        self._windows = {name: self._windows[name] for _, name in kept}
