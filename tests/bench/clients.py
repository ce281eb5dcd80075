"""A thousand clients at once, while Authentik takes its time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.bench.figures import quantile
from tests.bench.load import Load
from tests.bench.machine import Bench
from tests.bench.servers import AIOHTTP_SAME, GO_SAME, OURS, Server, Shape

CLIENTS: Final = 1000
AUTHENTIK: Final = 0.1
"""Seconds in which Authentik answers a request."""

RAMP: Final = 2.0
"""Seconds in which the clients begin."""

STEADY: Final = 8.0
"""Seconds after which the load is steady."""

SECONDS: Final = 20.0
"""Seconds of one server."""

FLASK_THREADS: Final = Shape("Flask, 2 threads", "flask", extras=False, settings=("--threads=2",))
OURS_1000: Final = Shape("ours, ROPG_MAX_CHECKS=1000", "ours", settings=("ROPG_MAX_CHECKS=1000",))
SHAPES: Final = (FLASK_THREADS, OURS, OURS_1000, AIOHTTP_SAME, GO_SAME)


@dataclass(slots=True)
class ClientsRow:
    """One server. Rate, times and new connections are those of the steady load.

    Attributes:
        right: passwords accepted.
        told_later: checks that were asked to come again.
        told_seconds: the longest that one of these waited for that.
        rate: passwords accepted in a second.
        connections: new ones at Authentik.
        memory_idle: in MiB.
        memory_over: at most, over ``memory_idle``.
    """

    shape: Shape
    right: int
    told_later: int
    told_seconds: float
    unanswered: int
    rate: float
    p50: float
    p99: float
    connections: int
    memory_idle: float
    memory_over: float


async def measure_clients(bench: Bench) -> list[ClientsRow]:
    """Measure each server alone: an idle one needs no memory that counts, but a core."""
    rows = []
    for shape in SHAPES:
        if shape.kind != "go" or bench.go:
            rows.append(await _measure(bench, await bench.start(shape)))
            bench.end_servers()
    return rows


async def _measure(bench: Bench, server: Server) -> ClientsRow:
    loop = asyncio.get_running_loop()
    idle = server.memory()
    bench.authentik.reset(AUTHENTIK)
    load = Load(server.port)
    begun = loop.time()
    memory = [idle]
    watch = asyncio.create_task(_watch_memory(server, memory))
    clients = asyncio.create_task(load.closed_loop(CLIENTS, SECONDS, ramp=RAMP))
    await asyncio.sleep(STEADY)
    before = await asyncio.to_thread(bench.authentik.counts)
    await asyncio.sleep(begun + SECONDS - loop.time())
    after = await asyncio.to_thread(bench.authentik.counts)
    await clients
    watch.cancel()
    steady = [answer.seconds for answer in load.right(begun + STEADY, begun + SECONDS)]
    later = load.told_later()
    return ClientsRow(
        shape=server.shape,
        right=len(load.right()),
        told_later=len(later),
        told_seconds=max((answer.seconds for answer in later), default=0.0),
        unanswered=load.unanswered(),
        rate=len(steady) / (SECONDS - STEADY),
        p50=quantile(steady, 0.5),
        p99=quantile(steady, 0.99),
        connections=after.connections - before.connections,
        memory_idle=idle,
        memory_over=max(memory) - idle,
    )


async def _watch_memory(server: Server, memory: list[float]) -> None:
    """Note the memory that a server uses, until this is cancelled."""
    while True:
        memory.append(server.memory())
        await asyncio.sleep(0.5)
