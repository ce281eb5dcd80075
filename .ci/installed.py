"""Checks an installed ropg-twisted from outside: its commands, as processes, over sockets.

``python installed.py VENV [TAC]`` starts the daemon of the virtual environment VENV in every way
that there is, by the file TAC as well if one is named, and asks it for passwords. Each step that
passes is a line ``ok``; the first that does not ends the script. Needs only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

PATIENCE = 30
"""Seconds after which something that should have happened will not any more."""

RIGHT = "correct horse battery staple"
FOREGROUND = ("-n", "--pidfile=")


class Installed:
    """The commands of a virtual environment, run in an empty folder on ports of their own."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self.folder = folder
        self._bin = venv / "bin"
        self._port, sandbox = free_ports()
        self._url = f"http://127.0.0.1:{self._port}"
        self._environ = {
            "PATH": os.defpath,
            "AUTHENTIK_URL": f"sandbox:{sandbox}",
            "PROXY_ISSUER": self._url,
            "ROPG_LISTEN": f"tcp:{self._port}:interface=127.0.0.1",
            "ROPG_STATE_DIR": str(folder / "state"),
        }

    def run(self, command: str, *arguments: str, typed: str = "") -> tuple[int, str]:
        """Run one to its end; its exit status and what it printed."""
        done = subprocess.run(
            [self._bin / command, *arguments],
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self._environ,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    @contextlib.contextmanager
    def twistd(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A twistd in the foreground; killed at the end if it is still there."""
        command = [str(self._bin / "twistd"), *arguments]
        child = subprocess.Popen(command, cwd=self.folder, env=self._environ)
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    def check_answers(self) -> None:
        """It becomes healthy, and tells a right from a wrong password."""
        wait_for("/health answers 200", self.is_healthy)
        status, text = self.run("ropg", "try", "alice", typed=f"{RIGHT}\n")
        step("a right password is right", status == 0 and RIGHT not in text, text)
        status, text = self.run("ropg", "try", "alice", typed="wrong\n")
        step("a wrong password is wrong", status == 1, text)

    def is_healthy(self) -> bool:
        """Whether /health answers 200 now."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.closing(connection), contextlib.suppress(ConnectionRefusedError):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def step(name: str, passed: bool, seen: str = "") -> None:
    """Say that a step has passed, or end."""
    if not passed:
        sys.exit(f"FAILED: {name}\n{seen}")
    print(f"ok: {name}", flush=True)


def wait_for(name: str, happened: Callable[[], bool]) -> None:
    """A step that may take a while."""
    end = time.monotonic() + PATIENCE
    while not (passed := happened()) and time.monotonic() < end:
        time.sleep(0.1)
    step(name, passed)


def check_help(installed: Installed) -> None:
    """Both commands know what they are."""
    status, text = installed.run("twistd", "--help")
    step("twistd --help names ropg", status == 0 and "\n    ropg " in text, text)
    status, text = installed.run("ropg", "--help")
    step("ropg --help names try", status == 0 and "\n    try " in text, text)


def check_schema(installed: Installed) -> None:
    """The schema of the audit lines is installed."""
    program = "from importlib.resources import files; import json; print(json.loads("
    program += (
        "files('ropg_twisted.telemetry').joinpath('audit.schema.json').read_text())['title'])"
    )
    status, text = installed.run("python", "-c", program)
    step("the schema of the audit lines is there", status == 0 and "Audit line" in text, text)


def check_share(venv: Path) -> None:
    """Manual pages and completion are there. An editable install has none."""
    if any(venv.glob("lib/*/site-packages/__editable__*")):
        return
    for name in (
        "man/man1/ropg.1",
        "man/man8/twistd-ropg.8",
        "bash-completion/completions/ropg",
        "bash-completion/completions/twistd",
        "zsh/site-functions/_ropg",
    ):
        step(f"share/{name} is installed", (venv / "share" / name).is_file())


def check_foreground(installed: Installed, *way: str) -> None:
    """In the foreground: it answers, and SIGTERM ends it."""
    print(f"-- twistd {' '.join(way)}")
    with installed.twistd(*way) as child:
        installed.check_answers()
        child.send_signal(signal.SIGTERM)
        wait_for("SIGTERM ends it", lambda: child.poll() is not None)


def check_daemonized(installed: Installed) -> None:
    """As a daemon: its pid file appears, it answers, and SIGTERM ends it, the file with it."""
    print("-- twistd --pidfile ropg.pid ropg")
    pidfile = installed.folder / "ropg.pid"
    status, text = installed.run("twistd", "--pidfile", str(pidfile), "ropg")
    step("twistd starts a daemon", status == 0, text)
    wait_for("the pid file appears", lambda: pidfile.is_file() and bool(pidfile.read_text()))
    pid = int(pidfile.read_text())
    try:
        installed.check_answers()
        os.kill(pid, signal.SIGTERM)
        wait_for("SIGTERM ends it", lambda: not pidfile.exists() and not installed.is_healthy())
    finally:
        if pidfile.exists():
            os.kill(pid, signal.SIGKILL)


def main(venv: str, tac: str | None = None) -> None:
    """Check everything."""
    with tempfile.TemporaryDirectory(prefix="ropg-installed-") as folder:
        installed = Installed(Path(venv).absolute(), Path(folder))
        check_help(installed)
        check_schema(installed)
        check_share(Path(venv))
        check_foreground(installed, *FOREGROUND, "ropg")
        if tac is not None:
            check_foreground(installed, *FOREGROUND, "-y", str(Path(tac).absolute()))
        check_daemonized(installed)


if __name__ == "__main__":
    main(*sys.argv[1:])
