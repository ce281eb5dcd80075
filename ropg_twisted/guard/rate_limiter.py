"""Rate limiter: counts attempts in this process and in the shared store."""

from __future__ import annotations

import time

from limits import RateLimitItem
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.guard.sliding_windows import Key, SlidingWindows


class RateLimiter:
    """Counts attempts in this process and, if there is a ``store``, for all daemons that share it.

    Every attempt is counted locally first, and both counts must be below the limit. So a store that
    fails or loses its data gives nobody new attempts at a daemon that has counted.
    """

    def __init__(self, store: SharedStore | None, clock: IReactorTime) -> None:
        self._local = SlidingWindows(clock)
        self._store = store

    async def hit(self, rate: RateLimitItem, key: Key) -> bool:
        """Count one attempt unless the limit is reached. Return whether it was counted."""
        return self._local.has_room(rate, key) and await self.count(rate, key)

    async def count(self, rate: RateLimitItem, *keys: Key) -> bool:
        """Count one attempt for each key. Return whether the shared counts allowed it."""
        for key in keys:
            self._local.add(rate, key)

        def hit(redis: RedisStorage) -> bool:
            hits = [_shared(redis).hit(rate, *key) for key in keys]
            return all(hits)

        return self._store is None or await self._store.run(hit, otherwise=True)

    async def has_room(self, rate: RateLimitItem, key: Key, *, cost: int = 1) -> bool:
        """Return whether ``cost`` more attempts are allowed. Counts nothing."""
        if not self._local.has_room(rate, key, cost=cost):
            return False

        def test(redis: RedisStorage) -> bool:
            return _shared(redis).test(rate, *key, cost=cost)

        return self._store is None or await self._store.run(test, otherwise=True)

    async def seconds_left(self, rate: RateLimitItem, key: Key) -> int:
        """Return whole seconds after which an attempt may be allowed again, at least 1."""
        local = self._local.seconds_left(rate, key)

        def read(redis: RedisStorage) -> int:
            return round(_shared(redis).get_window_stats(rate, *key).reset_time - time.time())

        if self._store is None:
            return local
        return max(local, await self._store.run(read, otherwise=local))


def _shared(redis: RedisStorage) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(redis)
