"""Small stand-ins: one for each thing that a test does not want to be real."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

from ropg_twisted.api.app import API
from ropg_twisted.api.metadata import MetadataEndpoint
from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.api.token import TokenEndpoint
from ropg_twisted.api.userinfo import UserinfoEndpoint
from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import AuthentikClient
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.grants.password import PasswordGrantHandler
from ropg_twisted.grants.relay import RelayedGrantHandler
from ropg_twisted.interfaces import (
    CheckResult,
    IPasswordVerifier,
    IReadinessProbe,
    LoginAttempt,
    Readiness,
    User,
)
from ropg_twisted.networks import EVERYWHERE, Networks
from ropg_twisted.oauth.access_tokens import AccessTokens
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.keys import shared_secret
from ropg_twisted.oauth.metadata import IssuerInfo
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Client
from ropg_twisted.telemetry.audit import AuditLog
from ropg_twisted.verdict import Outcome, Reason, Verdict

ISSUER = "https://ropg.example.com"
AUTHENTIK = "http://authentik.example.com"
ALICE = User("5ub", "alice", "Alice Example", "alice@example.com", ("staff",))
RIGHT = CheckResult(Outcome(Verdict.VERIFIED, Reason.VERIFIED), ALICE)


@implementer(ILogObserver)
class CapturedLog:
    """Keeps every event of the log; for as long as ``test`` runs."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self)
        test.addCleanup(globalLogPublisher.removeObserver, self)

    def __call__(self, event: LogEvent) -> None:
        """See :class:`ILogObserver`."""
        self.events.append(event)


@implementer(IPasswordVerifier)
class FixedVerifier:
    """Comes to the same check every time, and keeps what it was asked."""

    def __init__(self, check: CheckResult) -> None:
        self.asked: list[LoginAttempt] = []
        self.check = check

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        return self.check


@implementer(IPasswordVerifier)
class FailingVerifier(FixedVerifier):
    """Fails in a way that nobody has foreseen, with a secret in the text."""

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        raise ZeroDivisionError(f"canary {login.password}")


@implementer(IPasswordVerifier)
class PendingVerifier(FixedVerifier):
    """Comes to nothing by itself; ``waiting`` holds who waits, and drops who has given up."""

    def __init__(self) -> None:
        super().__init__(RIGHT)
        self.waiting: list[Deferred[CheckResult]] = []

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        self.asked.append(login)
        waiter: Deferred[CheckResult] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return await waiter


def proven_flow(clock: IReactorTime) -> FlowEvidence:
    """The evidence of a flow that has been seen to refuse in place."""
    evidence = FlowEvidence(clock)
    evidence.gather(Evidence.IN_PLACE)
    return evidence


def outcome(verdict: Verdict, reason: Reason) -> CheckResult:
    """A check that brings no person."""
    return CheckResult(Outcome(verdict, reason))


@implementer(IReadinessProbe)
class FakeReadiness:
    """Is as ready as it is told."""

    def __init__(self, reason: Reason | None = None, warning: Reason | None = None) -> None:
        self.now = Readiness(reason, warning)

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        return self.now


def provider_site(
    verifier: IPasswordVerifier,
    *clients: Client,
    clock: IReactorTime | None = None,
    network_policy: NetworkPolicy | None = None,
    readiness: IReadinessProbe | None = None,
    drop_on_outage: bool = False,
    authentik: IResource | None = None,
) -> BoundedSite:
    """The whole web side on a verifier of the test's choice.

    ``authentik``: what is asked for documents and relayed grants; nothing is there by default.
    """
    clock = clock or Clock()
    ring = shared_secret("0123456789abcdef0123456789abcdef")
    agent = RequestTraversalAgent(authentik or Resource())
    transport = AuthentikClient(agent, agent, ClientIPHeaders(), clock)
    application = Application(AUTHENTIK, "mac", named=False)
    documents = ProviderMetadata(application, transport, 15, clock)
    relay = Relay(application, transport, IDTokenVerifier(documents), 15, clock)
    reissuer = Reissuer(ISSUER, lambda: ring)
    issuer = TokenIssuer(ISSUER, lambda: ring, 3600, lambda: 1_800_000_000.5)
    network_policy = network_policy or NetworkPolicy(EVERYWHERE, Networks())
    known = Clients(clients or (Client("mac"),))
    audit = AuditLog()
    provider = API(
        TokenEndpoint(
            network_policy,
            known,
            PasswordGrantHandler(verifier, issuer, reissuer, audit),
            RelayedGrantHandler(relay, reissuer, audit),
            audit,
        ),
        UserinfoEndpoint(network_policy, AccessTokens(ISSUER, lambda: ring), relay),
        MetadataEndpoint(IssuerInfo(ISSUER, "HS256", AUTHENTIK), documents, lambda: ring),
        readiness or FakeReadiness(),
        known,
        drop_on_outage=drop_on_outage,
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


class Connection:
    """A connection to a site, without a socket."""

    def __init__(self, site: Site, peer: str = "192.0.2.7") -> None:
        address = IPv4Address("TCP", peer, 49152)
        self.transport = StringTransport(peerAddress=address)
        self.protocol: Any = site.buildProtocol(address)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> Connection:
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
