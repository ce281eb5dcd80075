"""Counting attempts, alone or together with other daemons."""

from __future__ import annotations

import time

from limits import RateLimitItem
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.guard.sliding_windows import Key, SlidingWindows


class RateLimiter:
    """Counts of this process and, if there is a ``store``, of all daemons that use it.

    What is counted there has been counted here before, and both must have room: a store that fails,
    is emptied or forgets too soon gives nobody new attempts at the daemon that has counted.
    """

    def __init__(self, store: SharedStore | None, clock: IReactorTime) -> None:
        self._own = SlidingWindows(clock)
        self._store = store

    async def hit(self, rate: RateLimitItem, key: Key) -> bool:
        """Count one more if there is room for it; whether there was."""
        return self._own.has_room(rate, key) and await self.count(rate, key)

    async def count(self, rate: RateLimitItem, *keys: Key) -> bool:
        """Count one more of each, here in any case; whether the other daemons have left room."""
        for key in keys:
            self._own.add(rate, key)

        def ask(redis: RedisStorage) -> bool:
            hits = [_shared(redis).hit(rate, *key) for key in keys]
            return all(hits)

        return self._store is None or await self._store.ask(ask, otherwise=True)

    async def has_room(self, rate: RateLimitItem, key: Key, *, cost: int = 1) -> bool:
        """Whether there is room for ``cost`` more. Nothing is counted."""
        if not self._own.has_room(rate, key, cost=cost):
            return False

        def ask(redis: RedisStorage) -> bool:
            return _shared(redis).test(rate, *key, cost=cost)

        return self._store is None or await self._store.ask(ask, otherwise=True)

    async def seconds_left(self, rate: RateLimitItem, key: Key) -> int:
        """Whole seconds after which there may be room again, at least one."""
        own = self._own.seconds_left(rate, key)

        def ask(redis: RedisStorage) -> int:
            return round(_shared(redis).get_window_stats(rate, *key).reset_time - time.time())

        return own if self._store is None else max(own, await self._store.ask(ask, otherwise=own))


def _shared(redis: RedisStorage) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(redis)
