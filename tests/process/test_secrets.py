"""Secrets that are marked, sent down every path, and then looked for wherever they must not be."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlencode

import requests
from twisted.logger import ILogObserver, LogEvent, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from ropg_twisted.oauth.keystore import KEYS_FILE
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN
from ropg_twisted.telemetry.user_hash import UserHash, read_key
from tests.daemon import PATIENCE, TWISTD, Process, SandboxProcess
from tests.paths import CHECKOUT
from tests.ports import free_port

PASSWORD = 'canary-"pass"&wörd+%'
CLIENT_SECRET = "canary-client-secret;%&"
JWT_SECRET = "canary-jwt-secret-0123456789abcdef"
STORE_PASSWORD = "canary-store"
SECRETS = (PASSWORD, USUAL_PASSWORD, CLIENT_SECRET, JWT_SECRET, OUTPOST_TOKEN, STORE_PASSWORD)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

RIGHT = {
    "grant_type": "password",
    "client_id": "mac",
    "username": "alice",
    "password": USUAL_PASSWORD,
}

WRONG = {**RIGHT, "username": "ivan", "password": PASSWORD}

USERS = ("alice", "ivan", "bob", "nobody")
"""The names in these requests."""

CLIENTS = """
[[clients]]
id = "mac"

[[clients]]
id = "xcreds"
body = "undecoded"

[[clients]]
id = "fleet"
secret = '{secret}'
outage = "abort"
"""


def shapes(secret: str) -> set[bytes]:
    """The ways in which a text may turn up in logs and files."""
    encoded = secret.encode()
    aligned = {base64.b64encode(b"x" * n + encoded)[4:-4] for n in range(3)}
    texts = {secret, quote(secret), quote_plus(secret), quote(secret, safe=""), repr(secret)[1:-1]}
    texts |= {json.dumps(secret)[1:-1], repr(encoded)[2:-1], encoded.hex()}
    return {text.encode() for text in texts} | aligned


TOKEN: Final = b"eyJ"
"""The beginning of each token and cookie of Authentik: a JSON object in base64."""


def found(data: bytes, *more: str) -> list[bytes]:
    """The secrets, tokens and cookies in ``data``."""
    marks = {mark for secret in (*SECRETS, *more) for mark in shapes(secret)} | {TOKEN}
    return [mark for mark in marks if mark in data]


@provider(ILogObserver)
def print_event(event: LogEvent) -> None:
    """Print whatever the log may know of an event, of any level and from anywhere."""
    values = {
        name: value for name, value in event.items() if name not in ("log_logger", "log_flattened")
    }
    print(eventAsText(event), repr(values), flush=True, file=sys.__stdout__)


def make_observer() -> Any:
    """The factory for ``twistd --logger``."""
    return print_event


class FakeStore:
    """Something at the address of the shared counts that speaks nonsense."""

    def __init__(self) -> None:
        self.received = b""
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Be gone."""
        for end in (self._listener, *self._clients):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.received += data
                client.sendall(b"+OK\r\n" * data.count(b"*"))


class CanaryTests(SynchronousTestCase):
    """A daemon that is told secrets, and clients that tell it more."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.secrets = self.folder / "secrets"
        self.temporary = self.folder / "tmp"
        for folder in (self.folder, self.secrets, self.temporary):
            folder.mkdir()
        self.store = FakeStore()
        self.addCleanup(self.store.close)
        self.answers: list[requests.Response] = []
        # Were it not for the daemon itself, a crash would leave all its memory on the disk.
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))

    def secret(self, name: str, text: str) -> str:
        """A file that holds a secret."""
        path = self.secrets / name
        path.write_text(text)
        return str(path)

    @contextmanager
    def daemon(self, authentik: str, *options: str, **environ: str) -> Iterator[Process]:
        """A daemon with all secrets in files; ``options`` are twistd's own."""
        self.port, self.admin_port = free_port(), free_port()
        store = f"redis://:{STORE_PASSWORD}@127.0.0.1:{self.store.port}/0"
        path = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {
            "PYTHONPATH": os.pathsep.join(path),
            "TMPDIR": str(self.temporary),
            "AUTHENTIK_URL": authentik,
            "PROXY_ISSUER": f"http://127.0.0.1:{self.port}",
            "ROPG_CONFIG": self.secret("config", CLIENTS.format(secret=CLIENT_SECRET)),
            "ROPG_LISTEN": f"tcp:{self.port}:interface=127.0.0.1",
            "ROPG_ADMIN_LISTEN": f"tcp:{self.admin_port}:interface=127.0.0.1",
            "ROPG_STATE_DIR": str(self.folder / "state"),
            "ROPG_OUTPOST_TOKEN_FILE": self.secret("outpost", OUTPOST_TOKEN),
            "ROPG_LIMITS_STORE_FILE": self.secret("store", store),
            "ROPG_LIMITS": "user 3 per hour",
            **environ,
        }
        command = (str(TWISTD), "-n", "--pidfile=", *options, "ropg")
        with Process(*command, environ=settings, folder=self.folder) as daemon:
            self.wait_until_it_answers(daemon)
            yield daemon

    def wait_until_it_answers(self, daemon: Process) -> None:
        """Fails if it does not in time."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"http://127.0.0.1:{self.port}/health", timeout=PATIENCE).ok:
                    return
            time.sleep(0.02)
        self.fail("".join(daemon.output))

    def send(self, form: Any, headers: dict[str, str] = FORM, path: str = "/oauth/token") -> int:
        """Send a request, keep the response, and return its status: 0 if there is none."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        try:
            answer = requests.post(
                f"http://127.0.0.1:{self.port}{path}", body, headers=headers, timeout=PATIENCE
            )
        except requests.ConnectionError:
            return 0
        self.answers.append(answer)
        return answer.status_code

    def pour(self, data: bytes) -> bytes:
        """Send bytes that no client library would, and read until the connection ends."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client,
            contextlib.suppress(OSError),
        ):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))
        return b""

    def take_every_path(self, sandbox: Process) -> None:
        """Send secrets in all the ways in which they may come, and see that the paths are taken."""
        expect = self.assertEqual
        expect(self.send(RIGHT), 200, "the store speaks nonsense: counting alone")
        self.assertIn(STORE_PASSWORD.encode(), self.store.received)
        self.store.close()

        expect(self.send(RIGHT), 200)
        tokens = self.answers[-1].json()
        expect(self.send(WRONG), 400, "wrong")
        expect(self.send(WRONG), 400, "stale")
        expect(self.send({**RIGHT, "username": "bob"}), 400, "second factor")
        expect(self.send({**RIGHT, "username": "nobody"}), 400, "unknown person")
        guesses = [{**WRONG, "password": f"{PASSWORD} {n}"} for n in range(4)]
        expect([self.send(guess) for guess in guesses][-1], 429, "throttled")

        basic = {**FORM, "Authorization": "Basic " + self.basic(f"fleet:{quote(CLIENT_SECRET)}")}
        unnamed = {name: value for name, value in RIGHT.items() if name != "client_id"}
        expect(self.send(unnamed, basic), 200, "Basic")
        expect(self.send({**unnamed, "client_secret": CLIENT_SECRET}, basic), 400, "two ways")
        secret = {**RIGHT, "client_id": "fleet", "client_secret": CLIENT_SECRET}
        expect(self.send(secret), 200, "secret in the body")
        expect(self.send({**secret, "client_secret": PASSWORD}), 401, "wrong secret")
        malformed = self.basic(PASSWORD)[:-1] + "!"
        expect(self.send(unnamed, {**FORM, "Authorization": f"Basic {malformed}"}), 400)
        self.send(unnamed, {**FORM, "Authorization": f"Basic {self.basic(PASSWORD)}"})

        unencoded = "grant_type=password&scope=openid&username=alice&password={}&client_id={}"
        expect(self.send(unencoded.format(USUAL_PASSWORD, "xcreds").encode()), 200, "undecoded")
        expect(self.send(unencoded.format(PASSWORD, "mac").encode()), 400, "wrongly undecoded")

        query = "?" + urlencode(RIGHT)
        expect(self.send(RIGHT, path="/oauth/token" + query), 400, "password in the URL")
        expect(self.send(b"", path="/oauth/token" + query), 400, "password in the URL alone")
        expect(self.send(RIGHT, path=f"/oauth/{quote(PASSWORD)}"), 404, "another path")
        expect(self.send(RIGHT, {}), 400, "no content type")
        expect(self.send(json.dumps(WRONG).encode()), 400, "JSON")
        expect(self.send(urlencode([*RIGHT.items(), ("password", PASSWORD)]).encode()), 400)
        expect(self.send(urlencode(WRONG).encode() + b"&x=%ff"), 400, "no UTF-8")
        expect(self.send({**WRONG, "password": PASSWORD * 5000}), 413, "too large")
        expect(self.send({**WRONG, "client_id": "other"}), 401, "unknown client")
        expect(self.send({**WRONG, "grant_type": "no_such_grant"}), 400, "other grant")
        self.send({**RIGHT, "grant_type": "refresh_token", "refresh_token": PASSWORD})
        code = {"grant_type": "authorization_code", "code": PASSWORD, "code_verifier": PASSWORD}
        self.send({**RIGHT, **code, "redirect_uri": "http://localhost"})
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        for path in ("/userinfo", f"/userinfo?access_token={tokens['access_token']}"):
            self.answers.append(
                requests.get(
                    f"http://127.0.0.1:{self.port}{path}", headers=bearer, timeout=PATIENCE
                )
            )

        fleet = {"client_id": "fleet", "client_secret": CLIENT_SECRET}
        for token in (tokens["access_token"], PASSWORD, f"{TOKEN.decode()}.unknown"):
            asked = {**fleet, "token": token}
            expect(self.send(asked, path="/introspect"), 200, "a token of another client")
            expect(self.send({**asked, "client_secret": PASSWORD}, path="/introspect"), 401)
            expect(self.send(asked, path=f"/introspect?token={quote(token)}"), 400)

        body = urlencode(WRONG).encode()
        head = b"POST /oauth/token HTTP/1.1\r\nHost: x\r\n"
        head += b"Content-Type: application/x-www-form-urlencoded\r\n"
        said = [
            self.pour(data)
            for data in (
                body,
                head + b"Transfer-Encoding: chunked\r\n\r\n" + body,
                head + b"Content-Length: %d\r\n\r\n" % (len(body) + 5) + body,
                head + body + b"\r\n\r\n",
                head + b"Content-Length: 1\r\n\r\n" + body,
                head.replace(b"Host: x", b"Host: " + body + b"..") + b"\r\n",
                b"GET /%ff" + quote(PASSWORD).encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"PUT /oauth/token?" + body + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"HEAD /health?" + body + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            )
        ]
        self.assertEqual(found(b"".join(said)), [])

        for path in ("/metrics", "/", "/ready"):
            url = f"http://127.0.0.1:{self.admin_port}{path}{query}"
            self.answers.append(requests.get(url, timeout=PATIENCE))
        sandbox.end(signal.SIGKILL)
        expect(self.send(RIGHT), 503, "Authentik is gone")
        expect(self.send(secret), 0, "Authentik is gone, and the connection cut")
        for answer in self.answers:
            if answer.status_code != 200 or "id_token" not in answer.text:
                self.assertEqual(found(answer.content), [], answer.request.url)

    def basic(self, text: str) -> str:
        """As HTTP Basic has it."""
        return base64.b64encode(text.encode()).decode()

    def assert_process_is_clean(self, daemon: Process) -> None:
        """The process shows no secret to other programs, and it dumps no core."""
        proc = Path(f"/proc/{daemon.pid}")
        for name in ("cmdline", "environ", "status", "stat", "limits"):
            self.assertEqual(found((proc / name).read_bytes()), [], name)
        [core] = [
            line.split()[-3:-1]
            for line in (proc / "limits").read_text().splitlines()
            if line.startswith("Max core file size")
        ]
        self.assertEqual(core, ["0", "0"])

    def assert_folder_is_clean(self) -> None:
        """Nothing that was written to a disk holds a secret, and no temporary file is left."""
        for path in self.folder.rglob("*"):
            self.assertEqual(found(str(path).encode()), [], path)
            if path.is_file() and self.secrets not in path.parents:
                marks = set(found(path.read_bytes()))
                if path.name == KEYS_FILE:
                    marks.discard(TOKEN)  # Its random base64 may hold these letters by chance.
                self.assertEqual(marks, set(), path)
        self.assertEqual(list(self.temporary.iterdir()), [])

    def look_everywhere(self, *options: str, **environ: str) -> str:
        """Take every path, look everywhere, and return the log, or what stands for it."""
        with (
            SandboxProcess(self.folder) as sandbox,
            self.daemon(sandbox.url, *options, **environ) as daemon,
        ):
            self.take_every_path(sandbox)
            self.assert_process_is_clean(daemon)
            self.assertEqual(daemon.end(), 0)
        self.assert_folder_is_clean()
        log = "".join(daemon.output)
        self.assertEqual(
            found(log.encode()), [], [line for line in daemon.output if found(line.encode())]
        )
        return log

    def test_nothing_is_in_the_log(self) -> None:
        """A daemon that signs with a key of its own, and writes its log to a file."""
        logfile = self.folder / "ropg.log"
        self.look_everywhere("--logfile", str(logfile))
        lines = [json.loads(line) for line in logfile.read_text().splitlines()]
        reasons = {line.get("reason") for line in lines}
        expected = {"verified", "wrong_credentials", "stale_password", "mfa", "throttled"}
        expected.add("upstream_connection")
        self.assertEqual(expected - reasons, set())
        keys = self.folder / "state" / "keys.json"
        self.assertEqual(keys.stat().st_mode & 0o777, 0o600)

    def test_nothing_is_in_any_event(self) -> None:
        """A daemon that signs with a shared secret, and an observer that prints all it can know."""
        log = self.look_everywhere(
            *("--logger", f"{__name__}.make_observer"),
            JWT_SECRET_FILE=self.secret("jwt", JWT_SECRET),
        )
        self.assertIn("wrong_credentials", log)
        self.assertFalse((self.folder / "state").exists())

    def test_no_user_name_is_in_any_event(self) -> None:
        """With ``ROPG_LOG_USERS=hashed`` no event has one, of any level and from anywhere."""
        log = self.look_everywhere(
            *("--logger", f"{__name__}.make_observer"), ROPG_LOG_USERS="hashed"
        )
        self.assertIn("wrong_credentials", log)
        for name in USERS:
            self.assertEqual([line for line in log.splitlines() if name in line.lower()], [], name)
        key = self.folder / "state" / "user-hash.key"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(key.read_text().strip(), log)
        for name in USERS:
            self.assertIn(f"check of '{UserHash(read_key(key))(name)}' for ", log)

    def test_the_search_itself_finds_them(self) -> None:
        """As they are, and in the notations of forms, JSON, Python, Basic and tokens."""
        for secret in SECRETS:
            for text in (secret, quote_plus(secret), json.dumps(secret), repr([secret.encode()])):
                self.assertNotEqual(found(f"line {text} line".encode()), [], text)
            self.assertNotEqual(found(self.basic(f"mac:{secret}!").encode()), [], secret)
        self.assertEqual(found(b"check of alice for mac"), [])
