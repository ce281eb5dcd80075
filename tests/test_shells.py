"""Manual pages and completion, in the programs that show them."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import FIRST_PYTHON_ONLY
from tests.paths import CHECKOUT

SHARE: Final = CHECKOUT / "share"
PAGES: Final = sorted(SHARE.glob("man/man*/*"))

PATIENCE: Final = 60
"""Seconds after which a shell will not answer any more."""


def program(name: str) -> str:
    """The path of a program; the test is skipped without it."""
    path = shutil.which(name)
    if path is None:
        raise SkipTest(f"{name} is not installed")
    return path


class ManualPageTests(SynchronousTestCase):
    """The manual pages are sound."""

    skip = FIRST_PYTHON_ONLY

    def run_(self, *command: str) -> str:
        """What a program prints."""
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, text=True
        )
        return done.stdout

    def test_groff(self) -> None:
        """Groff has no warning, and shows text."""
        groff = program("groff")
        for page in PAGES:
            text = self.run_(groff, "-ww", "-man", "-Tascii", "-P-cbou", str(page))
            self.assertNotRegex(text, r"(?m)^(groff|troff|grotty)|warning:|error:")
            self.assertIn("SEE ALSO", text)

    def test_mandoc(self) -> None:
        """Mandoc has no complaint, but for the date that the pages do not have."""
        mandoc = program("mandoc")
        for page in PAGES:
            lint = self.run_(mandoc, "-T", "lint", "-W", "warning", str(page)).splitlines()
            self.assertEqual([line for line in lint if "missing date" not in line], [])


class Terminal:
    """An interactive shell at a terminal."""

    def __init__(self, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self._fd, other = pty.openpty()
        self._shell = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
        os.close(other)

    def type(self, keys: str, wanted: str) -> str:
        """Type keys, and return what is shown until ``wanted``, a regular expression, is there."""
        os.write(self._fd, keys.encode())
        seen, end = "", time.monotonic() + PATIENCE
        while not re.search(wanted, seen):
            if not select.select([self._fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{keys!r}: no {wanted!r} in {seen!r}")
            seen += os.read(self._fd, 4096).decode("utf-8", "replace")
        return seen

    def close(self) -> None:
        """End the shell."""
        self._shell.send_signal(signal.SIGKILL)
        self._shell.wait()
        os.close(self._fd)


class ShellTestCase(SynchronousTestCase):
    """A shell in a folder with a file, where the commands of this checkout are found."""

    skip = FIRST_PYTHON_ONLY

    def open(self, *command: str, setup: str) -> None:
        """Start a shell, and type what sets it up."""
        folder = Path(self.mktemp()).absolute()
        (folder / "bin").mkdir(parents=True)
        (folder / "certificate.pem").touch()
        (folder / "state").mkdir()
        for name, code in (
            ("ropg", "from ropg_twisted.cli import main; main()"),
            ("twistd", "from twisted.scripts.twistd import run; run()"),
        ):
            path = folder / "bin" / name
            path.write_text(f"#!{sys.executable}\n{code}\n")
            path.chmod(0o755)
        environ = {
            "PATH": f"{folder}/bin:{os.defpath}",
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        self.terminal = Terminal([program(command[0]), *command[1:]], environ, folder)
        self.addCleanup(self.terminal.close)
        self.terminal.type(f"{setup}; PS1=; echo rea''dy\n", "ready")

    def assert_completes(self, typed: str, wanted: str) -> None:
        """A tab completes what is typed to ``wanted``."""
        # Then the line becomes the arguments of echo.
        shown = self.terminal.type(f"{typed}\t\x01echo '<' \x05 '>'\n", r"(?m)^< (.*?) >\r?$")
        [line] = re.findall(r"(?m)^< (.*?) >\r?$", shown)
        # Zsh takes a slash away when a space follows.
        self.assertEqual(line.rstrip("/"), wanted)

    def check(self) -> None:
        """Every kind of word is completed."""
        for typed, wanted in (
            ("ropg ke", "ropg keys"),
            ("ropg keys rot", "ropg keys rotate"),
            ("ropg keys --signing-alg Ed", "ropg keys --signing-alg EdDSA"),
            ("ropg keys --state-dir sta", "ropg keys --state-dir state"),
            ("ropg try --sc", "ropg try --scope"),
            ("ropg try --ca-file cert", "ropg try --ca-file certificate.pem"),
            ("twistd ropg --adm", "twistd ropg --admin-listen"),
            ("twistd ropg --config cert", "twistd ropg --config certificate.pem"),
        ):
            self.assert_completes(typed, wanted)


class BashTests(ShellTestCase):
    """Bash completes words of the commands."""

    def test_bash(self) -> None:
        """With the files of the package."""
        folder = SHARE / "bash-completion/completions"
        self.open("bash", "--norc", "-i", setup=f"source {folder}/ropg; source {folder}/twistd")
        self.check()
        # A value that is no file.
        self.assert_completes("ropg try --scope cert", "ropg try --scope cert")
        # The value of an option is no command.
        self.assert_completes("ropg try --client-id keys --sc", "ropg try --client-id keys --scope")


class ZshTests(ShellTestCase):
    """Zsh completes words of the commands."""

    def test_zsh(self) -> None:
        """With the file of the package, and its own for twistd."""
        fpath = f"fpath=({SHARE}/zsh/site-functions $fpath)"
        setup = f"bindkey -e; {fpath}; autoload -U compinit; compinit -u -D"
        self.open("zsh", "-f", "-i", setup=setup)
        self.check()
