"""The headers of the admin listener, and mistakes of ours in a route."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface import implementer

from ropg_twisted.api.admin import Admin
from ropg_twisted.interfaces import IReadinessProbe, Readiness
from ropg_twisted.status.page import STYLE_PATH
from ropg_twisted.status.state import State
from tests.client import Connection
from tests.composition import daemon_site
from tests.fakes import RIGHT, FakeReadiness, FixedVerifier
from tests.parametrize import parametrize
from tests.status.states import make_state

READY = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"


@implementer(IReadinessProbe)
class BrokenProbe:
    """Fails in a way that nobody has foreseen, with a secret in the text."""

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        raise ZeroDivisionError("canary")


class HeaderTests(SynchronousTestCase):
    """The headers of the admin listener."""

    @parametrize(
        {
            "page": ("/",),
            "style": (f"/{STYLE_PATH}",),
            "ready": ("/ready",),
            "metrics": ("/metrics",),
        }
    )
    def test_nothing_may_be_loaded_run_framed_or_kept(self, path: str) -> None:
        """The strictest policy under which the page has its own style, and no cache."""

        async def read_state() -> State:
            return make_state()

        admin = Admin(FakeReadiness(), CollectorRegistry(), read_state)
        connection = Connection(Site(admin.app.resource()))
        connection.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        [reply] = connection.replies
        self.assertEqual(reply.status, 200)
        policy = reply.headers["content-security-policy"].split("; ")
        self.assertEqual(
            policy,
            [
                "default-src 'none'",
                "style-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            ],
        )
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["referrer-policy"], "no-referrer")
        self.assertEqual(reply.headers["x-content-type-options"], "nosniff")


class MistakeTests(SynchronousTestCase):
    """A mistake of ours in a route."""

    def test_a_mistake_in_a_route_is_an_outage(self) -> None:
        """The client gets no details, and the log has the failure."""
        site = daemon_site(FixedVerifier(RIGHT), readiness=BrokenProbe())
        connection = Connection(site).send(READY)
        [reply] = connection.replies
        self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))
        self.assertNotIn(b"canary", reply.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
