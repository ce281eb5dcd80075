"""The daemon as its users run it: a process, real sockets, clients that were not written here."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import jwt
import requests
from oauthlib.oauth2 import LegacyApplicationClient
from oauthlib.oauth2.rfc6749.errors import InvalidGrantError
from requests_oauthlib import OAuth2Session
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import ACCOUNTS
from tests.certificates import make_certificate
from tests.daemon import (
    TWISTD,
    DaemonProcess,
    Process,
    SandboxProcess,
    end_all_in,
    processes_in,
    wait_until,
)
from tests.paths import CHECKOUT
from tests.ports import free_port

RIGHT = "correct horse battery staple"
TAC = CHECKOUT / "ropg.tac"


def ask(url: str, username: str, password: str, **more: str) -> requests.Response:
    """A password check over HTTP."""
    form = {
        "grant_type": "password",
        "client_id": "jamf-connect",
        "username": username,
        "password": password,
        **more,
    }
    return requests.post(f"{url}/oauth/token", data=form, timeout=30)


class DaemonTests(SynchronousTestCase):
    """A daemon in the foreground, with the sandbox behind it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def test_everybody_gets_the_answer_of_the_contract(self) -> None:
        """Each person of the sandbox, with the right and with a wrong password."""
        answers = {
            "bob": "interaction_required",
            "frank": "interaction_required",
            "grace": "access_denied",
        }
        with DaemonProcess(self.folder) as daemon:
            for person in ACCOUNTS:
                right = ask(daemon.url, person.username, person.password)
                expected = answers.get(person.username)
                if not person.active:
                    expected = "invalid_grant"
                if expected is None:
                    self.assertEqual(right.status_code, 200, person.username)
                    claims = jwt.decode(
                        right.json()["id_token"], options={"verify_signature": False}
                    )
                    self.assertEqual(
                        (claims["sub"], claims["preferred_username"], claims["email"]),
                        (person.uid, person.username, person.email),
                    )
                else:
                    self.assertEqual(
                        (right.status_code, right.json()["error"]), (400, expected), person.username
                    )
                wrong = ask(daemon.url, person.username, person.password + "x")
                self.assertEqual(
                    (wrong.status_code, wrong.json()),
                    (
                        400,
                        {
                            "error": "invalid_grant",
                            "error_description": "Invalid username or password",
                        },
                    ),
                    person.username,
                )
            self.assertEqual(daemon.end(), 0)
        log = "".join(daemon.output)
        for person in ACCOUNTS:
            self.assertNotIn(json.dumps(person.password)[1:-1], log)

    def test_a_client_not_written_here_gets_tokens_over_tls(self) -> None:
        """requests-oauthlib takes the password grant; PyJWT verifies with the published keys."""
        pem = make_certificate(self.folder)
        for algorithm in ("RS256", "ES256", "EdDSA"):
            with DaemonProcess(
                self.folder,
                listen=f"ssl:{{port}}:privateKey={pem}:certKey={pem}:interface=127.0.0.1",
                scheme="https",
                ROPG_SIGNING_ALG=algorithm,
            ) as daemon:
                document = requests.get(
                    f"{daemon.url}/.well-known/openid-configuration", verify=pem, timeout=30
                ).json()
                self.assertEqual(document["issuer"], daemon.url)
                session = OAuth2Session(client=LegacyApplicationClient("jamf-connect"))
                token = self.fetch(session, document, pem, RIGHT)
                keys = requests.get(document["jwks_uri"], verify=pem, timeout=30).json()
                for name in ("id_token", "access_token"):
                    kid = jwt.get_unverified_header(token[name])["kid"]
                    key = jwt.PyJWKSet.from_dict(keys)[kid]
                    claims = jwt.decode(
                        token[name],
                        key,
                        algorithms=document["id_token_signing_alg_values_supported"],
                        audience="jamf-connect",
                        issuer=document["issuer"],
                        options={"require": ["exp", "iat", "sub", "jti", "auth_time"]},
                    )
                    self.assertEqual(claims["preferred_username"], "alice")
                with self.assertRaises(InvalidGrantError):
                    self.fetch(session, document, pem, "wrong")
        # One key for each algorithm by now, and all of them still published.
        self.assertEqual({key["alg"] for key in keys["keys"]}, {"RS256", "ES256", "EdDSA"})

    def fetch(self, session: OAuth2Session, document: Any, pem: str, password: str) -> Any:
        """A password grant by requests-oauthlib."""
        return session.fetch_token(
            document["token_endpoint"],
            username="alice",
            password=password,
            scope=["openid", "profile"],
            include_client_id=True,
            verify=pem,
            timeout=30,
        )

    def test_an_authentik_that_dies_is_an_outage_and_no_wrong_password(self) -> None:
        """With Authentik gone, checks and readiness say later, and health goes on."""
        with (
            SandboxProcess(self.folder) as sandbox,
            DaemonProcess(self.folder, AUTHENTIK_URL=sandbox.url) as daemon,
        ):
            self.assertEqual(ask(daemon.url, "alice", RIGHT).status_code, 200)
            self.assertEqual(requests.get(f"{daemon.url}/ready", timeout=30).status_code, 200)
            sandbox.end(signal.SIGKILL)
            for password in (RIGHT, "wrong"):
                answer = ask(daemon.url, "alice", password)
                self.assertEqual(
                    (answer.status_code, answer.json()["error"]),
                    (503, "temporarily_unavailable"),
                )
            ready = requests.get(f"{daemon.url}/ready", timeout=30)
            self.assertEqual(
                (ready.status_code, ready.json()["reason"]), (503, "upstream_connection")
            )
            health = requests.get(f"{daemon.url}/health", timeout=30)
            self.assertEqual(health.json(), {"status": "healthy"})

    def test_keys_survive_a_restart(self) -> None:
        """A token of one run verifies with the keys of the next."""
        with DaemonProcess(self.folder) as daemon:
            token = ask(daemon.url, "alice", RIGHT).json()["id_token"]
            self.assertEqual(daemon.end(), 0)
        with DaemonProcess(self.folder) as daemon:
            keys = requests.get(f"{daemon.url}/.well-known/jwks.json", timeout=30).json()
        key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["RS256"], audience="jamf-connect")
        self.assertEqual(claims["preferred_username"], "alice")

    def test_the_tac_file_runs_the_same_daemon(self) -> None:
        """``twistd -y ropg.tac`` is configured by the environment alone."""
        with DaemonProcess(self.folder, command=("-n", "--pidfile=", "-y", str(TAC))) as daemon:
            self.assertEqual(ask(daemon.url, "alice", RIGHT).status_code, 200)
            self.assertEqual(daemon.end(), 0)

    def test_the_sandbox_says_what_it_is(self) -> None:
        """A daemon on the sandbox warns of it in its log."""
        with DaemonProcess(self.folder) as daemon:
            daemon.end()
        self.assertIn("SANDBOX", "".join(daemon.output))


class MisconfiguredTests(SynchronousTestCase):
    """A start that cannot succeed ends with one line that names the setting, and with a status."""

    FOREGROUND = ("-n", "ropg")
    WAYS = (FOREGROUND, ("ropg",), ("-n", "-y", str(TAC)), ("-y", str(TAC)))
    FINE: ClassVar = {"AUTHENTIK_URL": f"sandbox:{free_port()}", "PROXY_ISSUER": "http://localhost"}

    def line(self, status: int, way: Sequence[str], **environ: str) -> str:
        """The last thing that a failing start says; neither pid file nor process stays."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        self.addCleanup(end_all_in, folder)
        with Process(str(TWISTD), *way, environ=environ, folder=folder) as process:
            self.assertEqual(process.wait(), status, process.output)
        wait_until(lambda: not processes_in(folder), "the daemon has ended")
        said = "".join(process.output)
        self.assertEqual(said.count("ropg: "), 1, said)
        self.assertTrue(len(process.output) == 1 or "-n" in way, said)
        self.assertNotIn("Traceback", said)
        self.assertFalse((folder / "twistd.pid").exists())
        return process.output[-1]

    def test_each_names_its_setting(self) -> None:
        """Missing, wrong and conflicting settings, and ports that cannot be had."""
        fine = self.FINE
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for status, environ, name in (
                (78, {}, "AUTHENTIK_URL"),
                (78, {"AUTHENTIK_URL": "https://authentik.example.com"}, "PROXY_ISSUER"),
                (78, {**fine, "JWT_SECRET": "canary"}, "JWT_SECRET"),
                (78, {**fine, "ROPG_LISTEN": "nonsense"}, "ROPG_LISTEN"),
                (78, {**fine, "ROPG_LISTEN": "tcp:99999"}, "ROPG_LISTEN"),
                (71, {**fine, "ROPG_LISTEN": f"tcp:{port}:interface=127.0.0.1"}, "ROPG_LISTEN"),
                (71, {**fine, "ROPG_LISTEN": "unix:/proc/nowhere"}, "ROPG_LISTEN"),
                (78, {**fine, "ROPG_STATE_DIR": "/proc/nowhere"}, "ROPG_STATE_DIR"),
                (78, {**fine, "ROPG_LIMITS": "user 1 per 0 minutes"}, "ROPG_LIMITS"),
                *(
                    (78, {**fine, "ROPG_LIMITS_STORE": url}, "ROPG_LIMITS_STORE")
                    for url in ("redis://:canary@redis:port/0", "redis://:canary@redis/?foo=bar")
                ),
                (78, {**fine, "ROPG_CA_FILE": __file__}, "ROPG_CA_FILE"),
                (71, {**fine, "AUTHENTIK_URL": f"sandbox:{port}"}, "AUTHENTIK_URL"),
            ):
                line = self.line(status, self.FOREGROUND, **environ)
                self.assertIn(f"ropg: {name} ", line)
                self.assertIn("; for example: ", line)
                self.assertNotIn("canary", line)
        line = self.line(78, self.FOREGROUND, **fine, ROPG_DEADLIN="3")
        expected = "ropg: unknown setting ROPG_DEADLIN; did you mean ROPG_DEADLINE?"
        self.assertEqual(line.rstrip(), expected)

    def test_so_does_each_way_to_start_it(self) -> None:
        """With and without twistd's -n, by the plugin and by the tac file."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            for way in self.WAYS:
                line = self.line(78, way, **self.FINE, ROPG_DEADLINE="never")
                self.assertIn("ropg: ROPG_DEADLINE ", line)
                line = self.line(71, way, **self.FINE, ROPG_LISTEN=listen)
                self.assertIn(f"ropg: ROPG_LISTEN cannot listen at {listen} ([Errno 98] ", line)

    def test_one_that_ends_unheard_is_not_waited_for(self) -> None:
        """In the background twistd itself may fail, here for want of a folder for its pid file."""
        line = self.line(70, ("--pidfile", "nowhere/pid", "ropg"), **self.FINE)
        self.assertEqual(line, "ropg: ended while it started; see its log\n")


class ProcessTests(SynchronousTestCase):
    """The processes of these tests."""

    def test_none_outlives_a_test_that_could_not_begin(self) -> None:
        """The process ends although its test fails before its own block."""

        class Unusable(DaemonProcess):
            def begin(self) -> None:
                raise ZeroDivisionError

        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        with self.assertRaises(ZeroDivisionError), Unusable(folder):
            self.fail("it began")
        self.assertEqual(processes_in(folder), [])
