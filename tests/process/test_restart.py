"""The daemon's ends and new beginnings, as service managers bring them about."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.certificates import make_certificate
from tests.checking import HEADERS, TOO_MANY, CheckingThread, form
from tests.daemon import (
    PATIENCE,
    TWISTD,
    DaemonProcess,
    Process,
    SandboxProcess,
    end_all_in,
    processes_in,
    wait_until,
)
from tests.ports import free_port

ENOUGH = 25
"""Checks of each client before, between and after restarts."""
HANDED_DOWN = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as way:
    way.connect(sys.argv[1])
    (descriptor,) = socket.recv_fds(way, 1, 1)[1]
os.dup2(descriptor, 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "front"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Does for a daemon what systemd does: descriptor 3 is the socket that it takes from the test."""


def is_refused(port: int) -> bool:
    """Return whether nobody listens any more."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


class ActivatedDaemon(Process):
    """A daemon that is handed a listening socket, as ``front``."""

    def __init__(self, folder: Path, listener: socket.socket, where: str, **environ: str) -> None:
        self._listener = listener
        # The path of a UNIX socket must be short, which that of a test's folder is not.
        self._short = tempfile.TemporaryDirectory()
        self._door = socket.socket(socket.AF_UNIX)
        way = str(Path(self._short.name, "way"))
        self._door.bind(way)
        self._door.listen()
        self._door.settimeout(PATIENCE)
        super().__init__(
            *(sys.executable, "-c", HANDED_DOWN, way, str(TWISTD)),
            *("-n", "--pidfile=", "ropg", "--listen", where),
            environ=environ,
            folder=folder,
        )

    def begin(self) -> None:
        """Hand the socket over, and wait until it is listened at."""
        with self._short, self._door:
            child, _ = self._door.accept()
            with child:
                socket.send_fds(child, [b"x"], [self._listener.fileno()])
        self.wait_for(lambda line: "listening at" in line)


class RestartTestCase(SynchronousTestCase):
    """A sandbox that outlives the daemons that ask it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def environ(self, authentik: str) -> dict[str, str]:
        """The settings of a daemon that another command starts."""
        return {
            "AUTHENTIK_URL": authentik,
            "PROXY_ISSUER": "http://localhost",
            "ROPG_STATE_DIR": str(self.folder / "state"),
            "ROPG_LIMITS": "off",
        }


class EndTests(RestartTestCase):
    """SIGTERM."""

    def test_what_is_in_flight_is_answered(self) -> None:
        """No more connections are taken, every check under way is answered, and the status is 0."""
        with (
            SandboxProcess(self.folder) as sandbox,
            DaemonProcess(self.folder, AUTHENTIK_URL=sandbox.url, ROPG_LIMITS="off") as daemon,
        ):
            os.kill(sandbox.pid, signal.SIGSTOP)
            try:
                asking = [self.begin(daemon.port) for _ in range(20)]
                os.kill(daemon.pid, signal.SIGTERM)
                wait_until(lambda: is_refused(daemon.port), "the daemon stops listening")
            finally:
                os.kill(sandbox.pid, signal.SIGCONT)
            for client in asking:
                with client:
                    answer = b"".join(iter(lambda client=client: client.recv(65536), b""))  # type: ignore[misc]
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
                self.assertIn(b'"id_token"', answer)
            self.assertEqual(daemon.wait(), 0, daemon.output)
        log = "".join(daemon.output)
        self.assertEqual(log.count('"reason": "verified"'), 20, log)
        self.assertNotIn("Traceback", log)

    def begin(self, port: int) -> socket.socket:
        """Send a check that the daemon is known to have seen, since it asks for the body."""
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        body = form(USUAL_PASSWORD).encode()
        head = (
            "POST /oauth/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            f"Content-Type: {HEADERS['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode())
        self.assertEqual(client.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(body)
        return client

    def test_an_idle_connection_keeps_no_daemon(self) -> None:
        """A connection that is open but asks nothing is closed."""
        with DaemonProcess(self.folder) as daemon:
            idle = HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
            idle.request("GET", "/health")
            self.assertEqual(idle.getresponse().read(), b'{"status":"healthy"}')
            self.assertEqual(daemon.end(), 0, daemon.output)
            self.assertEqual(idle.sock.recv(1), b"")
            idle.close()


class ActivationTests(RestartTestCase):
    """Sockets that are held by somebody else while the daemon is restarted."""

    def test_a_restart_loses_no_check(self) -> None:
        """Clients that go on asking are all answered, and each check is made once."""
        self.restart("systemd:domain=INET:index=0", "systemd:domain=INET:name=front")

    def test_a_restart_loses_no_check_over_tls(self) -> None:
        """The same with certificates of the daemon's own, in a file or in a folder."""
        certificate = make_certificate(self.folder)
        self.restart(
            f"ssl:systemd:domain=INET:name=front:privateKey={certificate}:certKey={certificate}",
            f"tls:{self.folder}:systemd:domain=INET:index=0",
            ssl.create_default_context(cafile=certificate),
        )

    def restart(self, first: str, second: str, context: ssl.SSLContext | None = None) -> None:
        """Restart a daemon twice, with another endpoint string, while clients ask."""
        with (
            SandboxProcess(self.folder) as sandbox,
            socket.create_server(("127.0.0.1", 0)) as listener,
        ):
            environ = self.environ(sandbox.url)
            port = listener.getsockname()[1]
            clients = [
                CheckingThread(port, keeps=keeps, right=right, context=context)
                for keeps in (True, False)
                for right in (True, False)
            ]
            output: list[str] = []
            for turn, endpoint in enumerate((first, second, first)):
                with ActivatedDaemon(self.folder, listener, endpoint, **environ) as daemon:
                    if turn == 0:
                        for client in clients:
                            client.start()
                    before = [client.asked for client in clients]
                    wait_until(
                        lambda before=before: all(  # type: ignore[misc]
                            client.asked >= asked + ENOUGH
                            for client, asked in zip(clients, before, strict=True)
                        ),
                        f"clients are answered by daemon {turn}",
                    )
                    if turn == 2:
                        for client in clients:
                            client.ending.set()
                            client.join(PATIENCE)
                    self.assertEqual(daemon.end(), 0, daemon.output)
                output += daemon.output
        for client in clients:
            self.assertEqual(client.lost, [])
            self.assertLess(client.asked, TOO_MANY)
        rights = sum(client.answers["200 tokens"] for client in clients)
        wrongs = sum(client.answers["400 invalid_grant"] for client in clients)
        self.assertEqual(rights + wrongs, sum(client.asked for client in clients))
        log = "".join(output)
        self.assertEqual(log.count('"reason": "verified"'), rights)
        self.assertEqual(log.count('"reason": "wrong_credentials"'), wrongs)
        # Those that keep a connection need a new one for each daemon, and no more.
        self.assertEqual([c.connections for c in clients if c.keeps], [3, 3])

    def test_a_listener_that_fails_later_is_told_of(self) -> None:
        """Twisted closes a socket that has failed; the log says so, and the daemon can end."""
        with (
            SandboxProcess(self.folder) as sandbox,
            socket.create_server(("127.0.0.1", 0)) as listener,
            ActivatedDaemon(
                self.folder, listener, "systemd:domain=INET:index=0", **self.environ(sandbox.url)
            ) as daemon,
        ):
            listener.shutdown(socket.SHUT_RDWR)
            line = json.loads(daemon.wait_for(lambda line: "no longer listening at" in line))
            self.assertEqual(line["level"], "critical")
            self.assertEqual(daemon.end(), 0, daemon.output)
        self.assertEqual("".join(daemon.output).count("no longer listening"), 1)

    def test_a_socket_that_does_not_fit_is_one_line(self) -> None:
        """A name that systemd has not passed, and another kind of address, end with status 78."""
        certificate = make_certificate(self.folder)
        files = f"privateKey={certificate}:certKey={certificate}"
        for where, problem in (
            ("systemd:domain=INET:name=back", "systemd has passed no such socket"),
            (f"ssl:systemd:domain=INET:index=1:{files}", "systemd has passed no such socket"),
            (f"ssl:systemd:domain=INET6:name=front:{files}", "has passed needs domain=INET"),
            (f"tls:{self.folder}:systemd:domain=UNIX:name=front", "has passed needs domain=INET"),
        ):
            daemon = ActivatedDaemon(
                self.folder,
                listener := socket.create_server(("127.0.0.1", 0)),
                where,
                **self.environ("sandbox:"),
            )
            with listener, self.assertRaisesRegex(AssertionError, problem), daemon:
                pass
            self.assertEqual(daemon.wait(), os.EX_CONFIG)
            [line] = daemon.output
            self.assertIn(f"ropg: ROPG_LISTEN cannot listen at {where} (", line)

    def test_systemd_s_own_tool_can_start_it(self) -> None:
        """``systemd-socket-activate`` starts the daemon for the first connection."""
        tool = shutil.which("systemd-socket-activate")
        if tool is None:
            raise SkipTest("systemd-socket-activate is not here")
        with SandboxProcess(self.folder) as sandbox:
            port = free_port()
            command = [tool, "--listen", f"127.0.0.1:{port}", "--fdname", "front"]
            for name in {*self.environ(sandbox.url), *({"PYTHONPATH"} & os.environ.keys())}:
                command.append(f"--setenv={name}")
            command += [str(TWISTD), "-n", "--pidfile=", "ropg"]
            command += ["--listen", "systemd:domain=INET:name=front"]
            with Process(*command, environ=self.environ(sandbox.url), folder=self.folder) as daemon:
                daemon.wait_for(lambda line: "Listening" in line)
                client = CheckingThread(port, keeps=False, right=True)
                self.assertEqual(client.check(USUAL_PASSWORD), "200 tokens")
                self.assertEqual(daemon.end(), 0, daemon.output)


class DaemonizedTests(RestartTestCase):
    """twistd in the background."""

    def test_it_answers_and_logs_and_ends(self) -> None:
        """The log is in twistd.log, the pid in its file, and SIGTERM to that ends it."""
        with SandboxProcess(self.folder) as sandbox:
            port, folder = free_port(), self.folder / "daemon"
            folder.mkdir()
            self.addCleanup(end_all_in, folder)
            log, pidfile = folder / "twistd.log", folder / "ropg.pid"
            with Process(
                *(str(TWISTD), "--pidfile", str(pidfile), "ropg"),
                *("--listen", f"tcp:{port}:interface=127.0.0.1"),
                environ=self.environ(sandbox.url),
                folder=folder,
            ) as parent:
                self.assertEqual(parent.wait(), 0, parent.output)
            client = CheckingThread(port, keeps=False, right=True)
            self.assertEqual(client.check(USUAL_PASSWORD), "200 tokens")
            os.kill(int(pidfile.read_text()), signal.SIGTERM)
            wait_until(lambda: not processes_in(folder), "the daemon ends")
            self.assertFalse(pidfile.exists())
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            self.assertIn("verified", [line.get("reason") for line in lines])
            self.assertNotIn("critical", [line["level"] for line in lines])
