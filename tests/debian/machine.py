"""A Debian with a running systemd, in namespaces. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.daemon import wait_until

BOOT = Path(__file__).with_name("boot")
NAMESPACES = ("-m", "-p", "-u", "-i", "-C")
"""All but that of the network: the loopback is that of the process that boots."""


class Machine:
    """A booted Debian. ``base``: the folder with its files, which stays as it is."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._changes = Path(tempfile.mkdtemp(prefix="ropg-debian-"))
        self._cgroups = [path / self._changes.name for path in _cgroup_roots()]

    def __enter__(self) -> Self:
        for cgroup in self._cgroups:
            with suppress(OSError):
                cgroup.mkdir()
        command = ["unshare", *NAMESPACES, "-f", "--kill-child", "--mount-proc"]
        self._outer = subprocess.Popen(
            [*command, str(BOOT), str(self._base), str(self._changes)],
            preexec_fn=self._enter_cgroups,
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: bool(self._children()), "the machine has a first process")
            [self._pid] = self._children()
            wait_until(self._is_up, "the machine is up")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            lines = self.run("journalctl", "--no-pager", check=False).splitlines()
            print(*[line for line in lines if '"verdict"' not in line][-60:], sep="\n")
        self._end()

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the machine, and return its standard output and error."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), *NAMESPACES, "env", "-i", f"PATH={PATH}", *command],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} has failed: {done.returncode}\n{done.stdout}")
        return done.stdout

    def status(self, *command: str) -> int:
        """Run a command in the machine, and return its exit status."""
        enter = ["nsenter", "-t", str(self._pid), *NAMESPACES, "env", "-i", f"PATH={PATH}"]
        quiet = subprocess.DEVNULL
        return subprocess.run([*enter, *command], cwd="/", stdout=quiet, stderr=quiet).returncode

    def path(self, name: str) -> Path:
        """A file of the machine, as seen from here."""
        return Path(f"/proc/{self._pid}/root{name}")

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).strip()
        assert state != "degraded", self.run("systemctl", "--failed", "--no-pager")
        return state == "running"

    def _children(self) -> list[int]:
        pid = self._outer.pid
        assert self._outer.poll() is None, "the machine has not booted"
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def _enter_cgroups(self) -> None:
        for cgroup in self._cgroups:
            # Some controllers take no process before they are configured.
            with suppress(OSError):
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def _end(self) -> None:
        self._outer.send_signal(signal.SIGKILL)
        self._outer.wait()
        for cgroup in self._cgroups:
            wait_until(lambda cgroup=cgroup: _removed(cgroup), f"{cgroup} is empty")  # type: ignore[misc]
        shutil.rmtree(self._changes)


PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _cgroup_roots() -> list[Path]:
    """The mounted hierarchies."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(where) for _, where, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]


def _removed(cgroup: Path) -> bool:
    """Remove a cgroup and those below, and return whether that was possible."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return not cgroup.exists()
