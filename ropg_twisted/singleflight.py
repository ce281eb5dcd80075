"""Single flight: concurrent callers with the same key share one call."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ropg_twisted.types import DeferredCoroutine

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Calls that run now, by their keys.

    ``joined``: the number of callers that have joined a running call.
    """

    def __init__(self) -> None:
        self.joined = 0
        self._calls: dict[K, _Call[T]] = {}

    def join(self, key: K, work: Callable[[], DeferredCoroutine[T]]) -> Deferred[T]:
        """Return the result of the running call for ``key``; start ``work`` if there is none.

        The call is cancelled when its last caller has cancelled. Until it has ended, others can
        still join. If it ends in spite of the cancellation, they get its result; if not, it starts
        again for them.
        """
        running = self._calls.get(key)
        if running is not None:
            self.joined += 1
            return running.join()
        call = _Call(work, lambda: self._calls.pop(key))
        self._calls[key] = call
        waiter = call.join()
        call.start()
        return waiter


class _Call(Generic[T]):
    """Call and the callers that wait for it. ``ended`` is called at its end."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, work: Callable[[], DeferredCoroutine[T]], ended: Callable[[], object]
    ) -> None:
        self._work = work
        self._ended = ended
        self._waiters: list[Deferred[T]] = []

    def join(self) -> Deferred[T]:
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiters.append(waiter)
        return waiter

    def start(self) -> None:
        self._abandoned = False
        self._result = Deferred.fromCoroutine(self._work())
        self._result.addBoth(self._end)

    def _end(self, result: T | Failure) -> None:
        cancelled = isinstance(result, Failure) and result.check(CancelledError)
        if cancelled and self._abandoned and self._waiters:
            self.start()
            return
        self._ended()
        if isinstance(result, Failure) and not cancelled and not self._waiters:
            self.log.failure("internal_error", result)
        while self._waiters:
            self._waiters.pop(0).callback(result)

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiters.remove(waiter)
        if not self._waiters and not self._abandoned:
            self._abandoned = True
            self._result.cancel()
