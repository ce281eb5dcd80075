"""Processes of the benchmark: their cores, their CPU time and their memory. Needs ``/proc``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds in which the kernel counts CPU time."""

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
PATIENCE: Final = 10
"""Seconds after which a process that was asked to end is killed."""


_HAND_OVER: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Makes a descriptor the third, as systemd does, and becomes the command."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of the servers, one for each, and those of the load and the fake Authentik.

    ``apart``: the two do not share a core.
    """

    servers: tuple[int, ...]
    load: frozenset[int]
    apart: bool


def divide_cores(available: Iterable[int]) -> Cores:
    """Divide the cores. With two, a second server shares that of the load."""
    cores = sorted(available)
    if len(cores) == 1:
        return Cores((cores[0],), frozenset(cores), False)
    servers = (cores[-1], cores[-2])
    load = frozenset(cores[:-2] if len(cores) > 2 else cores[:1])
    return Cores(servers, load, True)


class Child:
    """A process with its children, on some cores. Its output goes to a file.

    ``descriptor``: is inherited as descriptor 3, as from systemd.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        cores: Iterable[int],
        log: Path,
        descriptor: int | None = None,
    ) -> None:
        self.log = log
        pinned = frozenset(cores)
        handing_over = () if descriptor is None else (sys.executable, "-c", _HAND_OVER, descriptor)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ROPG_")}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*map(str, handing_over), *command],
                env={**clean, **environ},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, pinned),
                start_new_session=True,
                pass_fds=() if descriptor is None else (descriptor,),
            )

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    def pids(self) -> set[int]:
        """The ids of the process and of all processes that it has started."""
        return family(self._process.pid)

    def cpu_seconds(self) -> float:
        """CPU time of all its processes, with children that have ended."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def memory(self) -> float:
        """Resident memory of all its processes, in MiB; pages that they share count once each."""
        return sum(_memory(pid) for pid in self.pids())

    def end(self) -> None:
        """End it, with all processes that it has started."""
        if self.running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        # A worker of gunicorn that is busy outlives its master.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def family(pid: int) -> set[int]:
    """Return ``pid`` and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name of the command."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    try:
        return sum(int(ticks) for ticks in _stat(pid)[11:15]) * TICK
    except OSError:
        return 0.0


def _memory(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    except OSError:
        return 0.0
