"""The time that a server adds to Authentik's own, at low load."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.bench.load import Load
from tests.bench.machine import Bench
from tests.bench.servers import (
    AIOHTTP_SAME,
    FLASK,
    FLASK_SAME,
    GO_SAME,
    OURS,
    OURS_EC,
    Server,
    Shape,
)

ROUNDS: Final = 3
SECONDS: Final = 5.0
"""Seconds of one server in one round."""

AUTHENTIK: Final = 0.01
"""Seconds in which Authentik answers a request."""

PAUSE: Final = 0.02
"""Seconds between two checks. Only one is made at a time."""

SHAPES: Final = (FLASK, FLASK_SAME, OURS, OURS_EC, AIOHTTP_SAME, GO_SAME)


@dataclass(slots=True)
class LatencyRow:
    """One server. ``added``: the seconds of each check without those of its own requests."""

    shape: Shape
    added: list[float] = field(default_factory=list)


async def measure_latency(bench: Bench) -> list[LatencyRow]:
    """Measure all servers, in turn, round by round."""
    shapes = [shape for shape in SHAPES if shape.kind != "go" or bench.go]
    servers = [await bench.start(shape) for shape in shapes]
    rows = [LatencyRow(shape) for shape in shapes]
    for _ in range(bench.rounds or ROUNDS):
        for server, row in zip(servers, rows, strict=True):
            await _round(bench, server, row)
    bench.end_servers()
    return rows


async def _round(bench: Bench, server: Server, row: LatencyRow) -> None:
    bench.authentik.reset(AUTHENTIK)
    load = Load(server.port)
    await load.closed_loop(1, SECONDS, pause=PAUSE)
    await bench.settle()
    own = bench.authentik.login_seconds()
    row.added.extend(answer.seconds - own[answer.check.username] for answer in load.right())
