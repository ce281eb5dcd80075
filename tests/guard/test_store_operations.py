"""The shared store: operations that are late, or that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from limits.storage import RedisStorage
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard import shared_store
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.settings.values import STORE_SECONDS
from tests.fakes import CapturedLog


class ThreadTests(SynchronousTestCase):
    """An operation, and the thread that it waits for."""

    def ask(self, waits: float) -> tuple[str, list[RedisStorage]]:
        """The answer to an operation whose thread is free after ``waits`` seconds; its runs."""
        clock = Clock()
        redis = RedisStorage("redis://127.0.0.1:1/0")
        self.addCleanup(redis.storage.close)
        runs: list[RedisStorage] = []

        def run_later(reactor: object, threads: object, call: Callable[[], str]) -> Any:
            clock.advance(waits)
            return maybeDeferred(call)

        def operation(storage: RedisStorage) -> str:
            runs.append(storage)
            return "shared"

        self.patch(shared_store, "deferToThreadPool", run_later)
        store = SharedStore(redis, cast(Any, clock))
        answer = Deferred.fromCoroutine(store.run(operation, "local"))
        return self.successResultOf(answer), runs

    def test_an_operation_in_time_is_made(self) -> None:
        """It has the store, and its result is the answer."""
        answer, runs = self.ask(STORE_SECONDS / 2)
        self.assertEqual((answer, len(runs)), ("shared", 1))

    def test_an_operation_that_is_late_is_not_made(self) -> None:
        """The caller waits no longer, and the operation would count a second time."""
        self.assertEqual(self.ask(STORE_SECONDS), ("local", []))

    def test_a_question_that_is_cancelled_is_no_failure_of_the_store(self) -> None:
        """The store answers the next question, and the log is empty."""
        events = CapturedLog(self).events
        redis = RedisStorage("redis://127.0.0.1:1/0")
        self.addCleanup(redis.storage.close)
        store = SharedStore(redis, cast(Any, Clock()))
        self.patch(shared_store, "deferToThreadPool", lambda *_: Deferred())
        gone = Deferred.fromCoroutine(store.run(lambda _: "shared", "local"))
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.patch(shared_store, "deferToThreadPool", lambda _, __, call: maybeDeferred(call))
        answer = Deferred.fromCoroutine(store.run(lambda _: "shared", "local"))
        self.assertEqual(self.successResultOf(answer), "shared")
        self.assertEqual(events, [])
