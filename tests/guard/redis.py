"""Shared stores as the daemon makes them, and a Redis of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from limits import parse
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.values import STORE_SECONDS
from tests.daemon import Process
from tests.fakes import CapturedLog
from tests.ports import free_port

T = TypeVar("T")

reactor: Final = cast(Any, running)

REDIS = shutil.which("redis-server")
LOCAL = "ROPG_LIMITS_STORE fails ({kind}): using local counters"
SHARED = "ROPG_LIMITS_STORE answers again: using shared counters"
ALLOWED = 4
RATE = parse(f"{ALLOWED} per day")
MAIL = "alice@example.com"
HOME, OFFICE = IPv4Address("198.51.100.1"), IPv6Network("2001:db8::/64")
ALICE, BOB = ("user", "alice"), ("user", "bob")


class ControlledReactor(Clock):
    """The running reactor, with a clock that the test moves."""

    callFromThread = reactor.callFromThread


class StoreTestCase(TestCase):
    """Stores as the daemon makes them, and what is counted on them."""

    def setUp(self) -> None:
        """Listen to the log."""
        self.events = CapturedLog(self).events
        self.clock = ControlledReactor()

    def limiter(self, url: str) -> RateLimiter:
        """The limiter of one daemon."""
        return RateLimiter(self.store(url), self.clock)

    def store(self, url: str, clock: Any = None) -> SharedStore:
        """The store of one daemon."""
        environ = {
            "AUTHENTIK_URL": "https://authentik.example.com",
            "PROXY_ISSUER": "https://ropg.example.com",
            "ROPG_LIMITS_STORE": url,
        }
        redis = read_settings({}, environ).limits_store
        assert redis is not None
        store = SharedStore(redis.storage, cast(Any, clock or self.clock))
        store.start()
        self.addCleanup(store.redis.storage.close)
        self.addCleanup(store.stop)
        return store

    def at_once(self, answer: Coroutine[Deferred[Any], Any, T]) -> T:
        """An answer for which nobody else is asked."""
        return self.successResultOf(Deferred.fromCoroutine(answer))

    def said(self, what: str) -> int:
        """The number of log lines that hold these words."""
        return sum(what in event.get("log_format", "") for event in self.events)

    async def expect_alone(self, limiter: RateLimiter, name: str) -> None:
        """A store that has failed is left alone, and its limits hold all the same."""
        said = self.said(LOCAL)
        self.assertTrue(await limiter.has_room(RATE, ALICE, cost=ALLOWED), name)
        hits = [self.at_once(limiter.hit(RATE, ALICE)) for _ in range(ALLOWED + 1)]
        self.assertEqual(hits, [True] * ALLOWED + [False], name)
        self.assertGreaterEqual(self.at_once(limiter.seconds_left(RATE, ALICE)), 1, name)
        self.assertEqual(self.said(LOCAL) - said, 1, name)

    async def expect_in_time(self, limiter: RateLimiter) -> None:
        """Many questions at the same moment take no longer than one, but for some patience."""
        answers = []
        for number in range(100):
            answer = Deferred.fromCoroutine(limiter.has_room(RATE, ("user", f"{number}")))
            answers.append(answer.addTimeout(5 * STORE_SECONDS, reactor))
        heard = await DeferredList(answers, consumeErrors=True)
        self.assertEqual(heard, [(True, True)] * len(answers))


class RedisTestCase(StoreTestCase):
    """Stores in a Redis of the test's own."""

    skip = None if REDIS else "redis-server is not installed"

    def setUp(self) -> None:
        """Start a Redis that nobody else uses, and that keeps nothing."""
        super().setUp()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.redis = self.start()

    def start(self, *options: str) -> Process:
        """A Redis that is ready, until the test is over."""
        assert REDIS is not None
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
        redis = Process(REDIS, *fixed, *options, environ={}, folder=self.folder)
        self.addCleanup(redis.end, signal.SIGKILL)
        redis.wait_for(lambda line: "Ready to accept connections" in line)
        return redis

    async def flush(self) -> None:
        """Let Redis forget everything."""
        await deferToThread(self.store(self.url).redis.storage.flushall)

    def hang(self) -> None:
        """Let Redis do nothing any more, not even refuse."""
        os.kill(self.redis.pid, signal.SIGSTOP)
