"""Counting attempts: alone, together in a real Redis, and alone while there is none."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from hypothesis import given
from hypothesis import strategies as st
from limits import parse
from limits.storage import RedisStorage
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ropg_twisted.guard import sliding_windows
from ropg_twisted.guard.accepted_logins import LIFETIME, AcceptedLogins
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import UserRateLimit
from ropg_twisted.guard.shared_store import MAX_THREADS, PAUSE, SharedStore
from ropg_twisted.guard.sliding_windows import SlidingWindows
from ropg_twisted.interfaces import LoginAttempt, Rates
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.values import STORE_SECONDS
from tests.daemon import PATIENCE, Process, free_port
from tests.fakes import RIGHT, CapturedLog, FixedVerifier

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


class OwnTime(Clock):
    """The reactor that runs the test, but with a time that the test tells."""

    callFromThread = reactor.callFromThread


class NotRedis(Protocol):
    """Something that is no Redis: it says its ``banner``, or hangs up if it has none."""

    def __init__(self, banner: bytes | None, known: set[NotRedis]) -> None:
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


STEPS = st.lists(
    st.tuples(st.sampled_from((0, 0, 0, 1, 7, 30, 59, 60, 61, 119, 120, 500)), st.booleans()),
    max_size=60,
)


class SlidingWindowsTests(SynchronousTestCase):
    """Counts in the memory of one daemon."""

    def setUp(self) -> None:
        """Nothing has been counted yet."""
        self.clock = Clock()
        self.clock.advance(12_345.6)
        self.windows = SlidingWindows(self.clock)
        self.rate = parse("4 per minute")

    def use_up(self, *key: str) -> int:
        """How many are counted until there is no more room."""
        for count in range(100):
            if not self.windows.has_room(self.rate, key):
                return count
            self.windows.add(self.rate, key)
        self.fail(f"there is always room for {key}")

    def test_room(self) -> None:
        """There is room for as many as the rate allows, together and for each key."""
        for count in range(ALLOWED + 1):
            for cost in range(1, 2 * ALLOWED):
                expected = count + cost <= ALLOWED
                self.assertEqual(self.windows.has_room(self.rate, ALICE, cost=cost), expected)
            self.windows.add(self.rate, ALICE)
        self.assertEqual(self.use_up(*BOB), ALLOWED)

    def test_it_slides(self) -> None:
        """The window before counts for the part that the last minute still reaches into it."""
        self.assertEqual(self.use_up("alice"), 4)
        for seconds, room in (
            (59, 0),
            (1, 0),
            (1, 1),
            (14, 0),
            (15, 1),
            (30, 2),
            (60, 2),
            (120, 4),
        ):
            self.clock.advance(seconds)
            self.assertEqual(self.use_up("alice"), room, self.clock.seconds())

    def test_after_a_long_time(self) -> None:
        """Whoever comes back after many windows begins anew, and is counted anew."""
        for seconds in (0, 180, 600.5):
            self.clock.advance(seconds)
            self.assertEqual(self.use_up("alice"), ALLOWED)
            self.clock.advance(1)
            self.assertEqual(self.use_up("alice"), 0)

    def test_no_clock_on_the_wall(self) -> None:
        """The time of day may jump: nobody gets new attempts, and nobody loses them."""
        limiter = RateLimiter(None, self.clock)
        now = time.time()
        for jump in (0, 3600, -3600, 400 * 24 * 3600):
            self.patch(time, "time", lambda moment=now + jump: moment)
            hit = Deferred.fromCoroutine(limiter.hit(parse("3 per day"), ALICE))
            self.assertEqual(self.successResultOf(hit), jump < 3600 * 24)

    @given(STEPS)
    def test_the_wait_is_as_long_as_it_says(self, steps: list[tuple[int, bool]]) -> None:
        """After the seconds that are left there is room, and a second before there was none."""
        clock = Clock()
        windows = SlidingWindows(clock)
        for seconds, in_any_case in steps:
            clock.advance(seconds)
            if in_any_case:
                windows.add(self.rate, ALICE)
            if windows.has_room(self.rate, ALICE):
                self.assertEqual(windows.seconds_left(self.rate, ALICE), 1)
                windows.add(self.rate, ALICE)
                continue
            left = windows.seconds_left(self.rate, ALICE)
            clock.advance(left - 1)
            if left > 1:
                self.assertFalse(windows.has_room(self.rate, ALICE))
            clock.advance(1)
            self.assertTrue(windows.has_room(self.rate, ALICE))

    @given(STEPS)
    def test_an_idle_window_is_as_good_as_none(self, steps: list[tuple[int, bool]]) -> None:
        """What is forgotten because it is over would have counted for nothing."""
        clock = Clock()
        windows = SlidingWindows(clock)
        for seconds, _ in steps:
            clock.advance(seconds)
            windows.add(self.rate, ALICE)
        clock.advance(120)
        self.assertTrue(windows.has_room(self.rate, ALICE, cost=ALLOWED))

    def test_memory_is_bounded(self) -> None:
        """Many others do not make a count forgotten that is higher than theirs."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        self.windows.add(self.rate, ("carol",))
        self.assertEqual(self.use_up("alice"), ALLOWED)
        for number in range(100):
            for _ in range(ALLOWED - 1):
                self.windows.add(self.rate, (f"user {number}",))
            self.assertLessEqual(len(vars(self.windows)["_windows"]), 8)
        self.assertEqual(self.use_up("alice"), 0)
        self.assertEqual(self.use_up("carol"), ALLOWED)

    def test_what_is_over_is_forgotten_first(self) -> None:
        """A high count of long ago makes way for a low one of now."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        for number in range(7):
            self.use_up(f"user {number}")
        self.clock.advance(120)
        self.windows.add(self.rate, ALICE)
        self.windows.add(self.rate, BOB)
        self.assertEqual(self.use_up(*ALICE), ALLOWED - 1)
        self.assertEqual(self.use_up(*BOB), ALLOWED - 1)

    def test_the_window_before_is_no_less_of_a_count(self) -> None:
        """A count that has just slid on is forgotten no sooner than one of now."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        self.use_up("alice")
        self.clock.advance(61)
        for number in range(20):
            self.windows.add(self.rate, (f"user {number}",))
        self.assertEqual(self.use_up("alice"), 1)


class StoreTestCase(TestCase):
    """Stores as the daemon makes them, and what is counted on them."""

    def setUp(self) -> None:
        """Listen to the log."""
        self.events = CapturedLog(self).events
        self.clock = OwnTime()

    def limiter(self, url: str) -> RateLimiter:
        """What one daemon counts."""
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
        store = SharedStore(redis, cast(Any, clock or self.clock))
        store.start()
        self.addCleanup(store.redis.storage.close)
        self.addCleanup(store.stop)
        return store

    def at_once(self, answer: Coroutine[Deferred[Any], Any, T]) -> T:
        """An answer for which nobody else is asked."""
        return self.successResultOf(Deferred.fromCoroutine(answer))

    def said(self, what: str) -> int:
        """How many lines of the log hold these words."""
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
        """Nobody waits longer for its answer, nor for a thread; who is too late is not asked."""
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


class RedisTests(RedisTestCase):
    """Daemons that count together in a Redis, and lose it."""

    async def test_daemons_count_together(self) -> None:
        """What one daemon has counted is no longer free at another."""
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
        """Nobody gets new attempts at the daemon that has counted."""
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
        """Who is turned away for what another daemon has counted hears when that is over."""
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


class AcceptedLoginsTests(RedisTestCase):
    """Daemons that tell each other from where passwords were accepted."""

    def accepted(self) -> AcceptedLogins:
        """What one daemon knows."""
        return AcceptedLogins(self.store(self.url), self.clock)

    async def test_daemons_tell_each_other(self) -> None:
        """What one has seen, the others know, for as long as it would have itself."""
        first, second = self.accepted(), self.accepted()
        await first.remember(MAIL, "alice", HOME)
        await first.remember("bob", "bob", HOME)
        await first.remember("carol", "carol", None)
        for name, network, expected in (
            (MAIL, HOME, ("alice", True)),
            (MAIL, OFFICE, ("alice", False)),
            (MAIL, None, ("alice", False)),
            ("alice", HOME, ("alice", True)),
            ("bob", HOME, ("bob", True)),
            ("bob", None, ("bob", False)),
            ("carol", HOME, ("carol", False)),
            ("dave", HOME, ("dave", False)),
        ):
            for accepted in (first, second, self.accepted()):
                self.assertEqual(await accepted.find(name, network), expected, (name, network))
        self.clock.advance(LIFETIME)
        await self.flush()
        for accepted in (first, second):
            self.assertEqual(await accepted.find(MAIL, HOME), (MAIL, False))

    async def test_it_expires_in_redis(self) -> None:
        """After thirty days there is nothing left; each accepted password begins them anew."""
        await self.accepted().remember(MAIL, "alice", HOME)
        client = self.store(self.url).redis.storage
        keys = client.keys("*")
        self.assertEqual(len(keys), 2)
        for key in keys:
            self.assertAlmostEqual(client.ttl(key), LIFETIME, delta=60)
            client.expire(key, 100)
        late = self.accepted()
        self.assertEqual(await late.find(MAIL, HOME), ("alice", True))
        await self.accepted().remember(MAIL, "alice", HOME)
        for key in keys:
            self.assertAlmostEqual(client.ttl(key), LIFETIME, delta=60)
        await self.flush()
        self.clock.advance(99)
        self.assertEqual(await late.find(MAIL, HOME), ("alice", True))
        self.clock.advance(2)
        self.assertEqual(await late.find(MAIL, HOME), (MAIL, False))
        self.assertEqual(await late.find("alice", HOME), ("alice", False))

    async def test_a_redis_that_dies_or_is_emptied(self) -> None:
        """Each daemon keeps what it has seen, and what it has learned from the others."""
        first, second, third = self.accepted(), self.accepted(), self.accepted()
        await first.remember(MAIL, "alice", HOME)
        self.assertEqual(await second.find(MAIL, HOME), ("alice", True))
        await self.flush()
        for accepted in (first, second):
            self.assertEqual(await accepted.find(MAIL, HOME), ("alice", True))
        self.assertEqual(await third.find(MAIL, HOME), (MAIL, False))
        self.redis.end(signal.SIGKILL)
        await third.remember(MAIL, "alice", HOME)
        for accepted in (first, second, third):
            self.assertEqual(await accepted.find(MAIL, HOME), ("alice", True))
            self.assertEqual(await accepted.find("bob", HOME), ("bob", False))
        self.assertEqual(self.said(LOCAL), 3)


class OtherPeerTests(StoreTestCase):
    """Something else where a Redis should be."""

    def listen(self, banner: bytes | None) -> str:
        """The URL of a peer, until the test is over."""
        known: set[NotRedis] = set()
        factory = Factory.forProtocol(lambda: NotRedis(banner, known))
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.leave, known)
        self.addCleanup(port.stopListening)
        return f"redis://127.0.0.1:{port.getHost().port}"

    def leave(self, known: set[NotRedis]) -> Deferred[None]:
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
            await self.expect_alone(self.limiter(self.listen(banner)), name)
        await self.expect_alone(self.limiter(f"redis://127.0.0.1:{free_port()}"), "nobody")
        await self.expect_alone(self.limiter("redis+unix:///nowhere/redis.sock"), "no socket")

    async def test_a_redis_out_of_its_mind(self) -> None:
        """Answers in the right form that mean nothing are a failure like any other."""
        for banner in (b":x\r\n" * 9, b"+OK\r\n" * 20, b"$x\r\n" * 9):
            await self.expect_alone(self.limiter(self.listen(banner)), repr(banner))
