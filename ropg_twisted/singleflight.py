"""Work that is done once for all who ask for it at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Pieces of work under way, by what they are about."""

    def __init__(self) -> None:
        self._under_way: dict[K, _Call[T]] = {}

    def join(self, key: K, work: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> Deferred[T]:
        """The result of the work about ``key``: that under way, or else ``work``, which begins.

        When the last who waits for it has given up, the work is cancelled. It can be joined until
        it has ended: if it goes on in spite of that, its result is for those who have joined
        meanwhile, and if it does not, it begins again for them.
        """
        under_way = self._under_way.get(key)
        if under_way is not None:
            return under_way.join()
        begun = _Call(work, lambda: self._under_way.pop(key))
        self._under_way[key] = begun
        waiter = begun.join()
        begun.begin()
        return waiter


class _Call(Generic[T]):
    """One piece of work and all who wait for it; ``over`` is called at its end."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, work: Callable[[], Coroutine[Deferred[Any], Any, T]], over: Callable[[], object]
    ) -> None:
        self._work = work
        self._over = over
        self._waiting: list[Deferred[T]] = []

    def join(self) -> Deferred[T]:
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def begin(self) -> None:
        self._given_up = False
        self._result = Deferred.fromCoroutine(self._work())
        self._result.addBoth(self._end)

    def _end(self, result: T | Failure) -> None:
        cancelled = isinstance(result, Failure) and result.check(CancelledError)
        if cancelled and self._given_up and self._waiting:
            self.begin()
            return
        self._over()
        if isinstance(result, Failure) and not cancelled and not self._waiting:
            self.log.failure("internal_error", result)
        while self._waiting:
            self._waiting.pop(0).callback(result)

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting and not self._given_up:
            self._given_up = True
            self._result.cancel()
