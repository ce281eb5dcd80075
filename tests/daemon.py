"""The daemon as a process of its own, started by its real command."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.audit_lines import audit_lines
from tests.ports import free_port

TWISTD = Path(sys.executable).with_name("twistd")
ROPG = TWISTD.with_name("ropg")
PATIENCE = 30
"""Seconds after which something that should have happened will not any more."""
GRACE = 1
"""Seconds in which a process may end by itself after its test, before it is killed."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look until it is so. Fails if it is not in time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.01)


def processes_in(folder: Path) -> list[int]:
    """The ids of all processes whose working directory is ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def end_all_in(folder: Path) -> None:
    """End all processes whose working directory is ``folder``."""
    for pid in processes_in(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Process:
    """A child whose output is read line by line, and that is ended with the block of its test.

    Each audit line of it must be as the schema says.
    """

    def __init__(
        self,
        *command: str,
        environ: Mapping[str, str],
        folder: Path,
        encoding: str | None = None,
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ROPG_")}
        self.output: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._child = subprocess.Popen(
            command,
            env={**clean, **environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding=encoding,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """The next line that is wanted. Fails if the process ends without one."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            if line is None:
                raise AssertionError("the process has ended:\n" + "".join(self.output))
            if wanted(line):
                return line

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, and return the exit status."""
        if self._child.poll() is None:
            self._child.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit status; all output is read then."""
        status = self._child.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def begin(self) -> None:
        """Wait until it can be used; a child whose test could not begin is ended as well."""

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.end(signal.SIGKILL)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A process that is killed at once leaves no data of its coverage.
        if self._child.poll() is None:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE)
        self.end(signal.SIGKILL)
        if kind is None:
            audit_lines(self.output)

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._child.stdout.close()
        self._lines.put(None)


class SandboxProcess(Process):
    """``ropg sandbox``, listening at ``url``: an Authentik that outlives the daemon or does not."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(*(str(ROPG), "sandbox", "--listen", str(port)), environ={}, folder=folder)

    def begin(self) -> None:
        """Wait until it listens."""
        self.wait_for(lambda line: f"The sandbox is at {self.url}" in line)


class DaemonProcess(Process):
    """``twistd -n ropg`` on a sandbox of its own, listening at ``url``."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        command: tuple[str, ...] = ("-n", "--pidfile=", "ropg"),
        listen: str = "tcp:{port}:interface=127.0.0.1",
        scheme: str = "http",
        encoding: str | None = None,
        port: int | None = None,
        **environ: str,
    ) -> None:
        self.port = port or free_port()
        self.url = f"{scheme}://localhost:{self.port}"
        self._where = listen.format(port=self.port)
        settings = {
            "AUTHENTIK_URL": f"sandbox:{free_port()}",
            "PROXY_ISSUER": self.url,
            "ROPG_LISTEN": self._where,
            "ROPG_STATE_DIR": str(folder / "state"),
            **environ,
        }
        super().__init__(
            *(str(TWISTD), *command, *options),
            environ=settings,
            folder=folder,
            encoding=encoding,
        )

    def begin(self) -> None:
        """Wait until it listens."""
        self.wait_for(lambda line: f"listening at {self._where}" in line)
