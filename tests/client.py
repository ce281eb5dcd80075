"""Our client of Authentik, whole, before a sandbox in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import AuthentikClient
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.authentik.readiness import ReadinessProbe
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.interfaces import LoginAttempt, Readiness
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import Flow as SandboxFlow
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.verdict import Outcome
from tests.fakes import AUTHENTIK

T = TypeVar("T")

OWN_ADDRESS = "192.0.2.1"
CLIENT_ADDRESS = "203.0.113.7"


class Authentik(Resource):
    """A sandbox that keeps the methods of all requests, and answers as it is told instead."""

    isLeaf = True

    def __init__(self, clock: Clock, flows: Iterable[SandboxFlow]) -> None:
        super().__init__()
        self.sandbox = Sandbox(clock, flows)
        self.asked: list[str] = []
        self.instead: Callable[[Request], bytes] | None = None

    def render(self, request: Request) -> Any:
        """Answer."""
        self.asked.append(request.method.decode())
        if self.instead is not None:
            return self.instead(request)
        return self.sandbox.resource.render(request)


class Client:
    """The client of one flow, of which nothing is known yet.

    ``flows``: flows of the sandbox beside the built-in ones.
    """

    def __init__(
        self,
        slug: str,
        *flows: SandboxFlow,
        login_stage: bool = True,
        client_ip: ClientIPHeaders | None = None,
    ) -> None:
        self.clock = Clock()
        self.authentik = Authentik(self.clock, flows)
        self.sandbox = self.authentik.sandbox
        agent: Any = RequestTraversalAgent(self.authentik)
        transport = AuthentikClient(
            agent, agent, client_ip or ClientIPHeaders(), lambda: OWN_ADDRESS
        )
        flow = FlowExecutor(AUTHENTIK, slug, login_stage)
        application = Application(AUTHENTIK, "jamf-connect", named=False)
        documents = ProviderMetadata(application, transport, 15, self.clock)
        self.evidence = FlowEvidence(self.clock)
        verifier = AuthentikVerifier(
            flow,
            self.evidence,
            transport,
            SessionRemover(
                FlowExecutor(AUTHENTIK, "default-invalidation-flow"), 15, self.clock, 64
            ),
            application,
            IDTokenVerifier(documents),
            checks_access=login_stage,
            claims_from_username=not login_stage,
        )
        self.canary = Canary(verifier, self.evidence)
        self.readiness = ReadinessProbe(flow, self.canary, transport, documents, 15, self.clock)

    def check(self, username: str, password: str = USUAL_PASSWORD) -> Outcome:
        """The outcome of a check."""
        login = LoginAttempt(username, password, CLIENT_ADDRESS)
        return _result(Deferred.fromCoroutine(self.canary.verify(login))).outcome

    def probe(self) -> Readiness:
        """Whether a password could be checked now."""
        return _result(Deferred.fromCoroutine(self.readiness.probe()))


def _result(deferred: Deferred[T]) -> T:
    results: list[T] = []
    deferred.addCallback(results.append)
    return results[0]
