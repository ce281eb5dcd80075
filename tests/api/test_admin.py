"""The status page of the admin listener, and mistakes of ours in a route."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface import implementer

from ropg_twisted.api.admin import Admin
from ropg_twisted.interfaces import IReadinessProbe, Readiness
from ropg_twisted.verdict import Reason
from tests.client import Connection
from tests.composition import daemon_site
from tests.fakes import RIGHT, FakeReadiness, FixedVerifier
from tests.parametrize import parametrize

READY = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"


@implementer(IReadinessProbe)
class BrokenProbe:
    """Fails in a way that nobody has foreseen, with a secret in the text."""

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        raise ZeroDivisionError("canary")


class StatusPageTests(SynchronousTestCase):
    """The page that an operator sees."""

    def page(self, readiness: FakeReadiness) -> str:
        """The page of a daemon with two metrics, one of them zero."""
        registry = CollectorRegistry()
        Counter("ropg_checks", "Checks.", ["verdict"], registry=registry).labels("<b>").inc()
        Counter("ropg_nothing", "Nothing.", registry=registry)
        site = Site(Admin(readiness, registry).app.resource())
        connection = Connection(site).send(b"GET / HTTP/1.0\r\n\r\n")
        page: bytes = connection.transport.value()
        return page.decode()

    @parametrize(
        {
            "ready": (FakeReadiness(), "<p>Ready</p>"),
            "with a warning": (
                FakeReadiness(warning=Reason.FLOW_UNPROVEN),
                "<p>Ready, but: flow_unproven</p>",
            ),
            "not ready": (FakeReadiness(Reason.FLOW_RESTARTS), "<p>Not ready: flow_restarts</p>"),
        }
    )
    def test_it_says_whether_passwords_can_be_checked(
        self, readiness: FakeReadiness, words: str
    ) -> None:
        """Ready, ready with a warning, or not, each with its reason word."""
        self.assertIn(words, self.page(readiness))

    def test_it_has_the_metrics_that_are_not_zero(self) -> None:
        """A label is text, not markup."""
        page = self.page(FakeReadiness())
        self.assertIn("<td>checks total &lt;b&gt;<td>1", page)
        self.assertNotIn("nothing", page)


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
