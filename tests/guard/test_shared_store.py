"""Counts in a real Redis, and without it when it fails."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, cast

from limits.storage import RedisStorage
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from ropg_twisted.guard.accepted_logins import AcceptedLogins
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import UserRateLimit
from ropg_twisted.guard.shared_store import MAX_THREADS, PAUSE, SharedStore
from ropg_twisted.interfaces import LoginAttempt, Rates
from ropg_twisted.settings.values import STORE_SECONDS
from tests.daemon import PATIENCE
from tests.fakes import RIGHT, FixedVerifier
from tests.guard.redis import (
    ALICE,
    ALLOWED,
    BOB,
    LOCAL,
    RATE,
    SHARED,
    RedisTestCase,
    StoreTestCase,
    reactor,
)
from tests.parametrize import parametrize
from tests.ports import free_port


class BannerServer(Protocol):
    """A server that is not Redis: it sends its ``banner``, or hangs up if it has none."""

    def __init__(self, banner: bytes | None, known: set[BannerServer]) -> None:
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


class SharedStoreTests(StoreTestCase):
    """Questions that a store is asked, whatever they are."""

    def setUp(self) -> None:
        """A store that nobody listens at, and questions that wait for the test."""
        super().setUp()
        self.asked: list[int] = []
        self.go_on = threading.Event()

    def started(self) -> SharedStore:
        """A store whose questions are not for it."""
        store = self.store("redis://127.0.0.1:1")
        self.addCleanup(self.go_on.set)
        return store

    def ask(self, store: SharedStore, number: int) -> Deferred[bool]:
        """A question that takes until the test goes on."""

        def wait(_: RedisStorage) -> bool:
            self.asked.append(number)
            return self.go_on.wait(PATIENCE)

        return Deferred.fromCoroutine(store.run(wait, otherwise=False))

    async def until(self, count: int) -> None:
        """Wait until so many have been asked."""
        while len(self.asked) < count:
            await deferLater(reactor, 0.002)

    async def test_a_question_has_half_a_second(self) -> None:
        """A caller waits no longer for answer or thread. A late question is not asked."""
        self.assertEqual(STORE_SECONDS, 0.5)
        store = self.started()
        questions = [self.ask(store, number) for number in range(MAX_THREADS + 2)]
        await self.until(MAX_THREADS)
        self.clock.advance(STORE_SECONDS - 0.1)
        for question in questions:
            self.assertNoResult(question)
        self.clock.advance(0.1)
        for question in questions:
            self.assertEqual(self.successResultOf(question), False)
        self.assertEqual(self.said(LOCAL), 1)
        self.clock.advance(PAUSE)
        last = self.ask(store, -1)
        self.go_on.set()
        self.assertTrue(await last)
        self.assertEqual(sorted(self.asked), [-1, *range(MAX_THREADS)])
        self.assertEqual(self.said(SHARED), 1)

    async def test_a_store_that_has_failed_is_left_alone(self) -> None:
        """For five seconds at a time; it is said once how it stands."""
        store = self.started()
        for _ in range(3):
            failing = Deferred.fromCoroutine(store.run(lambda _: 1 // 0, otherwise=7))
            self.assertEqual(await failing, 7)
            self.clock.advance(PAUSE - 0.1)
            self.assertFalse(self.successResultOf(self.ask(store, 0)))
            self.clock.advance(0.1)
        self.assertEqual((self.said(LOCAL), self.asked), (1, []))

    async def test_an_early_answer_is_no_sign_of_life(self) -> None:
        """Only a question that was asked after the pause shows that the store answers again."""
        store = self.started()
        early = self.ask(store, 0)
        await self.until(1)
        failing = Deferred.fromCoroutine(store.run(lambda _: 1 // 0, otherwise=7))
        self.assertEqual(await failing, 7)
        self.go_on.set()
        self.assertTrue(await early)
        self.assertEqual(self.said(SHARED), 0)


class RedisTests(RedisTestCase):
    """Daemons that count together in a Redis, and lose it."""

    async def test_daemons_count_together(self) -> None:
        """An attempt that one daemon has counted is no longer free at another."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        for number, limiter in enumerate((first, second, second, first)):
            for cost in (1, 2, 3, 4, 5):
                room = await limiter.has_room(RATE, ALICE, cost=cost)
                self.assertEqual(room, number + cost <= ALLOWED)
            self.assertTrue(await limiter.hit(RATE, ALICE))
        for limiter in (first, second, self.limiter(self.url)):
            self.assertFalse(await limiter.has_room(RATE, ALICE, cost=1))
            self.assertFalse(await limiter.hit(RATE, ALICE))
            self.assertTrue(await limiter.has_room(RATE, BOB, cost=ALLOWED))
            self.assertGreaterEqual(await limiter.seconds_left(RATE, ALICE), 1)
        self.assertEqual(self.events, [])

    async def test_a_redis_that_dies_opens_no_gate(self) -> None:
        """Each daemon goes on with what it has counted itself, says so once, and lets in."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        for limiter in (first, first, first, second):
            self.assertTrue(await limiter.hit(RATE, ALICE))
        self.redis.end(signal.SIGKILL)
        for limiter, left in ((first, ALLOWED - 3), (second, ALLOWED - 1)):
            self.assertTrue(await limiter.has_room(RATE, ALICE, cost=left))
            hits = [await limiter.hit(RATE, ALICE) for _ in range(ALLOWED)]
            self.assertEqual(hits, [True] * left + [False] * (ALLOWED - left))
            accepted = AcceptedLogins(None, self.clock)
            limit = UserRateLimit(FixedVerifier(RIGHT), limiter, accepted)
            for _ in range(2 * ALLOWED):
                check = limit.verify(LoginAttempt("bob", "x", rates=Rates(user=RATE)))
                self.assertEqual(await check, RIGHT)
        self.clock.advance(PAUSE)
        for limiter in (first, second):
            self.assertFalse(await limiter.hit(RATE, ALICE))
        self.assertEqual(self.said(LOCAL), 2)

    async def test_a_redis_that_is_back_counts_again(self) -> None:
        """After a pause, in which nobody asks for it, a new Redis is used by all; said once."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        self.redis.end(signal.SIGKILL)
        for limiter in (first, second):
            await limiter.hit(RATE, ALICE)
        self.start()
        self.clock.advance(PAUSE - 1)
        for limiter in (first, second):
            self.assertTrue(self.at_once(limiter.hit(RATE, ALICE)))
        self.clock.advance(1)
        for limiter in (first, second, second, first):
            self.assertTrue(await limiter.hit(RATE, ALICE))
        for limiter in (first, second):
            self.assertFalse(await limiter.has_room(RATE, ALICE, cost=1))
        self.assertEqual((self.said(LOCAL), self.said("using shared counters")), (2, 2))

    async def test_a_redis_that_hangs(self) -> None:
        """It costs one check its bound, the others nothing, and the reactor goes on meanwhile."""
        limiter = self.limiter(self.url)
        self.assertTrue(await limiter.hit(RATE, ALICE))
        self.hang()
        turns: list[None] = []
        turning = LoopingCall(turns.append, None)
        turning.start(STORE_SECONDS / 20)
        try:
            answer = Deferred.fromCoroutine(limiter.hit(RATE, ALICE))
            self.assertTrue(await answer.addTimeout(10 * STORE_SECONDS, reactor))
        finally:
            turning.stop()
        self.assertGreater(len(turns), 2)
        for hit in (True, True, False):
            self.assertEqual(self.at_once(limiter.hit(RATE, ALICE)), hit)
        os.kill(self.redis.pid, signal.SIGCONT)
        self.clock.advance(PAUSE)
        self.assertTrue(await limiter.has_room(RATE, BOB, cost=ALLOWED))
        self.assertEqual((self.said(LOCAL), self.said("using shared counters")), (1, 1))

    async def test_a_redis_that_hangs_for_many(self) -> None:
        """Checks that ask at the same moment do not wait for each other's bound."""
        limiter = RateLimiter(self.store(self.url, reactor), reactor)
        await limiter.hit(RATE, ALICE)
        self.hang()
        await self.expect_in_time(limiter)

    async def test_a_redis_that_is_emptied(self) -> None:
        """The daemon that has counted gives no new attempts."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        for limiter in (first, first, first, second):
            self.assertTrue(await limiter.hit(RATE, ALICE))
        await self.flush()
        self.assertFalse(await first.has_room(RATE, ALICE, cost=2))
        self.assertTrue(await first.hit(RATE, ALICE))
        self.assertFalse(await first.hit(RATE, ALICE))
        await self.flush()
        self.assertGreater(await first.seconds_left(RATE, ALICE), 24 * 3600 - 60)
        hits = [await second.hit(RATE, ALICE) for _ in range(ALLOWED)]
        self.assertEqual(hits, [True] * (ALLOWED - 1) + [False])
        self.assertEqual(self.events, [])

    async def test_when_to_come_again(self) -> None:
        """A client that another daemon's counts turn away is told when they are over."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        for _ in range(ALLOWED):
            await first.hit(RATE, ALICE)
        for limiter in (first, second):
            self.assertGreater(await limiter.seconds_left(RATE, ALICE), 24 * 3600 - 60)

    async def test_many_are_counted_at_once(self) -> None:
        """All of them are counted there, whether there is room or not."""
        first, second = self.limiter(self.url), self.limiter(self.url)
        for _ in range(ALLOWED - 1):
            self.assertTrue(await first.count(RATE, ALICE, BOB))
        self.assertTrue(await second.hit(RATE, ALICE))
        self.assertFalse(await first.count(RATE, ALICE, BOB))
        for limiter, key in ((first, ALICE), (second, BOB), (second, ALICE)):
            self.assertFalse(await limiter.has_room(RATE, key))

    async def test_a_redis_with_a_password(self) -> None:
        """Without its password, counting goes on alone; no log shows what was tried."""
        self.redis.end(signal.SIGKILL)
        self.start("--requirepass", "right")
        place = f"127.0.0.1:{self.port}"
        for url in (f"redis://{place}", f"redis://:canary@{place}", f"redis://who:right@{place}"):
            await self.expect_alone(self.limiter(url), url)
        first, second = (self.limiter(f"redis://:right@{place}") for _ in range(2))
        for limiter in (first, second, first, second):
            self.assertTrue(await limiter.hit(RATE, ALICE))
        self.assertFalse(await first.hit(RATE, ALICE))
        self.assertNotIn("canary", repr(self.events))


class OtherPeerTests(StoreTestCase):
    """Something else where a Redis should be."""

    def listen(self, banner: bytes | None) -> str:
        """The URL of a peer, until the test is over."""
        known: set[BannerServer] = set()
        factory = Factory.forProtocol(lambda: BannerServer(banner, known))
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.leave, known)
        self.addCleanup(port.stopListening)
        return f"redis://127.0.0.1:{port.getHost().port}"

    def leave(self, known: set[BannerServer]) -> Deferred[None]:
        """Close all connections, and let the reactor see that they are."""
        for peer in list(known):
            cast(Any, peer.transport).abortConnection()
        gone: Deferred[None] = Deferred()
        reactor.callLater(0, gone.callback, None)
        return gone

    @parametrize(
        {
            "hangs up": (None,),
            "silent": (b"",),
            "a web server": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",),
            "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n",),
            "TLS": (b"\x15\x03\x01\x00\x02\x02\x46\r\n",),
            "memcached": (b"ERROR\r\n" * 9,),
            "a Redis that is loading": (b"-LOADING Redis is loading the dataset\r\n" * 9,),
        }
    )
    async def test_no_redis(self, banner: bytes | None) -> None:
        """Counting goes on alone with any other server."""
        await self.expect_alone(self.limiter(self.listen(banner)), repr(banner))

    async def test_nobody_listens(self) -> None:
        """Without a listener or a socket, counting goes on alone."""
        await self.expect_alone(self.limiter(f"redis://127.0.0.1:{free_port()}"), "nobody")
        await self.expect_alone(self.limiter("redis+unix:///nowhere/redis.sock"), "no socket")

    async def test_a_redis_out_of_its_mind(self) -> None:
        """Answers in the right form that mean nothing are a failure like any other."""
        for banner in (b":x\r\n" * 9, b"+OK\r\n" * 20, b"$x\r\n" * 9):
            await self.expect_alone(self.limiter(self.listen(banner)), repr(banner))
