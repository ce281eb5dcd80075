"""The store that several daemons share, asked in threads of its own and never for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from limits.storage import RedisStorage
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from ropg_twisted.settings.values import STORE_SECONDS

T = TypeVar("T")

PAUSE: Final = 5
"""Seconds for which a store that has failed is left alone."""

MAX_THREADS: Final = 10
"""Questions that are asked at a time."""


class SharedStore:
    """A Redis by way of ``limits``. It is no more than a help: a daemon works without it as well.

    ``redis``: its client sends nothing a second time, and waits for :data:`STORE_SECONDS` at most.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, redis: RedisStorage, reactor: Any) -> None:
        self.redis = redis
        self._reactor = reactor
        self._threads = ThreadPool(0, MAX_THREADS, "limits store")
        self._failed = False
        self._ask_again = 0.0

    def start(self) -> None:
        """Be there for questions."""
        self._threads.start()

    def stop(self) -> None:
        """End the threads, which takes as long as the last question."""
        self._threads.stop()

    async def ask(self, question: Callable[[RedisStorage], T], otherwise: T) -> T:
        """Answer a ``question``; ``otherwise`` while the store fails or is left alone."""
        if self._is_left_alone():
            return otherwise
        end = self._reactor.seconds() + STORE_SECONDS

        def ask_in_time() -> T:
            # Whoever has waited for a thread too long, or in vain, leaves the store alone as well.
            if self._is_left_alone() or self._reactor.seconds() >= end:
                return otherwise
            return question(self.redis)

        answer = deferToThreadPool(self._reactor, self._threads, ask_in_time)
        try:
            heard = await answer.addTimeout(STORE_SECONDS, self._reactor)
        except CancelledError:
            raise
        except Exception as error:
            self._fail(type(error).__name__)
            return otherwise
        if self._failed and not self._is_left_alone():
            self.log.info("ROPG_LIMITS_STORE answers again: using shared counters")
            self._failed = False
        return heard

    def _fail(self, kind: str) -> None:
        self._ask_again = self._reactor.seconds() + PAUSE
        if not self._failed:
            self.log.error("ROPG_LIMITS_STORE fails ({kind}): using local counters", kind=kind)
        self._failed = True

    def _is_left_alone(self) -> bool:
        return bool(self._reactor.seconds() < self._ask_again)
