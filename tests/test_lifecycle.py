"""The start of the daemon and its end."""

from __future__ import annotations

import socket
from typing import Any, Final, cast

from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from ropg_twisted.lifecycle import Lifecycle, Listener
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.verdict import Reason
from tests.daemon import PATIENCE
from tests.fakes import CapturedLog, FakeReadiness
from tests.parametrize import parametrize
from tests.ports import free_port

WAITING: Final = 5
"""Connections that wait when a listener stops."""


class StartTests(SynchronousTestCase):
    """The readiness probe at the start."""

    @parametrize(
        {
            "ready": (FakeReadiness(), "info", "ready: Authentik answers"),
            "with a warning": (
                FakeReadiness(warning=Reason.FLOW_UNPROVEN),
                "warn",
                "ready, but: flow_unproven",
            ),
            "not ready": (FakeReadiness(Reason.FLOW_MISSING), "error", "not ready: flow_missing"),
        }
    )
    def test_the_log_says_whether_passwords_can_be_checked(
        self, probe: Any, level: str, words: str
    ) -> None:
        """Ready is information, a warning is one, and everything else is an error."""
        unused: Any = None
        events = CapturedLog(self).events
        Lifecycle(unused, unused, unused, probe, None, 0).startService()
        [event] = events
        self.assertEqual(event["log_level"].name, level)
        self.assertIn(words, formatEvent(event))


class StopTests(TestCase):
    """The end of a listener."""

    async def test_connections_that_wait_are_answered(self) -> None:
        """A client that has connected before the stop gets its answer, accepted or not."""
        port = free_port()
        site = BoundedSite(Resource(), cast(Any, running))
        where = f"tcp:{port}:interface=127.0.0.1"
        listener = Listener("ROPG_LISTEN", where, site, cast(Any, running))
        listener.privilegedStartService()
        listener.startService()
        # Twisted accepts as many connections at a time as it has accepted before.
        self.assertEqual(await deferToThread(self.request(port).recv, 12), b"HTTP/1.0 404")
        # The reactor does not turn from here on.
        before = site.connections
        clients = [self.request(port) for _ in range(WAITING)]
        stopped = listener.stopService()
        # So a drain that begins now sees them.
        self.assertEqual(site.connections - before, WAITING)
        clients += [self.request(port) for _ in range(WAITING)]
        assert isinstance(stopped, Deferred)
        await stopped
        answers = [await deferToThread(client.recv, 12) for client in clients]
        self.assertEqual(answers, [b"HTTP/1.0 404"] * 2 * WAITING)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))

    def request(self, port: int) -> socket.socket:
        """A client that has sent its request."""
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client
