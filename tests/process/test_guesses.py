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
from typing import Final

import requests
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.values import STORE_SECONDS
from tests import FIRST_PYTHON_ONLY
from tests.daemon import PATIENCE, DaemonProcess, Process, SandboxProcess
from tests.guard.guesses import ALLOWED, GUESSES, HOME, STRANGER
from tests.guard.redis import REDIS
from tests.ports import free_port


class DaemonTestCase(SynchronousTestCase):
    """Daemons with the default limits behind a proxy, so that a test can come from anywhere."""

    skip = FIRST_PYTHON_ONLY

    def setUp(self) -> None:
        """A folder for each test."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def daemon(self, **environ: str) -> DaemonProcess:
        """A daemon that is ended with the test."""
        environ["ROPG_TRUSTED_PROXIES"] = "127.0.0.1"
        return self.enterContext(DaemonProcess(self.folder, **environ))  # type: ignore[arg-type]

    def ask(
        self,
        daemon: DaemonProcess,
        username: str,
        password: str,
        address: str,
        timeout: float = PATIENCE,
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

    def guess(
        self, daemon: DaemonProcess, usernames: list[str], address: str = STRANGER
    ) -> Counter[int]:
        """The statuses for many guesses, no two of them the same; the names take turns."""
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
        """A Redis of the test's own, and its URL."""
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
        """Read a word of a command."""
        return self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]

    def answer(self, words: list[bytes]) -> bytes:
        """The reply of an empty Redis; scripts are told apart by the number of their words."""
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
