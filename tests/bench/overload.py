"""Twice as many checks as a server can make, and the time after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from tests.bench.clients import FLASK_THREADS
from tests.bench.load import Load
from tests.bench.machine import Bench
from tests.bench.servers import AIOHTTP_SAME, OURS, Server, Shape

ROUNDS: Final = 2
AUTHENTIK: Final = 0.01
"""Seconds in which Authentik answers a request."""

CLIENTS: Final = 48
"""Clients that find out the best rate. A server keeps up with them."""

BEST_SECONDS: Final = 4.0
"""Seconds in which the rate of a closed loop is measured."""

SECONDS: Final = 10.0
"""Seconds of the overload."""

STEADY: Final = 3.0
"""Seconds after which the overload is steady."""

REST: Final = 2.0
"""Seconds after which a server is at full speed again."""

SHAPES: Final = (FLASK_THREADS, OURS, AIOHTTP_SAME)


@dataclass(slots=True)
class OverloadRow:
    """One server.

    Attributes:
        best: checks a second in a closed loop, in each round.
        offered: checks begun in a second of the overload, as parts of ``best``.
        goodput: right passwords accepted in a second of the overload, as parts of ``best``.
        after: those after the overload and a rest, as parts of ``best``.
        told_later: checks that were asked to come again.
        told_seconds: the longest that one of these waited for that.
    """

    shape: Shape
    best: list[float] = field(default_factory=list)
    offered: list[float] = field(default_factory=list)
    goodput: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    told_later: int = 0
    told_seconds: float = 0.0
    unanswered: int = 0


async def measure_overload(bench: Bench) -> list[OverloadRow]:
    """Measure all servers, in turn, round by round."""
    servers = [await bench.start(shape) for shape in SHAPES]
    rows = [OverloadRow(shape) for shape in SHAPES]
    for server in servers:
        await _closed_loop(Load(server.port))
    for _ in range(bench.rounds or ROUNDS):
        for server, row in zip(servers, rows, strict=True):
            await _round(bench, server, row)
    bench.end_servers()
    return rows


async def _round(bench: Bench, server: Server, row: OverloadRow) -> None:
    bench.authentik.reset(AUTHENTIK)
    loop = asyncio.get_running_loop()
    best = await _closed_loop(Load(server.port))
    load = Load(server.port)
    begun = loop.time()
    overload = asyncio.create_task(load.open_loop(2 * best, SECONDS))
    await load.all_begun.wait()
    ended = loop.time()
    await asyncio.sleep(REST)
    # What is left of the overload is answered beside the new checks.
    after = await _closed_loop(Load(server.port, answers=load.answers))
    await overload
    later = load.told_later()
    row.best.append(best)
    row.offered.append(2 * SECONDS / (ended - begun))
    row.goodput.append(len(load.right(begun + STEADY, ended)) / (ended - begun - STEADY) / best)
    row.after.append(after / best)
    row.told_later += len(later)
    row.told_seconds = max([row.told_seconds, *(answer.seconds for answer in later)])
    row.unanswered += load.unanswered()


async def _closed_loop(load: Load) -> float:
    """Return the passwords accepted in a second."""
    begun = asyncio.get_running_loop().time()
    await load.closed_loop(CLIENTS, BEST_SECONDS)
    return len(load.right(begun, begun + BEST_SECONDS)) / BEST_SECONDS
