"""The process of the daemon: its clock, and the modules that it loads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.process import use_monotonic_clock
from tests.daemon import PATIENCE

LOADED = """
import os, sys
from twisted.internet.testing import MemoryReactorClock
from ropg_twisted import cli, process, tap
from ropg_twisted.settings.sources import read_settings

settings = read_settings({}, os.environ)
process.make_service(settings, MemoryReactorClock())
print(*(name for name in sys.modules if name.startswith("ropg_twisted.sandbox")))
"""
"""Puts a daemon together from the environment, and prints which modules of the sandbox it has."""


class ClockTests(SynchronousTestCase):
    """The clock of the reactor."""

    def test_it_is_monotonic(self) -> None:
        """The reactor measures time by the clock that nobody can set."""
        reactor = Clock()
        use_monotonic_clock(reactor)
        self.assertIs(reactor.seconds, time.monotonic)

    def test_nothing_may_be_scheduled_by_the_old_clock(self) -> None:
        """A call that is scheduled already would be made at another time: that is refused."""
        reactor = Clock()
        reactor.callLater(1, self.fail)
        with self.assertRaises(RuntimeError):
            use_monotonic_clock(reactor)
        self.assertEqual(reactor.seconds(), 0)


class LoadedModulesTests(SynchronousTestCase):
    """The sandbox is loaded on demand."""

    def loaded(self, authentik_url: str) -> list[str]:
        """The modules of the sandbox in the process of a daemon with this Authentik."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROPG_")},
            "AUTHENTIK_URL": authentik_url,
            "PROXY_ISSUER": "https://ropg.example.com",
            "ROPG_STATE_DIR": str(Path(self.mktemp()).absolute()),
        }
        child = subprocess.run(
            [sys.executable, "-c", LOADED],
            env=environ,
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            check=True,
            text=True,
        )
        return child.stdout.split()

    def test_a_production_daemon_has_none_of_it(self) -> None:
        """Neither the daemon of a real Authentik nor the command loads a module of the sandbox."""
        self.assertEqual(self.loaded("https://authentik.example.com"), [])

    def test_a_daemon_on_the_sandbox_has_it(self) -> None:
        """``AUTHENTIK_URL=sandbox:`` loads it."""
        self.assertIn("ropg_twisted.sandbox.http.app", self.loaded("sandbox:"))
