"""The machine of a run, and what is made for it: keys, a certificate, the fake Authentik."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.bench.authentik import Counts
from tests.bench.load import until_right
from tests.bench.processes import Cores, divide_cores
from tests.bench.servers import EXTRAS, Authentik, Server, Shape, build_go
from tests.certificates import Key, identity

SETTLE: Final = 0.1
"""Seconds without a request, after which a server has done everything."""

PACKAGES: Final = ("Twisted", "treq", "gunicorn", "Flask", "requests", "aiohttp", "uvloop")


@dataclass(slots=True)
class Bench:
    """A run of the benchmark.

    Attributes:
        extras: the requests besides those of the flow that the daemon makes.
        servers: those that run now.
    """

    folder: Path
    cores: Cores
    authentik: Authentik
    go: str | None
    rounds: int | None
    extras: tuple[str, ...] = EXTRAS
    servers: list[Server] = field(default_factory=list)

    async def start(
        self,
        shape: Shape,
        *,
        tls: bool = False,
        cores: Iterable[int] | None = None,
        listener: socket.socket | None = None,
    ) -> Server:
        """Start a server, and wait until it accepts a right password."""
        server = Server(
            shape,
            self.authentik,
            self.folder,
            self.cores.servers[:1] if cores is None else cores,
            tls=tls,
            extras=self.extras,
            listener=listener,
        )
        self.servers.append(server)
        try:
            await until_right(server.port, tls=tls, goes_on=lambda: server.running)
        except RuntimeError:
            raise RuntimeError(f"{shape.name}:\n{server.log.read_text()[-4000:]}") from None
        return server

    async def settle(self) -> Counts:
        """Wait for what servers do after their answers, such as removals. Return the counts."""
        before, counts = None, self.authentik.counts()
        while counts.requests != before:
            before = counts.requests
            await asyncio.sleep(SETTLE)
            counts = self.authentik.counts()
        return counts

    def end_servers(self) -> None:
        """End all servers."""
        while self.servers:
            self.servers.pop().end()


@contextmanager
def prepared(rounds: int | None) -> Iterator[Bench]:
    """Prepare a run, and clean up after it. This process moves to the cores of the load."""
    cores = divide_cores(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ropg-bench-")))
        make_keys(folder)
        go = build_go(folder)
        authentik = Authentik(cores.load)
        stack.callback(authentik.end)
        bench = Bench(folder, cores, authentik, go, rounds)
        stack.callback(bench.end_servers)
        os.sched_setaffinity(0, cores.load)
        yield bench


def make_keys(folder: Path) -> None:
    """Write the keys of the peers, and a certificate for TLS with an EC key."""
    keys: dict[str, Key] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
    }
    for algorithm, key in keys.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{algorithm}.key").write_bytes(pem)
    tls = identity("localhost")
    (folder / "tls.key").write_text(tls.key)
    (folder / "tls.pem").write_text(tls.pem)


def describe(bench: Bench) -> Mapping[str, str]:
    """Return what the machine and its software are."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    placed = "server and load on cores of their own" if bench.cores.apart else "all on one core"
    return {
        "CPU": model[0] if model else platform.machine(),
        "cores": f"{os.cpu_count()}, {placed}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "Go": bench.go or "no toolchain on PATH: left out",
    }
