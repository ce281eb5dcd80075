"""Guesses at passwords and codes over real sockets: whatever is tried, each of them counts."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Final, cast
from urllib.parse import urlencode

import requests
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.networks import EVERYWHERE, parse_networks
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings import values
from ropg_twisted.settings.model import Client, SecondFactor
from ropg_twisted.settings.table import DEFAULT_LIMITS
from ropg_twisted.settings.values import STORE_SECONDS
from ropg_twisted.verdict import Reason, Verdict
from tests.daemon import PATIENCE, Daemon, Process, SandboxProcess, free_port
from tests.fakes import FORM, RIGHT, outcome, post, provider_site
from tests.guard.test_rate_limiter import REDIS

reactor: Final = cast(Any, running)

ALLOWED: Final = 10
"""Refused guesses of one user in a quarter of an hour, by default."""

GUESSES: Final = 58
"""Fewer than the checks that one address has in a minute."""


HOME, STRANGER = "198.51.100.1", "192.0.2.7"

WRONG = outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
DENIED = outcome(Verdict.DENIED, Reason.POLICY)
WRONG_CODE = outcome(Verdict.REJECTED, Reason.WRONG_CODE)


class DaemonTestCase(SynchronousTestCase):
    """Daemons with the default limits behind a proxy, so that a test can come from anywhere."""

    def setUp(self) -> None:
        """A folder for each test."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def daemon(self, **environ: str) -> Daemon:
        """One that is ended with the test."""
        environ["ROPG_TRUSTED_PROXIES"] = "127.0.0.1"
        return self.enterContext(Daemon(self.folder, **environ))  # type: ignore[arg-type]

    def ask(
        self, daemon: Daemon, username: str, password: str, address: str, timeout: float = PATIENCE
    ) -> int:
        """The status of the answer to a password."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        answer = requests.post(
            f"{daemon.url}/oauth/token",
            data={**form, "password": password},
            headers={"X-Forwarded-For": address},
            timeout=timeout,
        )
        return answer.status_code

    def guess(self, daemon: Daemon, usernames: list[str], address: str = STRANGER) -> Counter[int]:
        """What many guesses are answered, no two of them the same; the names take turns."""
        statuses: Counter[int] = Counter()
        for number in range(GUESSES):
            username = usernames[number % len(usernames)]
            statuses[self.ask(daemon, username, f"{address} {number}", address)] += 1
        return statuses


def wide(name: str) -> str:
    """A name in letters as wide as those of East Asia."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in name)


SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (
    lambda name: f" {name}",
    lambda name: f"{name}\u3000",
    str.upper,
    wide,
)


class NameTests(DaemonTestCase):
    """Ways to write a name."""

    def test_no_spelling_is_a_way_round(self) -> None:
        """Spaces, capitals and wide letters are the same name, each for itself and together."""
        daemon = self.daemon()
        for number, spellings in enumerate([*((spell,) for spell in SPELLINGS), SPELLINGS], 1):
            user = f"rep{number}"
            names = [spell(user) for spell in spellings]
            found = self.guess(daemon, names, f"192.0.2.{number}")
            self.assertEqual(found, {400: ALLOWED, 429: GUESSES - ALLOWED}, names)
            self.assertEqual(self.ask(daemon, user, USUAL_PASSWORD, STRANGER), 429)

    def test_a_name_and_an_address_of_one_user(self) -> None:
        """Once Authentik has taken both for the same user, they are the same here."""
        names = ["alice@example.com", "alice", "ALICE@example.com"]
        daemon = self.daemon()
        self.assertEqual(self.ask(daemon, names[0], USUAL_PASSWORD, HOME), 200)
        found = self.guess(daemon, names)
        self.assertEqual(found, {400: ALLOWED, 429: GUESSES - ALLOWED})
        for name in names:
            self.assertEqual(self.ask(daemon, name, USUAL_PASSWORD, HOME), 200, name)


class LockOutTests(DaemonTestCase):
    """Strangers who want a person to be kept out."""

    def test_home_is_not_locked_out(self) -> None:
        """From wherever they come, they use up no attempts but their own."""
        daemon = self.daemon()
        right = "alice", USUAL_PASSWORD
        self.assertEqual(self.ask(daemon, *right, HOME), 200)
        strangers = (STRANGER, "192.0.2.8", "2001:db8::1")
        found = sum((self.guess(daemon, ["alice"], address) for address in strangers), Counter())
        self.assertEqual(found, {400: ALLOWED, 429: 3 * GUESSES - ALLOWED})
        self.assertEqual(self.ask(daemon, *right, STRANGER), 429)
        self.assertEqual(self.ask(daemon, *right, "198.51.100.2"), 429)
        self.assertEqual(self.ask(daemon, *right, HOME), 200)
        self.assertEqual(self.guess(daemon, ["alice"], HOME)[400], ALLOWED)
        self.assertEqual(self.ask(daemon, *right, HOME), 429)


class CodeTests(DaemonTestCase):
    """Codes behind a password that somebody knows."""

    def test_each_code_is_a_guess(self) -> None:
        """They are counted, and over all networks together; the password alone is told as ever."""
        daemon = self.daemon(ROPG_MFA="code")
        statuses: Counter[int] = Counter()
        for number in range(GUESSES):
            address = f"192.0.2.{number % 20}"
            self.assertEqual(self.ask(daemon, "frank", USUAL_PASSWORD, address), 400)
            password = f"{USUAL_PASSWORD};{number:06}"
            statuses[self.ask(daemon, "frank", password, address)] += 1
        self.assertEqual(statuses, {400: ALLOWED, 429: GUESSES - ALLOWED})


class SharedStoreTests(DaemonTestCase):
    """Daemons that count together in a Redis."""

    def redis(self) -> tuple[Process, str]:
        """One of the test's own, and its URL."""
        if REDIS is None:
            self.skipTest("redis-server is not installed")
        port = free_port()
        fixed = ("--port", f"{port}", "--bind", "127.0.0.1", "--save", "", "--dir", ".")
        redis = Process(REDIS, *fixed, environ={}, folder=self.folder)
        self.addCleanup(redis.end, signal.SIGKILL)
        redis.wait_for(lambda line: "Ready to accept connections" in line)
        return redis, f"redis://127.0.0.1:{port}"

    def test_a_redis_that_is_emptied_or_dies(self) -> None:
        """Two daemons share failures and networks; neither an empty nor a dead Redis is a gift."""
        redis, url = self.redis()
        sandbox = self.enterContext(SandboxProcess(self.folder))
        first, second = (
            self.daemon(ROPG_LIMITS_STORE=url, AUTHENTIK_URL=sandbox.url) for _ in range(2)
        )
        right = "alice", USUAL_PASSWORD
        self.assertEqual(self.ask(first, *right, HOME), 200)
        found = self.guess(first, ["alice"])
        self.assertEqual(found, {400: ALLOWED, 429: GUESSES - ALLOWED})
        self.assertEqual(self.ask(second, *right, STRANGER), 429)
        self.assertEqual(self.ask(second, *right, HOME), 200)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(b"FLUSHALL\r\n")
            self.assertEqual(client.recv(100), b"+OK\r\n")
        self.assertEqual(self.ask(first, *right, STRANGER), 429)
        self.assertEqual(self.ask(second, *right, HOME), 200)
        redis.end(signal.SIGKILL)
        for daemon in (first, second):
            self.assertEqual(self.ask(daemon, *right, HOME), 200)
        self.assertEqual(self.ask(first, *right, STRANGER), 429)
        for daemon in (first, second):
            self.assertEqual(daemon.end(), 0)
            self.assertEqual("".join(daemon.output).count("using local counters"), 1)

    def test_a_slow_redis(self) -> None:
        """A hundred checks at once are answered in time, as if there were none."""
        daemon = self.daemon(ROPG_LIMITS_STORE=slow_redis(self), ROPG_DEADLINE="8")

        def check(number: int) -> int:
            address = f"198.51.100.{number}"
            return self.ask(daemon, f"nobody{number}", "x", address, timeout=8)

        with ThreadPoolExecutor(100) as threads:
            self.assertEqual(Counter(threads.map(check, range(100))), {400: 100})


class SlowRedis(StreamRequestHandler):
    """A connection to an empty Redis that thinks about each command for 0.4 seconds."""

    def handle(self) -> None:
        """Answer until the client goes away."""
        with contextlib.suppress(OSError):
            while head := self.rfile.readline():
                words = [self.read_word() for _ in range(int(head[1:]))]
                time.sleep(0.8 * STORE_SECONDS)
                self.wfile.write(self.answer(words))

    def read_word(self) -> bytes:
        """One word of a command."""
        return self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]

    def answer(self, words: list[bytes]) -> bytes:
        """What Redis says if it knows nothing; scripts are told by the number of their words."""
        match words[0], len(words):
            case b"HELLO", _:
                return b"%1\r\n$5\r\nproto\r\n:3\r\n"
            case b"GET", _:
                return b"_\r\n"
            case b"TTL", _:
                return b":-2\r\n"
            case b"EVALSHA", 8:
                return b":1\r\n"
            case b"EVALSHA", 6:
                return b"*4\r\n_\r\n:-2\r\n_\r\n:-2\r\n"
            case _:
                return b"+OK\r\n"


def slow_redis(test: SynchronousTestCase) -> str:
    """The URL of one, until the test is over."""
    server = ThreadingTCPServer(("127.0.0.1", 0), SlowRedis)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return f"redis://127.0.0.1:{server.server_address[1]}"


@implementer(IPasswordVerifier)
class PendingAuthentik:
    """An Authentik whose answers the test gives; ``waiting`` holds who waits for one."""

    def __init__(self) -> None:
        self.asked: list[LoginAttempt] = []
        self.waiting: list[Deferred[CheckResult]] = []

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        walk: Deferred[CheckResult] = Deferred(self.waiting.remove)
        self.waiting.append(walk)
        return await walk

    def answer(self, check: CheckResult) -> None:
        """The answer to all who wait now."""
        waiting, self.waiting = self.waiting, []
        for walk in waiting:
            walk.callback(check)


class Guess(Protocol):
    """A client that asks once; ``status`` is that of its answer, 0 until there is one."""

    def __init__(self, username: str, password: str, address: str, client: str) -> None:
        fields = {"grant_type": "password", "client_id": client, "username": username}
        headers = f"{FORM}Connection: close\r\nX-Forwarded-For: {address}\r\n"
        self._request = post(urlencode({**fields, "password": password}), headers)
        self._heard = b""

    @property
    def status(self) -> int:
        """The three digits."""
        return int(self._heard[9:12] or 0)

    def connectionMade(self) -> None:
        """Ask."""
        cast(Any, self.transport).write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Listen."""
        self._heard += data

    def hang_up(self) -> None:
        """Go away without an answer."""
        cast(Any, self.transport).abortConnection()


class SameMomentTests(TestCase):
    """Guesses that meet each other, at a site with all guards in front of the test's Authentik."""

    def setUp(self) -> None:
        """Listen, as the daemon does by default, behind a proxy."""
        clock = Clock()
        self.walks = PendingAuthentik()
        client = Client("mac", rates=values.rates(DEFAULT_LIMITS), second_factor=SecondFactor.CODE)
        self.site = provider_site(
            guarded(self.walks, 64, 15, clock, Plausibility(clock)),
            client,
            Client("server"),
            clock=clock,
            network_policy=NetworkPolicy(EVERYWHERE, parse_networks(["127.0.0.1"])),
        )
        port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        self.guesses: list[Guess] = []

    async def send(
        self, username: str, password: str, address: str = STRANGER, client: str = "mac"
    ) -> Guess:
        """A guess that is on its way."""
        guess = Guess(username, password, address, client)
        self.guesses.append(guess)
        await connectProtocol(self.endpoint, guess)
        return guess

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everybody go on until something is so."""
        while not condition():
            await deferLater(reactor, 0.002)

    async def come_to(self, walks: int, guess: Guess) -> None:
        """Let everybody go on until there are so many walks, or a guess is answered."""
        await self.until(lambda: bool(guess.status) or len(self.walks.waiting) == walks)

    async def turns(self) -> None:
        """Let everybody go on who can."""
        for _ in range(20):
            await deferLater(reactor, 0)

    async def status(self, username: str, password: str, address: str = STRANGER) -> int:
        """The answer to a guess, which is wrong if Authentik is asked."""
        guess = await self.send(username, password, address)
        await self.come_to(1, guess)
        self.walks.answer(WRONG)
        await self.come_to(-1, guess)
        return guess.status

    async def hang_up(self, *guesses: Guess) -> None:
        """Let clients go away, and the site see it."""
        for guess in guesses:
            guess.hang_up()
        await self.until(lambda: not self.site.connections)

    async def test_guesses_that_hang_up(self) -> None:
        """Fifty guesses that nobody waits for are counted as they come to their ends."""
        guesses = [await self.send("alice", f"guess {number}") for number in range(50)]
        await self.until(lambda: sum(guess.status == 429 for guess in guesses) == 50 - ALLOWED)
        self.assertEqual(len(self.walks.waiting), ALLOWED)
        await self.hang_up(*guesses)
        self.walks.answer(WRONG)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_guesses_that_hang_up_one_by_one(self) -> None:
        """It is no way round either to wait until each of them has left."""
        for number in range(ALLOWED):
            guess = await self.send("alice", f"guess {number}")
            await self.until(lambda: bool(self.walks.waiting))
            await self.hang_up(guess)
            self.walks.answer(WRONG)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_an_impatient_client(self) -> None:
        """A stale password reaches Authentik once, however often its client gives up."""
        for _ in range(20):
            guess = await self.send("alice", "stale")
            await self.come_to(1, guess)
            await self.hang_up(guess)
            self.walks.answer(WRONG)
        self.assertEqual(len(self.walks.asked), 1)

    async def test_twins(self) -> None:
        """A guess that is made twice at once is one, though one of the two hangs up."""
        for number in range(ALLOWED):
            twins = [await self.send("alice", f"guess {number}") for _ in range(2)]
            await self.turns()
            self.assertEqual(len(self.walks.waiting), 1)
            twins[number % 2].hang_up()
            await self.until(lambda: self.site.connections == 1)
            self.walks.answer(WRONG)
            await self.until(lambda: not self.site.connections)
            self.assertEqual(twins[1 - number % 2].status, 400)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_twins_of_another_spelling(self) -> None:
        """The first refusal counts, whatever becomes of the same guess under another name."""
        answered = 0
        for number in range(GUESSES // 2):
            first = await self.send("alice", f"guess {number}")
            await self.come_to(1, first)
            second = await self.send("Alice", f"guess {number}")
            await self.come_to(2, second)
            for walk in self.walks.waiting[:1]:
                self.walks.waiting.remove(walk)
                walk.callback(WRONG)
            await self.come_to(-1, first)
            answered += first.status == 400
            await self.hang_up(second)
            self.walks.answer(DENIED)
        self.assertEqual(answered, ALLOWED)

    async def test_codes(self) -> None:
        """The same password with different codes is as many guesses, at the same moment too."""
        passwords = [f"right;{number:06}" for number in range(2 * ALLOWED)]
        guesses = [await self.send("alice", password) for password in passwords]
        await self.until(lambda: sum(guess.status == 429 for guess in guesses) == ALLOWED)
        self.assertEqual(len(self.walks.waiting), ALLOWED)
        self.walks.answer(WRONG_CODE)
        await self.until(lambda: not self.site.connections)
        self.assertEqual(await self.status("alice", "right;999999", HOME), 429)

    async def test_nobody_learns_by_joining_another(self) -> None:
        """Strangers who have used up their attempts do not hear what a person at home hears."""
        person = await self.send("alice", "right", HOME)
        await self.until(lambda: bool(self.walks.waiting))
        self.walks.answer(RIGHT)
        await self.until(lambda: not self.site.connections)
        for number in range(ALLOWED):
            self.assertEqual(await self.status("alice", f"guess {number}"), 400)
        for place, answer, status in (
            ((HOME, "mac"), RIGHT, 200),
            ((STRANGER, "server"), RIGHT, 200),  # A client without limits.
            ((HOME, "mac"), WRONG, 400),
        ):
            person = await self.send("alice", f"typed there {status}", *place)
            await self.until(lambda: bool(self.walks.waiting))
            stranger = await self.send("alice", f"typed there {status}")
            await self.turns()
            self.walks.answer(answer)
            await self.until(lambda: not self.site.connections)
            self.assertEqual((person.status, stranger.status), (status, 429))
        # Nor from what is remembered of it.
        self.assertEqual(await self.status("alice", "typed there 400"), 429)
        self.assertEqual(await self.status("alice", "typed there 400", HOME), 400)
