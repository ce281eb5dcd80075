"""Notifications to systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sd_notify import STATUS_SECONDS, ServiceManager
from ropg_twisted.verdict import Reason
from tests.fakes import CapturedLog, FakeReadiness


class NotifyTests(SynchronousTestCase):
    """A service manager that reads what it is sent."""

    def setUp(self) -> None:
        # The path of a UNIX socket must be short, which that of a test's folder is not.
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "notify"))
        self.clock = Clock()

    def listen(self, address: str) -> None:
        """Begin to read at an address."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        """The datagrams that have come since the last call."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(4096).decode("ascii"))
        except BlockingIOError:
            return found

    def manager(
        self, environ: Mapping[str, str] | None = None, reason: Reason | None = None
    ) -> ServiceManager:
        """What the daemon talks to, on the socket of the test."""
        environ = {"NOTIFY_SOCKET": self.path, **(environ or {})}
        return ServiceManager(environ, FakeReadiness(reason), self.clock)

    def test_the_start(self) -> None:
        """It is ready, and why it may not be able to check passwords; nothing before that."""
        self.listen(self.path)
        manager = self.manager()
        self.assertEqual(self.received(), [])
        manager.started()
        self.assertEqual(self.received(), ["READY=1", "STATUS=ready"])
        self.manager(reason=Reason.FLOW_MISSING).started()
        self.assertEqual(self.received(), ["READY=1", "STATUS=not ready: flow_missing"])

    def test_the_status_is_renewed(self) -> None:
        """Once in a while, as Authentik may be there or gone meanwhile."""
        self.listen(self.path)
        self.manager().started()
        self.received()
        self.clock.advance(STATUS_SECONDS - 1)
        self.assertEqual(self.received(), [])
        self.clock.advance(1)
        self.assertEqual(self.received(), ["STATUS=ready"])

    def test_an_abstract_name(self) -> None:
        """``@`` is a zero byte, with which such a name begins."""
        name = f"ropg-test-{os.getpid()}@x"
        self.listen(f"\0{name}")
        self.manager({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        self.assertEqual(self.received(), ["STOPPING=1\nSTATUS=finishing the checks in progress"])

    def test_a_reload(self) -> None:
        """It begins at a time of the monotonic clock, and ends with a readiness."""
        self.listen(self.path)
        manager = self.manager()
        manager.reloading()
        manager.ready()
        began, ended = self.received()
        self.assertRegex(began, r"\ARELOADING=1\nMONOTONIC_USEC=[1-9]\d*\Z")
        self.assertEqual(ended, "READY=1")

    def test_signs_of_life(self) -> None:
        """Come from the reactor in half of the time that systemd allows, if it is meant for us."""
        self.listen(self.path)
        cases: tuple[tuple[dict[str, str], int], ...] = (
            ({"WATCHDOG_USEC": "4000000"}, 4),
            ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 4),
            ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, 0),
            ({}, 0),
        )
        for environ, expected in cases:
            self.clock = Clock()
            self.manager(environ).started()
            self.clock.pump([1] * 7)
            self.assertEqual(self.received().count("WATCHDOG=1"), expected, environ)

    def test_without_a_service_manager(self) -> None:
        """Nothing is sent, and nothing is scheduled."""
        manager = self.manager({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "4000000"})
        for notify in (manager.started, manager.reloading, manager.stopping):
            notify()
        self.assertEqual(self.clock.calls, [])

    def test_nobody_listens(self) -> None:
        """A notification that is not taken is logged, and stops nothing."""
        log = CapturedLog(self)
        self.manager().stopping()
        [event] = log.events
        self.assertEqual(event["log_format"], "cannot notify systemd ({cause})")
