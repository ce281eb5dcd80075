"""Counting together in a real Redis, and alone while there is none."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from limits import parse
from limits.storage import RedisStorage
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ropg_twisted.guard.counts import PAUSE, Counts
from ropg_twisted.guard.throttle import Throttle
from ropg_twisted.interfaces import Login
from ropg_twisted.settings.model import Rates
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.values import STORE_SECONDS
from tests.daemon import Process, free_port
from tests.fakes import RIGHT, Listens, Says

T = TypeVar("T")

reactor: Final = cast(Any, running)

REDIS = shutil.which("redis-server")

ALLOWED = 4
RATE = parse(f"{ALLOWED} per day")
ALICE = ("user", "alice")


class OwnTime(Clock):
    """The reactor that runs the test, with its threads, but with a time that the test tells."""

    getThreadPool = reactor.getThreadPool
    callFromThread = reactor.callFromThread


class Peer(Protocol):
    """Something that is no Redis: it says its ``banner``, or hangs up if it has none."""

    def __init__(self, banner: bytes | None, known: set[Peer]) -> None:
        self._banner = banner
        self._known = known

    def connectionMade(self) -> None:
        """Say it."""
        assert self.transport is not None
        self._known.add(self)
        if self._banner is None:
            self.transport.loseConnection()
        else:
            self.transport.write(self._banner)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Be gone."""
        self._known.discard(self)


class CountsTestCase(TestCase):
    """Counts on a store, as the daemon makes them."""

    def setUp(self) -> None:
        """Listen to the log."""
        self.events = Listens(self).events
        self.clock = OwnTime()

    def counts(self, url: str) -> Counts:
        """What one daemon knows."""
        environ = {
            "AUTHENTIK_URL": "https://authentik.example.com",
            "PROXY_ISSUER": "https://ropg.example.com",
            "ROPG_LIMITS_STORE": url,
        }
        store = read_settings({}, environ).limits_store
        assert isinstance(store, RedisStorage)
        self.addCleanup(store.storage.close)
        return Counts(store, self.clock)

    def at_once(self, answer: Coroutine[Deferred[Any], Any, T]) -> T:
        """An answer for which nobody else is asked."""
        return self.successResultOf(Deferred.fromCoroutine(answer))

    def said(self, what: str) -> int:
        """How many lines of the log hold these words."""
        return sum(what in event.get("log_format", "") for event in self.events)

    async def expect_alone(self, counts: Counts, name: str) -> None:
        """A store that has failed is left alone, and its limits hold all the same."""
        said = self.said("counting alone")
        self.assertTrue(await counts.has_room(RATE, *ALICE, cost=ALLOWED), name)
        hits = [self.at_once(counts.hit(RATE, *ALICE)) for _ in range(ALLOWED + 1)]
        self.assertEqual(hits, [True] * ALLOWED + [False], name)
        self.assertGreaterEqual(self.at_once(counts.seconds_left(RATE, *ALICE)), 1, name)
        self.assertEqual(self.said("counting alone") - said, 1, name)


class RedisTests(CountsTestCase):
    """Daemons that share a Redis, and lose it."""

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

    def hang(self) -> None:
        """Let Redis do nothing any more, not even refuse."""
        os.kill(self.redis.pid, signal.SIGSTOP)

    async def test_daemons_count_together(self) -> None:
        """What one daemon has counted is no longer free at another."""
        first, second = self.counts(self.url), self.counts(self.url)
        for counts in (first, second, second, first):
            self.assertTrue(await counts.has_room(RATE, *ALICE, cost=1))
            self.assertTrue(await counts.hit(RATE, *ALICE))
        for counts in (first, second, self.counts(self.url)):
            self.assertFalse(await counts.has_room(RATE, *ALICE, cost=1))
            self.assertFalse(await counts.hit(RATE, *ALICE))
            self.assertTrue(await counts.has_room(RATE, "user", "bob", cost=ALLOWED))
            self.assertGreaterEqual(await counts.seconds_left(RATE, *ALICE), 1)
        self.assertEqual(self.events, [])

    async def test_a_redis_that_dies_opens_no_gate(self) -> None:
        """Each daemon goes on with what it has counted itself, says so once, and lets in."""
        first, second = self.counts(self.url), self.counts(self.url)
        for counts in (first, first, first, second):
            self.assertTrue(await counts.hit(RATE, *ALICE))
        self.redis.end(signal.SIGKILL)
        for counts, left in ((first, ALLOWED - 3), (second, ALLOWED - 1)):
            self.assertTrue(await counts.has_room(RATE, *ALICE, cost=left))
            hits = [await counts.hit(RATE, *ALICE) for _ in range(ALLOWED)]
            self.assertEqual(hits, [True] * left + [False] * (ALLOWED - left))
            throttle = Throttle(Says(RIGHT), counts)
            for _ in range(2 * ALLOWED):
                check = throttle.verify(Login("bob", "x", "192.0.2.7"), Rates(user=RATE))
                self.assertEqual(await check, RIGHT)
        self.clock.advance(PAUSE)
        for counts in (first, second):
            self.assertFalse(await counts.hit(RATE, *ALICE))
        self.assertEqual(self.said("counting alone"), 2)

    async def test_a_redis_that_is_back_counts_again(self) -> None:
        """After a pause, in which nobody asks for it, a new Redis is used by all; said once."""
        first, second = self.counts(self.url), self.counts(self.url)
        self.redis.end(signal.SIGKILL)
        for counts in (first, second):
            await counts.hit(RATE, *ALICE)
        self.start()
        self.clock.advance(PAUSE - 1)
        for counts in (first, second):
            self.assertTrue(self.at_once(counts.hit(RATE, *ALICE)))
        self.clock.advance(1)
        for counts in (first, second, second, first):
            self.assertTrue(await counts.hit(RATE, *ALICE))
        for counts in (first, second):
            self.assertFalse(await counts.has_room(RATE, *ALICE, cost=1))
        self.assertEqual((self.said("counting alone"), self.said("counting together")), (2, 2))

    async def test_a_redis_that_hangs(self) -> None:
        """It costs one check its bound, the others nothing, and the reactor goes on meanwhile."""
        counts = self.counts(self.url)
        self.assertTrue(await counts.hit(RATE, *ALICE))
        self.hang()
        turns: list[None] = []
        turning = LoopingCall(turns.append, None)
        turning.start(STORE_SECONDS / 20)
        try:
            answer = Deferred.fromCoroutine(counts.hit(RATE, *ALICE))
            self.assertTrue(await answer.addTimeout(10 * STORE_SECONDS, reactor))
        finally:
            turning.stop()
        self.assertGreater(len(turns), 2)
        for hit in (True, True, False):
            self.assertEqual(self.at_once(counts.hit(RATE, *ALICE)), hit)
        os.kill(self.redis.pid, signal.SIGCONT)
        self.clock.advance(PAUSE)
        self.assertTrue(await counts.has_room(RATE, "user", "bob", cost=ALLOWED))
        self.assertEqual((self.said("counting alone"), self.said("counting together")), (1, 1))

    async def test_a_redis_that_hangs_for_many(self) -> None:
        """Checks that ask at the same moment do not wait for each other's bound."""
        counts = self.counts(self.url)
        await counts.hit(RATE, *ALICE)
        self.hang()
        answers = []
        for _ in range(100):
            answer = Deferred.fromCoroutine(counts.has_room(RATE, *ALICE, cost=1))
            answers.append(answer.addTimeout(5 * STORE_SECONDS, reactor))
        heard = await DeferredList(answers, consumeErrors=True)
        self.assertEqual(sum(in_time for in_time, _ in heard), len(answers))

    async def test_a_redis_with_a_password(self) -> None:
        """Without its password, counting goes on alone; no log shows what was tried."""
        self.redis.end(signal.SIGKILL)
        self.start("--requirepass", "right")
        place = f"127.0.0.1:{self.port}"
        for url in (f"redis://{place}", f"redis://:canary@{place}", f"redis://who:right@{place}"):
            await self.expect_alone(self.counts(url), url)
        first, second = (self.counts(f"redis://:right@{place}") for _ in range(2))
        for counts in (first, second, first, second):
            self.assertTrue(await counts.hit(RATE, *ALICE))
        self.assertFalse(await first.hit(RATE, *ALICE))
        self.assertNotIn("canary", repr(self.events))


class OtherPeerTests(CountsTestCase):
    """Something else where a Redis should be."""

    def listen(self, banner: bytes | None) -> str:
        """The URL of a peer, until the test is over."""
        known: set[Peer] = set()
        factory = Factory.forProtocol(lambda: Peer(banner, known))
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.leave, known)
        self.addCleanup(port.stopListening)
        return f"redis://127.0.0.1:{port.getHost().port}"

    def leave(self, known: set[Peer]) -> Deferred[None]:
        """Close all connections, and let the reactor see that they are."""
        for peer in list(known):
            cast(Any, peer.transport).abortConnection()
        gone: Deferred[None] = Deferred()
        reactor.callLater(0, gone.callback, None)
        return gone

    async def test_no_redis(self) -> None:
        """Whatever is there or not, counting goes on alone."""
        rows: list[tuple[str, bytes | None]] = [
            ("hangs up", None),
            ("silent", b""),
            ("a web server", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
            ("TLS", b"\x15\x03\x01\x00\x02\x02\x46\r\n"),
            ("memcached", b"ERROR\r\n" * 9),
            ("a Redis that is loading", b"-LOADING Redis is loading the dataset\r\n" * 9),
        ]
        for name, banner in rows:
            await self.expect_alone(self.counts(self.listen(banner)), name)
        await self.expect_alone(self.counts(f"redis://127.0.0.1:{free_port()}"), "nobody")
        await self.expect_alone(self.counts("redis+unix:///nowhere/redis.sock"), "no socket")

    async def test_a_redis_out_of_its_mind(self) -> None:
        """Answers in the right form that mean nothing are a failure like any other."""
        for banner in (b":x\r\n" * 9, b"+OK\r\n" * 20, b"$x\r\n" * 9):
            await self.expect_alone(self.counts(self.listen(banner)), repr(banner))
