"""Small stand-ins: one for each thing that a test does not want to be real."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from treq.testing import RequestTraversalAgent
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import implementer

from ropg_twisted.api.app import Provider
from ropg_twisted.api.metadata import Published
from ropg_twisted.api.network_policy import Door
from ropg_twisted.api.token import TokenEndpoint
from ropg_twisted.api.userinfo import UserinfoEndpoint
from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import Transport
from ropg_twisted.authentik.client_ip import Introduction
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.id_tokens import TokenReader
from ropg_twisted.authentik.metadata import Documents
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.grants.password import PasswordGrants
from ropg_twisted.grants.relay import RelayedGrants
from ropg_twisted.interfaces import (
    Check,
    IPasswordVerifier,
    IReadiness,
    Login,
    Person,
    Readiness,
)
from ropg_twisted.networks import EVERYWHERE, Networks
from ropg_twisted.oauth.access_tokens import AccessTokens
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.keys import shared_secret
from ropg_twisted.oauth.metadata import Provided
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Client
from ropg_twisted.telemetry.audit import Record
from ropg_twisted.verdict import Outcome, Reason, Verdict

ISSUER = "https://ropg.example.com"
AUTHENTIK = "http://authentik.example.com"
ALICE = Person("5ub", "alice", "Alice Example", "alice@example.com", ("staff",))
RIGHT = Check(Outcome(Verdict.VERIFIED, Reason.VERIFIED), ALICE)


@implementer(ILogObserver)
class Listens:
    """Keeps every event of the log; for as long as ``test`` runs."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self)
        test.addCleanup(globalLogPublisher.removeObserver, self)

    def __call__(self, event: LogEvent) -> None:
        """See :class:`ILogObserver`."""
        self.events.append(event)


@implementer(IPasswordVerifier)
class Says:
    """Comes to the same check every time, and keeps what it was asked."""

    def __init__(self, check: Check) -> None:
        self.asked: list[Login] = []
        self.check = check

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        return self.check


@implementer(IPasswordVerifier)
class Breaks(Says):
    """Fails in a way that nobody has foreseen, with a secret in the text."""

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        raise ZeroDivisionError(f"canary {login.password}")


@implementer(IPasswordVerifier)
class Ponders(Says):
    """Comes to nothing by itself; ``waiting`` holds who waits, and drops who has given up."""

    def __init__(self) -> None:
        super().__init__(RIGHT)
        self.waiting: list[Deferred[Check]] = []

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        waiter: Deferred[Check] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return await waiter


def proven_flow(clock: IReactorTime) -> FlowEvidence:
    """The evidence of a flow that has been seen to refuse in place."""
    evidence = FlowEvidence(clock)
    evidence.gather(Evidence.IN_PLACE)
    return evidence


def outcome(verdict: Verdict, reason: Reason) -> Check:
    """A check that brings no person."""
    return Check(Outcome(verdict, reason))


@implementer(IReadiness)
class Sees:
    """Is as ready as it is told."""

    def __init__(self, obstacle: Reason | None = None, warning: Reason | None = None) -> None:
        self.now = Readiness(obstacle, warning)

    async def look(self) -> Readiness:
        """See :class:`IReadiness`."""
        return self.now


def provider_site(
    verifier: IPasswordVerifier,
    *clients: Client,
    clock: IReactorTime | None = None,
    door: Door | None = None,
    readiness: IReadiness | None = None,
    aborts: bool = False,
    authentik: IResource | None = None,
) -> BoundedSite:
    """The whole web side on a verifier of the test's choice.

    ``authentik``: what is asked for documents and relayed grants; nothing is there by default.
    """
    clock = clock or Clock()
    ring = shared_secret("0123456789abcdef0123456789abcdef")
    agent = RequestTraversalAgent(authentik or Resource())
    transport = Transport(agent, agent, Introduction())
    application = Application(AUTHENTIK, "mac", named=False)
    documents = Documents(application, transport, 15, clock)
    relay = Relay(application, transport, TokenReader(documents), 15, clock)
    reissuer = Reissuer(ISSUER, lambda: ring)
    issuer = TokenIssuer(ISSUER, lambda: ring, 3600, lambda: 1_800_000_000.5)
    door = door or Door(EVERYWHERE, Networks())
    known = Clients(clients or (Client("mac"),))
    record = Record(CollectorRegistry())
    provider = Provider(
        TokenEndpoint(
            door,
            known,
            PasswordGrants(verifier, issuer, reissuer, record),
            RelayedGrants(relay, reissuer, record),
            record,
        ),
        UserinfoEndpoint(door, AccessTokens(ISSUER, lambda: ring), relay),
        Published(Provided(ISSUER, "HS256", AUTHENTIK), documents, lambda: ring),
        readiness or Sees(),
        known,
        aborts=aborts,
    )
    return BoundedSite(provider.app.resource(), clock)


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response as it came over the wire. Header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Wire:
    """A connection to a site, without a socket."""

    def __init__(self, site: Site, peer: str = "192.0.2.7") -> None:
        address = IPv4Address("TCP", peer, 49152)
        self.transport = StringTransport(peerAddress=address)
        self.protocol: Any = site.buildProtocol(address)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> Wire:
        """Send bytes, as a client would."""
        self.protocol.dataReceived(data)
        return self

    @property
    def replies(self) -> list[Reply]:
        """All responses so far."""
        rest, found = self.transport.value(), []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            length = int(headers.get("content-length", 0))
            found.append(Reply(int(status.split()[1]), headers, rest[:length]))
            rest = rest[length:]
        return found


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
GOOD = {"grant_type": "password", "client_id": "mac", "username": "alice", "password": "secret"}
"""What the client of the sites here asks."""


def post(body: str | bytes, headers: str = FORM, target: str = "/oauth/token") -> bytes:
    """The bytes of a token request."""
    data = body.encode() if isinstance(body, str) else body
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data
