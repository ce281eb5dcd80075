"""The log file of the daemon as a process: signals that rotate it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon import DaemonProcess, wait_until


class RotationTests(SynchronousTestCase):
    """A daemon that logs to a file."""

    def test_a_signal_begins_a_new_file(self) -> None:
        """SIGHUP and SIGUSR1 put the lines so far aside, and the daemon goes on."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        log = folder / "ropg.log"
        with LoggingDaemon(folder, "-n", "--pidfile=", "--logfile", str(log), "ropg") as daemon:
            for number, sent in enumerate((signal.SIGHUP, signal.SIGUSR1), 1):
                os.kill(daemon.pid, sent)
                rotated = folder / f"ropg.log.{number}"
                wait_until(rotated.exists, f"{rotated.name} is there")
            self.assertIn("listening at", rotated.read_text())
            self.assertEqual(log.stat().st_mode & 0o777, 0o600)
            self.assertEqual(daemon.end(), 0, daemon.output)


class LoggingDaemon(DaemonProcess):
    """A daemon whose log is in a file, so nothing of it is on its standard output."""

    def __init__(self, folder: Path, *command: str) -> None:
        super().__init__(folder, command=command)
        self._log = folder / "ropg.log"

    def begin(self) -> None:
        """Wait until it has logged that it is ready."""
        wait_until(lambda: self._log.exists() and "ready: " in self._log.read_text(), "it is ready")
