"""The state that the status page shows: since when it is as it is."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.client import Connection
from tests.memory import InMemoryDaemon
from tests.status.test_page import Page


class SinceTests(SynchronousTestCase):
    """A daemon in memory whose page is seldom loaded, and whose users are there all the time."""

    def setUp(self) -> None:
        self.daemon = InMemoryDaemon(self, ROPG_ADMIN_LISTEN="tcp:8582", ROPG_LIMITS="off")

    def page(self) -> str:
        """The text of the page."""
        site: Any = self.daemon.clock.tcpServers[1][1]
        [reply] = Connection(site).send(b"GET / HTTP/1.0\r\n\r\n").replies
        return Page(reply.body.decode()).text

    def check(self, seconds: float, *, cut: bool, status: int) -> None:
        """A check after so many seconds."""
        self.daemon.clock.advance(seconds)
        self.daemon.agent.failure = ConnectionRefusedError() if cut else None
        self.assertEqual(self.daemon.password("alice").status, status)

    def test_an_outage_began_with_the_first_check_that_failed(self) -> None:
        """Even if the page has not been loaded since."""
        self.assertIn("All is well", self.page())
        self.check(60, cut=True, status=503)
        self.daemon.clock.advance(600)
        page = self.page()
        self.assertIn("No password can be checked", page)
        self.assertIn("UTC, 10 minutes ago .", page)

    def test_it_is_well_since_the_end_of_the_last_outage(self) -> None:
        """Even if the page was never loaded while it lasted."""
        self.assertIn("All is well", self.page())
        self.check(60, cut=True, status=503)
        self.check(60, cut=False, status=200)
        self.daemon.clock.advance(600)
        page = self.page()
        self.assertIn("All is well Since", page)
        self.assertIn("UTC, 10 minutes ago .", page)

    def test_without_an_outage_it_is_well_since_the_first_probe(self) -> None:
        """Checks that Authentik answers change nothing."""
        self.page()
        self.check(300, cut=False, status=200)
        self.daemon.clock.advance(300)
        self.assertIn("UTC, 10 minutes ago .", self.page())
