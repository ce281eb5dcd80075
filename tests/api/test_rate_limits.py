"""Rate limits as clients see them."""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Client
from tests.client import Connection, Reply, post
from tests.composition import daemon_site
from tests.fakes import CapturedLog, FixedVerifier
from tests.guard.fakes import WRONG
from tests.guard.rate_limits import ADDRESS, ALLOWED, BOTH, OFF, USER, limited


class WebTests(SynchronousTestCase):
    """The same, as clients see it."""

    def ask(self, site: BoundedSite, client: str = "mac", username: str = "alice") -> Reply:
        """The response to a token request."""
        fields = {"grant_type": "password", "username": username, "password": "canary"}
        [reply] = Connection(site).send(post(urlencode({**fields, "client_id": client}))).replies
        return reply

    def test_the_answer(self) -> None:
        """Too many attempts: 429, when to come again, bytes that never change, and a log line."""
        events = CapturedLog(self).events
        for rates, wait in ((USER, 900), (ADDRESS, 60)):
            clock = Clock()
            site = daemon_site(limited(FixedVerifier(WRONG), clock), Client("mac", rates=rates))
            for _ in range(ALLOWED):
                self.assertEqual(self.ask(site).status, 400)
            for later in (0, wait // 3):
                clock.advance(later)
                reply = self.ask(site)
                self.assertEqual(reply.status, 429)
                self.assertEqual(
                    reply.body,
                    b'{"error":"slow_down","error_description":"Too many attempts"}',
                )
                self.assertEqual(reply.headers["retry-after"], str(wait - later + 1))
                self.assertEqual(reply.headers["cache-control"], "no-store")
        lines = [event for event in events if event.get("reason") == "throttled"]
        self.assertEqual([event["verdict"] for event in lines], ["unverifiable"] * 4)
        self.assertNotIn("canary", repr(events))

    def test_each_client_has_its_own_rates(self) -> None:
        """Rates are those of the client that asks; one without any is never told to wait."""
        site = daemon_site(
            limited(FixedVerifier(WRONG), Clock()),
            Client("mac", rates=BOTH),
            Client("server", rates=OFF),
            Client("xcreds", rates=USER),
        )
        for client, username, expected in (
            ("mac", "alice", [400] * ALLOWED + [429] * ALLOWED),
            ("server", "alice", [400] * 2 * ALLOWED),
            ("mac", "bob", [429] * 2 * ALLOWED),
            ("xcreds", "bob", [400] * ALLOWED + [429] * ALLOWED),
        ):
            statuses = [self.ask(site, client, username).status for _ in expected]
            self.assertEqual(statuses, expected, (client, username))

    def test_a_user_has_the_same_attempts_everywhere(self) -> None:
        """A failure through one client counts through another client of the same rate."""
        site = daemon_site(
            limited(FixedVerifier(WRONG), Clock()),
            Client("mac", rates=USER),
            Client("linux", rates=USER),
        )
        clients = ["mac", "linux"] * ALLOWED
        statuses = [self.ask(site, client).status for client in clients]
        self.assertEqual(statuses, [400] * ALLOWED + [429] * ALLOWED)
