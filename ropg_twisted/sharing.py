"""Work that is done once for all who ask for it at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Shared(Generic[K, T]):
    """Pieces of work under way, by what they are about."""

    def __init__(self) -> None:
        self._under_way: dict[K, _Work[T]] = {}

    def join(self, key: K, work: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> Deferred[T]:
        """What the work about ``key`` comes to: that under way, or else ``work``, which begins.

        It is cancelled when the last who waits for it has given up.
        """
        if key in self._under_way:
            return self._under_way[key].join()
        begun: _Work[T] = _Work(lambda: self._forget(key, begun))
        self._under_way[key] = begun
        waiter = begun.join()
        begun.begin(Deferred.fromCoroutine(work()))
        return waiter

    def _forget(self, key: K, work: _Work[T]) -> None:
        if self._under_way.get(key) is work:
            del self._under_way[key]


class _Work(Generic[T]):
    """One piece of work and all who wait for it; ``over`` is called at its end."""

    def __init__(self, over: Callable[[], object]) -> None:
        self._over = over
        self._waiting: list[Deferred[T]] = []

    def join(self) -> Deferred[T]:
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def begin(self, result: Deferred[T]) -> None:
        self._result = result.addBoth(self._tell)

    def _tell(self, result: T | Failure) -> None:
        self._over()
        while self._waiting:
            self._waiting.pop(0).callback(result)

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting:
            self._over()
            self._result.cancel()
