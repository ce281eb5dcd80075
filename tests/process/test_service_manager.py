"""The daemon as a process under a service manager: notifications, signs of life, reloads."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.certificates import make_certificate
from tests.daemon import PATIENCE, DaemonProcess, SandboxProcess
from tests.ports import free_port

HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
WATCHDOG_USEC = 100_000
SEVERAL_SIGNS = 5 * WATCHDOG_USEC / 1_000_000
"""Seconds in which a reactor that turns would have sent several signs of life."""


class ServiceManagerTestCase(SynchronousTestCase):
    """A folder, and the socket of a service manager."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "notify"))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE)

    def receive(self) -> str:
        """The next datagram."""
        return self.socket.recv(4096).decode("ascii")

    def receive_until(self, wanted: str) -> list[str]:
        """The datagrams up to one that begins like this."""
        found = [self.receive()]
        while not found[-1].startswith(wanted):
            found.append(self.receive())
        return found

    def config(self, text: str) -> str:
        """A settings file."""
        path = self.folder / "ropg.toml"
        path.write_text(text)
        return str(path)


class NotificationTests(ServiceManagerTestCase):
    """Start and stop."""

    def test_it_is_ready_when_it_answers(self) -> None:
        """Not before; then it says why passwords cannot be checked, and that it stops."""
        with DaemonProcess(self.folder, NOTIFY_SOCKET=self.path) as daemon:
            self.assertEqual(self.receive(), "READY=1")
            connection = HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
            connection.request("GET", "/health")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
            self.assertEqual(self.receive(), "STATUS=ready")
            self.assertEqual(daemon.end(), 0)
            self.assertTrue(self.receive().startswith("STOPPING=1\nSTATUS="))

    def test_a_daemon_that_cannot_listen_is_never_ready(self) -> None:
        """Its port is in use: nothing is sent."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            daemon = DaemonProcess(
                self.folder,
                listen=f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1",
                NOTIFY_SOCKET=self.path,
            )
            self.assertEqual(daemon.wait(), os.EX_OSERR)
        self.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.socket.recv(4096)

    def test_a_reactor_that_hangs_sends_no_sign_of_life(self) -> None:
        """It does again as soon as it turns. Here a pipe without a writer blocks a reload."""
        secret = self.folder / "secret"
        secret.write_text("s")
        with DaemonProcess(
            self.folder,
            NOTIFY_SOCKET=self.path,
            WATCHDOG_USEC=str(WATCHDOG_USEC),
            CLIENT_ID="mac",
            CLIENT_SECRET_FILE=str(secret),
        ) as daemon:
            for _ in range(3):
                self.receive_until("WATCHDOG=1")
            secret.unlink()
            os.mkfifo(secret)
            os.kill(daemon.pid, signal.SIGHUP)
            self.receive_until("RELOADING=1\nMONOTONIC_USEC=")
            self.socket.settimeout(SEVERAL_SIGNS)
            with self.assertRaises(TimeoutError):
                self.receive()
            self.socket.settimeout(PATIENCE)
            secret.write_text("s")
            self.assertEqual(self.receive(), "READY=1")
            self.receive_until("WATCHDOG=1")


class ReloadTests(ServiceManagerTestCase):
    """SIGHUP, which ``systemctl reload`` sends."""

    def answer(self, daemon: DaemonProcess, client: str, password: str = USUAL_PASSWORD) -> str:
        """The status and the error of a check."""
        return self.ask(daemon, client, password)()

    def ask(
        self, daemon: DaemonProcess, client: str, password: str = USUAL_PASSWORD
    ) -> Callable[[], str]:
        """Send a check, which the daemon is known to have seen. Returns what reads the answer."""
        form = {"grant_type": "password", "client_id": client, "username": "alice"}
        body = urlencode({**form, "password": password})
        connection = HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        connection.request("POST", "/oauth/token", body, HEADERS)

        def read() -> str:
            response = connection.getresponse()
            body = json.loads(response.read())
            connection.close()
            return f"{response.status} {body.get('error', 'tokens')}"

        return read

    def reload(self, daemon: DaemonProcess) -> None:
        """Send the signal, and wait for the end of the reload."""
        os.kill(daemon.pid, signal.SIGHUP)
        self.receive_until("RELOADING=1")
        self.receive_until("READY=1")

    def test_clients_networks_and_limits_change(self) -> None:
        """The next request sees the new settings, and each log hashes its user name."""
        path = self.config('[[clients]]\nid = "one"\n')
        with DaemonProcess(self.folder, NOTIFY_SOCKET=self.path, ROPG_CONFIG=path) as daemon:
            self.receive_until("READY=1")
            self.assertEqual(self.answer(daemon, "one"), "200 tokens")
            self.assertEqual(self.answer(daemon, "two"), "401 invalid_client")
            daemon.wait_for(lambda line: '"alice"' in line)

            self.config('log_users = "hashed"\n[[clients]]\nid = "two"\nsecret = "s"\n')
            self.reload(daemon)
            daemon.wait_for(lambda line: "settings reloaded" in line)
            restart = daemon.wait_for(lambda line: "only a restart changes" in line)
            self.assertIn("only a restart changes ROPG_APP_SLUG", restart)
            self.assertEqual(self.answer(daemon, "two"), "401 invalid_client")
            self.assertEqual(self.answer(daemon, "one"), "401 invalid_client")

            self.config('log_users = "hashed"\n[[clients]]\nid = "two"\n')
            self.reload(daemon)
            self.assertEqual(self.answer(daemon, "two"), "200 tokens")
            line = daemon.wait_for(lambda line: '"reason": "verified"' in line)
            self.assertNotIn("alice", line)

            self.config('allowed_networks = "10.0.0.0/8"\n[[clients]]\nid = "two"\n')
            self.reload(daemon)
            self.assertEqual(self.answer(daemon, "two"), "403 access_denied")

    def test_the_status_page_shows_the_settings_in_use(self) -> None:
        """Those of the last reload, without the ones that wait for a restart."""
        path = self.config('app_slug = "a"\n[[clients]]\nid = "one"\n')
        port = free_port()
        with DaemonProcess(
            self.folder,
            NOTIFY_SOCKET=self.path,
            ROPG_CONFIG=path,
            ROPG_ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1",
        ) as daemon:
            self.receive_until("READY=1")
            self.config('app_slug = "b"\ndeadline = 7\n[[clients]]\nid = "two"\n')
            self.reload(daemon)
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/")
            page = connection.getresponse().read().decode()
            connection.close()
        self.assertIn("<code>two</code>", page)
        self.assertNotIn("<code>one</code>", page)
        self.assertIn("<code>a</code>", page)
        self.assertIn("15 s", page)

    def test_an_unusable_certificate_is_told_of_at_once(self) -> None:
        """The reload looks at the certificates, before the next client comes."""
        certificate = Path(make_certificate(self.folder))
        with DaemonProcess(
            self.folder,
            listen=f"ssl:{{port}}:interface=127.0.0.1:privateKey={certificate}",
            NOTIFY_SOCKET=self.path,
        ) as daemon:
            self.receive_until("READY=1")
            certificate.write_text("garbage")
            self.reload(daemon)
            daemon.wait_for(lambda line: "renewed certificate: unusable" in line)

    def test_a_wrong_file_changes_nothing(self) -> None:
        """The log has the line of the setting, once; all other settings stay too."""
        path = self.config('[[clients]]\nid = "one"\n')
        with DaemonProcess(self.folder, NOTIFY_SOCKET=self.path, ROPG_CONFIG=path) as daemon:
            self.receive_until("READY=1")
            for text in ('token_lifetime = 1\n[[clients]]\nid = "two"\n', "[[clients", ""):
                self.config(text)
                if not text:
                    Path(path).unlink()
                self.reload(daemon)
                daemon.wait_for(lambda line: "no setting has changed: ROPG_" in line)
                self.assertEqual(self.answer(daemon, "one"), "200 tokens")
                self.assertEqual(self.answer(daemon, "two"), "401 invalid_client")
            self.assertEqual(daemon.end(), 0)
        self.assertEqual("".join(daemon.output).count("no setting has changed"), 3)
        self.assertNotIn("settings reloaded", "".join(daemon.output))

    def test_checks_in_progress_end_with_the_old_settings(self) -> None:
        """None is lost, and none is made twice."""
        path = self.config('[[clients]]\nid = "one"\n')
        with (
            SandboxProcess(self.folder) as sandbox,
            DaemonProcess(
                self.folder,
                NOTIFY_SOCKET=self.path,
                ROPG_CONFIG=path,
                ROPG_LIMITS="off",
                AUTHENTIK_URL=sandbox.url,
            ) as daemon,
        ):
            self.receive_until("READY=1")
            os.kill(sandbox.pid, signal.SIGSTOP)
            try:
                waiting = [self.ask(daemon, "one") for _ in range(10)]
                # This one is answered after all requests before it have been read.
                self.assertEqual(self.answer(daemon, "two"), "401 invalid_client")
                self.config('[[clients]]\nid = "two"\n')
                self.reload(daemon)
                self.assertEqual(self.answer(daemon, "one"), "401 invalid_client")
            finally:
                os.kill(sandbox.pid, signal.SIGCONT)
            self.assertEqual([read() for read in waiting], ["200 tokens"] * 10)
            self.assertEqual(daemon.end(), 0)
        self.assertEqual("".join(daemon.output).count('"reason": "verified"'), 10)
