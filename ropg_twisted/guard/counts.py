"""Counting attempts in sliding windows, alone or together with other daemons."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from limits import RateLimitItem
from limits.storage import MemoryStorage, Storage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

T = TypeVar("T")

PAUSE: Final = 5
"""Seconds for which a shared store that has failed is left alone."""


class Counts:
    """Counts of this process and, if there is a ``shared`` store, of all daemons that use it.

    What is counted there is counted here as well: if the shared store fails, each daemon goes on
    with what it knows itself, and says so.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, shared: Storage | None, reactor: Any) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if shared is None else SlidingWindowCounterRateLimiter(shared)
        self._reactor = reactor
        self._failed = False
        self._ask_again = 0.0

    async def hit(self, rate: RateLimitItem, *key: str) -> bool:
        """Count one more, if there is room for it; say whether there was."""
        return await self._ask(lambda counts: counts.hit(rate, *key))

    async def has_room(self, rate: RateLimitItem, *key: str, cost: int) -> bool:
        """Whether there is room for ``cost`` more. Nothing is counted."""
        return await self._ask(lambda counts: counts.test(rate, *key, cost=cost))

    async def seconds_left(self, rate: RateLimitItem, *key: str) -> int:
        """Whole seconds after which there may be room again, at least one."""
        stats = await self._ask(lambda counts: counts.get_window_stats(rate, *key))
        return max(1, round(stats.reset_time - time.time()))

    async def _ask(self, question: Callable[[RateLimiter], T]) -> T:
        own = question(self._own)
        shared = self._shared
        if shared is None or self._is_left_alone():
            return own

        def ask_shared() -> T:
            # Who has waited for a thread may find that the store has failed meanwhile.
            if self._is_left_alone():
                return own
            try:
                return question(shared)
            except Exception:
                self._ask_again = self._reactor.seconds() + PAUSE
                raise

        pool = self._reactor.getThreadPool()
        try:
            answer = await deferToThreadPool(self._reactor, pool, ask_shared)
        except CancelledError:
            raise
        except Exception as error:
            if not self._failed:
                kind = type(error).__name__
                self.log.error("ROPG_LIMITS_STORE fails ({kind}): counting alone", kind=kind)
            self._failed = True
            return own
        if self._failed and not self._is_left_alone():
            self.log.info("ROPG_LIMITS_STORE is back: counting together")
            self._failed = False
        return answer

    def _is_left_alone(self) -> bool:
        return bool(self._reactor.seconds() < self._ask_again)
