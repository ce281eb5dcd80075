"""compose.balanced.yaml without containers: a real HAProxy, a real Redis, two daemons."""

from __future__ import annotations

import json
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Mapping
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests import FIRST_PYTHON_ONLY
from tests.certificates import Identity, identity
from tests.checking import HEADERS, CheckingThread, form
from tests.containers import COMPOSE, load_compose, with_secrets
from tests.daemon import PATIENCE, DaemonProcess, Process, SandboxProcess, wait_until
from tests.ports import free_port

HAPROXY: Final = shutil.which("haproxy") or "/usr/sbin/haproxy"
REDIS: Final = shutil.which("redis-server")
CONFIG: Final = COMPOSE / "haproxy.cfg"
CLIENT: Final = "127.0.0.2"
"""Address of the clients. That of the balancer is 127.0.0.1."""
STORE_PASSWORD: Final = "password-of-the-store"
ENOUGH: Final = 25
"""Checks of each client before and after each disturbance."""


def missing() -> str | None:
    """Return the program that is not installed, or None."""
    if not Path(HAPROXY).exists():
        return "haproxy is not installed"
    return None if REDIS else "redis-server is not installed"


class BalancerProcess(Process):
    """HAProxy with the file of ``contrib``, for other addresses."""

    def __init__(self, folder: Path, tls: Identity, **ports: int) -> None:
        self.port = free_port()
        pem = folder / "ropg.pem"
        pem.write_text(tls.pem + tls.key, "ascii")
        text = CONFIG.read_text("utf-8")
        text = text.replace("bind :8443", f"bind 127.0.0.1:{self.port}")
        text = text.replace("/run/secrets/ropg.pem", str(pem))
        for name, port in ports.items():
            server = name.replace("_", "-")
            text = text.replace(f"{server}:8580", f"127.0.0.1:{port}")
        config = folder / "haproxy.cfg"
        config.write_text(text, "utf-8")
        checked = subprocess.run(
            [HAPROXY, "-c", "-f", str(config)], capture_output=True, text=True, check=False
        )
        if checked.returncode or "WARNING" in checked.stderr:
            raise AssertionError(checked.stderr)
        super().__init__(HAPROXY, "-db", "-f", str(config), environ={}, folder=folder)

    def down(self) -> set[str]:
        """The daemons that it sends nothing to."""
        states = re.findall(r"Server ropg/(\S+) is (UP|DOWN)", "".join(self.output))
        return {name for name, state in dict(states).items() if state == "DOWN"}


class BalancedTests(SynchronousTestCase):
    """What clients see of two daemons behind the balancer."""

    skip = FIRST_PYTHON_ONLY or missing()
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.tls = identity("localhost")
        self.trust = ssl.create_default_context(cadata=self.tls.pem)
        self.sandbox = self.enter(SandboxProcess(self.new_folder("sandbox")))
        self.store = self.start_store()
        self.document = load_compose(
            "compose.balanced.yaml",
            PROXY_ISSUER="https://localhost",
            AUTHENTIK_URL=self.sandbox.url,
            FLOW_SLUG="default-authentication-flow",
        )

    def enter(self, process: Any) -> Any:
        """A process that has begun, and ends with the test."""
        process.__enter__()
        self.addCleanup(process.__exit__, None, None, None)
        return process

    def new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def start_store(self) -> str:
        """Start Redis with the arguments of the file, and return its URL."""
        folder = self.new_folder("redis")
        port = free_port()
        config = folder / "redis.conf"
        config.write_text(f"requirepass {STORE_PASSWORD}\nbind 127.0.0.1\nport {port}\n", "ascii")
        service = load_compose("compose.balanced.yaml", PROXY_ISSUER="")["services"]["redis"]
        program, path, *options = service["command"]
        self.assertEqual((program, path), ("redis-server", "/run/secrets/redis.conf"))
        assert REDIS is not None
        redis = self.enter(Process(REDIS, str(config), *options, environ={}, folder=folder))
        redis.wait_for(lambda line: "Ready to accept connections" in line)
        return f"redis://:{STORE_PASSWORD}@127.0.0.1:{port}/0"

    def daemon(
        self, name: str, environ: Mapping[str, str], port: int | None = None
    ) -> DaemonProcess:
        """A daemon with the environment of a service."""
        settings: dict[str, Any] = with_secrets(
            self.document["services"][name]["environment"],
            self.folder,
            outpost_token="token of an outpost",
            limits_store=self.store,
        )
        settings["ROPG_TRUSTED_PROXIES"] = "127.0.0.1"
        settings["ROPG_STATE_DIR"] = str(self.folder / "state")
        settings.update(environ)
        return DaemonProcess(self.new_folder(name), port=port, **settings)

    def balanced(self, **environ: str) -> list[DaemonProcess]:
        """Start both daemons and the balancer in front of them."""
        names = ("ropg-1", "ropg-2")
        daemons = [self.enter(self.daemon(name, environ)) for name in names]
        self.balancer = self.enter(
            BalancerProcess(
                self.new_folder("haproxy"), self.tls, ropg_1=daemons[0].port, ropg_2=daemons[1].port
            )
        )
        wait_until(lambda: self.get("/health") == 200, "the balancer has a daemon")
        return daemons

    def connection(self) -> HTTPSConnection:
        return HTTPSConnection(
            "localhost",
            self.balancer.port,
            timeout=PATIENCE,
            context=self.trust,
            source_address=(CLIENT, 0),
        )

    def get(self, path: str) -> int:
        """The status of an answer, 0 if there is none."""
        connection = self.connection()
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def check(self, password: str, **headers: str) -> tuple[int, str]:
        """The status and the error of a check."""
        connection = self.connection()
        try:
            connection.request("POST", "/oauth/token", form(password), {**HEADERS, **headers})
            response = connection.getresponse()
            return response.status, json.loads(response.read()).get("error", "")
        finally:
            connection.close()

    def test_checks_are_balanced(self) -> None:
        """Both daemons answer, with the address of the client and not what it says of itself."""
        daemons = self.balanced(ROPG_LIMITS="off")
        asked = {"X-Forwarded-For": "198.51.100.7"}
        for number in range(10):
            self.assertEqual(self.check(USUAL_PASSWORD, **asked), (200, ""))
            self.assertEqual(self.check(f"wrong {number}", **asked), (400, "invalid_grant"))
        for daemon in daemons:
            wait_until(lambda: bool(self.checks(daemon)), "the daemon has a check")  # noqa: B023
            self.assertEqual({line["address"] for line in self.checks(daemon)}, {CLIENT})
        keys = {(self.folder / "state" / "keys.json").stat().st_mode & 0o777}
        self.assertEqual(keys, {0o600})

    def checks(self, daemon: DaemonProcess) -> list[dict[str, Any]]:
        """The audit lines of a daemon's checks."""
        lines = [json.loads(line) for line in daemon.output if line.startswith("{")]
        return [line for line in lines if "verdict" in line]

    def test_failures_are_counted_together(self) -> None:
        """Ten wrong passwords are ten, whichever daemon has had them."""
        self.balanced()
        answers = [self.check(f"wrong {number}") for number in range(11)]
        self.assertEqual(answers, [(400, "invalid_grant")] * 10 + [(429, "slow_down")])

    def test_daemons_are_replaced_under_load(self) -> None:
        """Clients in a closed loop lose no check while one daemon after the other is restarted."""
        daemons = self.balanced(ROPG_LIMITS="off")
        clients = [
            CheckingThread(self.balancer.port, keeps=keeps, right=right, context=self.trust)
            for keeps in (True, False)
            for right in (True, False)
        ]
        for client in clients:
            client.start()
            self.addCleanup(client.ending.set)
        self.go_on(clients)
        for daemon in daemons:
            self.assertEqual(daemon.end(), 0)
            self.go_on(clients)
            name = f"ropg-{daemons.index(daemon) + 1}"
            self.enter(self.daemon(name, {"ROPG_LIMITS": "off"}, daemon.port))
            wait_until(lambda: not self.balancer.down(), "the balancer has all daemons again")
            self.go_on(clients)
        for client in clients:
            client.ending.set()
            client.join(PATIENCE)
            self.assertEqual(client.lost, [])
            expected = "200 tokens" if client.right else "400 invalid_grant"
            self.assertEqual(set(client.answers), {expected})

    def go_on(self, clients: list[CheckingThread]) -> None:
        """Wait until each client has checked some more."""
        enough = [client.asked + ENOUGH for client in clients]
        wait_until(
            lambda: all(c.asked >= n for c, n in zip(clients, enough, strict=True)),
            "all clients go on",
        )

    def test_an_outage_is_the_daemons_to_tell(self) -> None:
        """The balancer passes the answer on; a dropped connection is dropped, without a word."""
        self.balanced()
        self.sandbox.end(signal.SIGKILL)
        self.assertEqual(self.check(USUAL_PASSWORD), (503, "temporarily_unavailable"))

    def test_a_dropped_connection(self) -> None:
        """With ``ROPG_OUTAGE=abort`` the client gets nothing, which it cannot read as a verdict."""
        self.balanced(ROPG_OUTAGE="abort")
        self.sandbox.end(signal.SIGKILL)
        with self.assertRaises((OSError, HTTPException)):
            self.check(USUAL_PASSWORD)

    def test_no_daemon(self) -> None:
        """Without a daemon the balancer says nothing in its own words."""
        for daemon in self.balanced():
            daemon.end()
        with self.assertRaises((OSError, HTTPException)):
            self.check(USUAL_PASSWORD)


class ConfigTests(SynchronousTestCase):
    """The file of the balancer, and the compose file that mounts it."""

    def test_every_daemon_is_a_server(self) -> None:
        """The servers are the services of the image."""
        services = load_compose("compose.balanced.yaml", PROXY_ISSUER="")["services"]
        daemons = {name for name, service in services.items() if service["image"] == "ropg"}
        servers = re.findall(r"^ +server (\S+) (\S+):8580$", CONFIG.read_text("utf-8"), re.M)
        self.assertEqual({name for name, _ in servers}, daemons)
        self.assertEqual([name for name, _ in servers], [host for _, host in servers])

    def test_an_outage_of_authentik_takes_no_daemon_away(self) -> None:
        """The probe asks whether the process lives."""
        self.assertIn("\n    option httpchk GET /health\n", CONFIG.read_text("utf-8"))

    def test_the_ports_are_those_of_the_compose_file(self) -> None:
        """What is published is what HAProxy binds, and the certificate is one of the secrets."""
        balancer = load_compose("compose.balanced.yaml", PROXY_ISSUER="")["services"]["balancer"]
        [port] = balancer["ports"]
        [secret] = balancer["secrets"]
        bind = f"bind :{port.partition(':')[2]} ssl crt /run/secrets/{secret} "
        self.assertIn(bind, CONFIG.read_text("utf-8"))
