"""Builds daemons for tests. The product's own ``make_service`` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, TypeVar
from unittest.mock import patch

from treq.testing import RequestTraversalAgent
from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource

from ropg_twisted import service
from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import AuthentikClient
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.readiness import ReadinessProbe
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.guard.chain import Guards, guarded
from ropg_twisted.interfaces import IPasswordVerifier, IReadinessProbe, UpstreamRequest
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Client, Settings
from ropg_twisted.settings.sources import read_settings
from tests.fakes import FakeReadiness

T = TypeVar("T")

ISSUER = "https://ropg.example.com"
AUTHENTIK = "http://authentik.example.com"
OWN_ADDRESS = ip_address("192.0.2.1")
"""Address of the daemon, as Authentik sees it."""

OnRequest = Callable[[UpstreamRequest], None]
MakeClient = Callable[[ClientIPHeaders, IReactorTime, OnRequest], AuthentikClient]


@dataclass(frozen=True, slots=True)
class DaemonParts:
    """The service of a daemon, and the parts of it that tests look at.

    ``verifier``: answers password grants. ``unguarded``: the verifier at the end of the guards.
    """

    service: MultiService
    site: BoundedSite
    verifier: IPasswordVerifier
    unguarded: IPasswordVerifier
    readiness: IReadinessProbe
    evidence: FlowEvidence
    sessions: SessionRemover


def proven_flow(clock: IReactorTime) -> FlowEvidence:
    """Evidence of a flow that refuses in place."""
    evidence = FlowEvidence(clock)
    evidence.gather(Evidence.IN_PLACE)
    return evidence


def client_with(agent: IAgent) -> MakeClient:
    """A function that makes a client of Authentik with this agent."""
    return lambda client_ip, clock, on_request: AuthentikClient(
        agent, agent, client_ip, clock, on_request, own_address=lambda: OWN_ADDRESS
    )


def build_daemon(
    settings: Settings,
    reactor: Any,
    make_client: MakeClient,
    *,
    make_evidence: Callable[[IReactorTime], FlowEvidence] = proven_flow,
    verifier: IPasswordVerifier | None = None,
    readiness: IReadinessProbe | None = None,
    guards: bool = True,
) -> DaemonParts:
    """A daemon that is not started yet.

    ``verifier``: takes the place of Authentik, without a canary. ``readiness``: takes the place of
    the readiness probe. ``guards``: put the guards around the verifier.
    """
    parts: dict[str, Any] = {}

    def keep(name: str, make: Callable[..., T]) -> Callable[..., T]:
        def making(*args: Any, **kwargs: Any) -> T:
            made = make(*args, **kwargs)
            parts[name] = made
            return made

        return making

    # make_service takes its parts from its module, and only while it runs.
    with patch.multiple(
        service,
        make_client=lambda clock, _, __, client_ip, on_request: make_client(
            client_ip, clock, on_request
        ),
        FlowEvidence=keep("evidence", make_evidence),
        AuthentikVerifier=keep(
            "unguarded",
            AuthentikVerifier if verifier is None else lambda *_, **__: verifier,
        ),
        guarded=guarded if guards else _unguarded,
        Canary=keep("verifier", Canary if verifier is None else lambda inner, _: inner),
        ReadinessProbe=keep(
            "readiness", ReadinessProbe if readiness is None else lambda *_: readiness
        ),
        SessionRemover=keep("sessions", SessionRemover),
        BoundedSite=keep("site", BoundedSite),
    ):
        daemon = service.make_service(settings, reactor)
    return DaemonParts(service=daemon, **parts)


def _unguarded(verifier: Any, *arguments: Any) -> Guards:
    """The guards of a daemon, which ask ``verifier`` straight away."""
    return replace(guarded(verifier, *arguments), address_limit=verifier)


def make_settings(*clients: Client, **changes: Any) -> Settings:
    """The default settings, for these clients. ``changes``: fields with other values."""
    environ = {
        "AUTHENTIK_URL": AUTHENTIK,
        "PROXY_ISSUER": ISSUER,
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    }
    settings = read_settings({}, environ)
    clients = clients or (Client("mac"),)
    return replace(settings, clients=clients, **{"app_slug": clients[0].id, **changes})


def daemon_site(
    verifier: IPasswordVerifier,
    *clients: Client,
    reactor: Any = None,
    readiness: IReadinessProbe | None = None,
    guards: bool = False,
    **changes: Any,
) -> BoundedSite:
    """The site of a daemon whose passwords are checked by a verifier of the test's choice.

    ``changes``: fields of the settings with other values.
    """
    agent: Any = RequestTraversalAgent(Resource())
    return build_daemon(
        make_settings(*clients, **changes),
        reactor or Clock(),
        client_with(agent),
        verifier=verifier,
        readiness=readiness or FakeReadiness(),
        guards=guards,
    ).site
