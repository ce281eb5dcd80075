"""The servers under test: the daemon and its peers, and how each is started."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from tests.bench.authentik import Counts
from tests.bench.processes import Child
from tests.paths import CHECKOUT
from tests.ports import free_port

BIN: Final = Path(sys.executable).parent
GO: Final = CHECKOUT / "tests" / "bench" / "peers" / "go" / "main.go"

EXTRAS: Final = ("access", "user", "removal")
"""Requests besides those of the flow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of server.

    Attributes:
        name: what the tables call it.
        kind: ``ours``, ``flask``, ``aiohttp`` or ``go``.
        algorithm: signs the tokens.
        extras: makes the requests besides those of the flow.
        settings: of the daemon; for Flask, options of gunicorn.
    """

    name: str
    kind: str
    algorithm: str = "RS256"
    extras: bool = True
    settings: tuple[str, ...] = ()


OURS: Final = Shape("ours, RS256", "ours")
OURS_EC: Final = Shape("ours, ES256", "ours", "ES256")
OURS_BARE: Final = Shape("ours, extras off, RS256", "ours", extras=False)
OURS_BARE_EC: Final = Shape("ours, extras off, ES256", "ours", "ES256", extras=False)
FLASK: Final = Shape("Flask, its minimum", "flask", extras=False)
FLASK_SAME: Final = Shape("Flask, the same requests", "flask")
AIOHTTP: Final = Shape("aiohttp, its minimum", "aiohttp", extras=False)
AIOHTTP_SAME: Final = Shape("aiohttp, the same requests", "aiohttp")
GO_MINIMUM: Final = Shape("Go, its minimum", "go", extras=False)
GO_SAME: Final = Shape("Go, the same requests", "go")

EXTRAS_OFF: Final = {
    "ROPG_CLAIMS": "typed",
    "ROPG_CHECK_ACCESS": "off",
    "ROPG_INVALIDATION_FLOW": "",
}


class Authentik:
    """The fake Authentik as a process."""

    def __init__(self, cores: Iterable[int]) -> None:
        pinned = frozenset(cores)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.authentik"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, pinned),
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self, latency: float = 0.0) -> None:
        """Begin to count anew. ``latency``: seconds by which each response is late."""
        self._control(f"/bench/reset?latency={latency}")

    def counts(self) -> Counts:
        """Return the counts since the last reset."""
        return Counts(**self._control("/bench/counts"))

    def login_seconds(self) -> dict[str, float]:
        """Return how long the requests of each login took here, by user name; not removals."""
        return self._control("/bench/logins")

    def _control(self, path: str) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            body: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return body

    def end(self) -> None:
        """End it."""
        self._process.communicate()


class Server(Child):
    """A running server.

    ``extras``: the requests besides those of the flow that peers make, as the daemon does.
    ``listener``: a listening socket, which only the daemon can take over.
    """

    def __init__(
        self,
        shape: Shape,
        authentik: Authentik,
        folder: Path,
        cores: Iterable[int],
        *,
        tls: bool = False,
        extras: Iterable[str] = EXTRAS,
        listener: socket.socket | None = None,
    ) -> None:
        self.shape = shape
        self.tls = tls
        self.port = free_port() if listener is None else int(listener.getsockname()[1])
        home = Path(mkdtemp(dir=folder))
        if shape.kind == "ours":
            command = [str(BIN / "twistd"), "-n", "--pidfile=", "ropg"]
            environ = self._daemon(authentik, folder, home, inherits=listener is not None)
            cwd = home
        else:
            command = self._peer_command(folder)
            environ = self._peer(authentik, folder, extras)
            cwd = CHECKOUT
        descriptor = None if listener is None else listener.fileno()
        super().__init__(command, environ, cwd, cores, home / "log", descriptor)

    def _daemon(
        self, authentik: Authentik, folder: Path, home: Path, *, inherits: bool
    ) -> dict[str, str]:
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        if self.tls:
            listen = (
                f"ssl:{self.port}:interface=127.0.0.1"
                f":privateKey={folder}/tls.key:certKey={folder}/tls.pem"
            )
        environ = {
            "AUTHENTIK_URL": authentik.url,
            "PROXY_ISSUER": "http://127.0.0.1",
            "ROPG_LISTEN": "systemd:domain=INET:name=ropg" if inherits else listen,
            "ROPG_SIGNING_ALG": self.shape.algorithm,
            "ROPG_STATE_DIR": str(home / "state"),
            # The load comes through a proxy, which knows the address of each client.
            "ROPG_TRUSTED_PROXIES": "127.0.0.1",
        }
        if inherits:
            environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "ropg"}
        if not self.shape.extras:
            environ |= EXTRAS_OFF
        return environ | dict(pair.split("=", 1) for pair in self.shape.settings)

    def _peer(self, authentik: Authentik, folder: Path, extras: Iterable[str]) -> dict[str, str]:
        environ = {
            "BENCH_ALGORITHM": self.shape.algorithm,
            "BENCH_AUTHENTIK": authentik.url,
            "BENCH_EXTRAS": " ".join(extras) if self.shape.extras else "",
            "BENCH_KEY": str(folder / f"{self.shape.algorithm}.key"),
            "BENCH_PORT": str(self.port),
        }
        if self.tls:
            environ |= {
                "BENCH_CERTIFICATE": str(folder / "tls.pem"),
                "BENCH_CERTIFICATE_KEY": str(folder / "tls.key"),
            }
        return environ

    def _peer_command(self, folder: Path) -> list[str]:
        if self.shape.kind == "go":
            return [str(folder / "go-peer")]
        if self.shape.kind == "aiohttp":
            return [sys.executable, "-m", "tests.bench.peers.aiohttp_app"]
        pem = ["--certfile", f"{folder}/tls.pem", "--keyfile", f"{folder}/tls.key"]
        return [
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"),
            *(pem if self.tls else ()),
            *self.shape.settings,
            "tests.bench.peers.flask_app:app",
        ]


def build_go(folder: Path) -> str | None:
    """Compile the peer in Go. Return the version of Go, ``None`` without a toolchain."""
    go = shutil.which("go")
    if go is None:
        return None
    subprocess.run(
        [go, "build", "-o", str(folder / "go-peer"), str(GO)],
        check=True,
        cwd=folder,
        env={**os.environ, "GO111MODULE": "off"},
    )
    return subprocess.run(
        [go, "version"], check=True, capture_output=True, text=True
    ).stdout.split()[2]
