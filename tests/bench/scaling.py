"""Two daemons on one listening socket, as systemd hands it to them."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from tests.bench.load import Load
from tests.bench.machine import Bench
from tests.bench.servers import OURS

ROUNDS: Final = 5
SECONDS: Final = 3.0
CLIENTS: Final = 32


@dataclass(slots=True)
class Scaling:
    """Checks a second of one daemon and of two, round by round.

    ``shared_core``: the load has no core of its own beside two daemons, so two are faster than this
    says.
    """

    shared_core: bool
    one: list[float] = field(default_factory=list)
    two: list[float] = field(default_factory=list)


async def measure_scaling(bench: Bench) -> Scaling | None:
    """Measure one daemon and two, in turn. Returns ``None`` on a machine with one core."""
    cores = bench.cores.servers
    if len(cores) < 2:
        return None
    scaling = Scaling(shared_core=not bench.cores.load.isdisjoint(cores))
    shape = replace(OURS, settings=(f"ROPG_STATE_DIR={bench.folder}/state",))
    with ExitStack() as stack:
        alone, shared = (
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)) for _ in "12"
        )
        await bench.start(shape, listener=alone, cores=cores[:1])
        await bench.start(shape, listener=shared, cores=cores[:1])
        await bench.start(shape, listener=shared, cores=cores[1:])
        await _rate(bench, shared.getsockname()[1])
        for _ in range(bench.rounds or ROUNDS):
            for listener, rates in ((alone, scaling.one), (shared, scaling.two)):
                rates.append(await _rate(bench, listener.getsockname()[1]))
        bench.end_servers()
    return scaling


async def _rate(bench: Bench, port: int) -> float:
    bench.authentik.reset()
    # With connections kept alive, each client would stay with one daemon.
    load = Load(port, keep_alive=False)
    begun = time.perf_counter()
    await load.closed_loop(CLIENTS, SECONDS)
    return len(load.right()) / (time.perf_counter() - begun)
