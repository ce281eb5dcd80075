"""CPU time of a check, and checks a second on one core."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from tests.bench.load import Load
from tests.bench.machine import Bench
from tests.bench.servers import (
    AIOHTTP,
    AIOHTTP_SAME,
    EXTRAS,
    FLASK,
    FLASK_SAME,
    GO_MINIMUM,
    GO_SAME,
    OURS,
    OURS_BARE,
    OURS_BARE_EC,
    OURS_EC,
    Server,
    Shape,
)

ROUNDS: Final = 7
FEWER_ROUNDS: Final = 4
SECONDS: Final = 1.5
"""Seconds of one server in one round."""

WARM_SECONDS: Final = 0.2
"""Seconds of load before each round."""

CLIENTS: Final = 8
WRONG: Final = 4
"""Where wrong passwords are mixed in, one in so many is."""

SHAPES: Final = (
    FLASK,
    FLASK_SAME,
    OURS,
    OURS_EC,
    OURS_BARE,
    OURS_BARE_EC,
    AIOHTTP,
    AIOHTTP_SAME,
    GO_MINIMUM,
    GO_SAME,
)


@dataclass(slots=True)
class CPURow:
    """The rounds of one server.

    ``memory``: of the idle server, in MiB. ``requests`` and ``connections``: at Authentik, per
    check.
    """

    shape: Shape
    memory: float
    rate: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    authentik_microseconds: list[float] = field(default_factory=list)
    requests: float = 0.0
    connections: float = 0.0


async def measure_cpu(
    bench: Bench, rounds: int, *, tls: bool = False, wrong: int = 0
) -> list[CPURow]:
    """Measure all servers, in turn, round by round.

    ``tls``: a new TLS connection for each check, otherwise connections are kept alive as far as the
    server does. ``wrong``: one in so many passwords is wrong.
    """
    shapes = [shape for shape in SHAPES if shape.kind != "go" or bench.go]
    servers = [await bench.start(shape, tls=tls) for shape in shapes]
    rows = [CPURow(server.shape, server.memory()) for server in servers]
    for number in range(bench.rounds or rounds):
        # Each begins once, so that none is always after the same other one.
        order = [(number + position) % len(servers) for position in range(len(servers))]
        for position in order:
            await _round(bench, servers[position], rows[position], wrong)
    bench.end_servers()
    return rows


async def find_extras(bench: Bench) -> tuple[str, ...]:
    """Return the requests that the daemon makes for a check besides those of the flow."""
    server = await bench.start(OURS)
    bench.authentik.reset()
    load = await _load(server, 0.5)
    counts = await bench.settle()
    bench.end_servers()
    return tuple(kind for kind in EXTRAS if counts.requests.get(kind, 0) >= 0.5 * len(load.answers))


async def _round(bench: Bench, server: Server, row: CPURow, wrong: int) -> None:
    # Connections that were idle for too long are opened again before anything is counted.
    await _load(server, WARM_SECONDS, wrong)
    await bench.settle()
    bench.authentik.reset()
    authentik = bench.authentik.counts().cpu_seconds
    cpu = server.cpu_seconds()
    begun = time.perf_counter()
    load = await _load(server, SECONDS, wrong)
    seconds = time.perf_counter() - begun
    counts = await bench.settle()
    checks = len(load.answers)
    row.rate.append(checks / seconds)
    row.milliseconds.append(1000 * (server.cpu_seconds() - cpu) / checks)
    requests = sum(counts.requests.values())
    row.authentik_microseconds.append(1e6 * (counts.cpu_seconds - authentik) / requests)
    row.requests = requests / checks
    row.connections = counts.connections / checks


async def _load(server: Server, seconds: float, wrong: int = 0) -> Load:
    load = Load(server.port, tls=server.tls, keep_alive=not server.tls, wrong=wrong)
    await load.closed_loop(CLIENTS, seconds)
    if load.unanswered() or load.told_later():
        raise RuntimeError(f"{server.shape.name}: not every check was answered")
    return load
