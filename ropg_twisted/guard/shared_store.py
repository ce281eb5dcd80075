"""Shared store of counts: a Redis, used from threads and with a timeout."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

from limits.storage import RedisStorage
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from ropg_twisted.settings.values import STORE_SECONDS
from ropg_twisted.types import IReactor

T = TypeVar("T")

PAUSE: Final = 5
"""Seconds for which a store is not used after a failure."""

MAX_THREADS: Final = 10
"""Concurrent operations."""


class SharedStore:
    """A Redis, through the library ``limits``. A daemon also works while it fails.

    ``redis``: its client must not retry, and must wait for at most :data:`STORE_SECONDS`.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, redis: RedisStorage, reactor: IReactor) -> None:
        self.redis = redis
        self._reactor = reactor
        self._threads = ThreadPool(0, MAX_THREADS, "limits store")
        self._failed = False
        self._paused_until = 0.0

    @property
    def failing(self) -> bool:
        """True from a failure until the store answers again."""
        return self._failed

    def start(self) -> None:
        """Start the threads."""
        self._threads.start()

    def stop(self) -> None:
        """Stop the threads. Blocks until the last operation has ended."""
        self._threads.stop()

    async def run(self, operation: Callable[[RedisStorage], T], otherwise: T) -> T:
        """Return the result of ``operation``, or ``otherwise`` while the store fails."""
        if self._is_paused():
            return otherwise
        expires = self._reactor.seconds() + STORE_SECONDS

        def run_in_time() -> T:
            # The wait for a thread may have been too long, or the store have failed meanwhile.
            if self._is_paused() or self._reactor.seconds() >= expires:
                return otherwise
            return operation(self.redis)

        running = deferToThreadPool(self._reactor, self._threads, run_in_time)
        try:
            result = await running.addTimeout(STORE_SECONDS, self._reactor)
        except CancelledError:
            raise
        except Exception as error:
            self._fail(type(error).__name__)
            return otherwise
        if self._failed and not self._is_paused():
            self.log.info("ROPG_LIMITS_STORE answers again: using shared counters")
            self._failed = False
        return result

    def _fail(self, kind: str) -> None:
        self._paused_until = self._reactor.seconds() + PAUSE
        if not self._failed:
            self.log.error("ROPG_LIMITS_STORE fails ({kind}): using local counters", kind=kind)
        self._failed = True

    def _is_paused(self) -> bool:
        return self._reactor.seconds() < self._paused_until
