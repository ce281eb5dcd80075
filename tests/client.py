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
from ropg_twisted.authentik.client import Transport
from ropg_twisted.authentik.client_ip import Introduction
from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.authentik.executor import Flow
from ropg_twisted.authentik.id_tokens import TokenReader
from ropg_twisted.authentik.metadata import Documents
from ropg_twisted.authentik.readiness import Lookout
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.interfaces import Login, Readiness
from ropg_twisted.sandbox.flow.flows import Flow as SandboxFlow
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.sandbox.users import USUAL_PASSWORD
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

    def __init__(self, slug: str, *flows: SandboxFlow, login_stage: bool = True) -> None:
        self.clock = Clock()
        self.authentik = Authentik(self.clock, flows)
        self.sandbox = self.authentik.sandbox
        agent: Any = RequestTraversalAgent(self.authentik)
        transport = Transport(agent, agent, Introduction(), lambda: OWN_ADDRESS)
        flow = Flow(AUTHENTIK, slug, login_stage)
        application = Application(AUTHENTIK, "jamf-connect", named=False)
        documents = Documents(application, transport, 15, self.clock)
        self.evidence = FlowEvidence(self.clock)
        verifier = AuthentikVerifier(
            flow,
            self.evidence,
            transport,
            SessionRemover(Flow(AUTHENTIK, "default-invalidation-flow"), 15, self.clock, 64),
            application,
            TokenReader(documents),
            checks_access=login_stage,
            typed_claims=not login_stage,
        )
        self.canary = Canary(verifier, self.evidence)
        self.lookout = Lookout(flow, self.canary, transport, documents, 15, self.clock)

    def check(self, username: str, password: str = USUAL_PASSWORD) -> Outcome:
        """The outcome of a check."""
        login = Login(username, password, CLIENT_ADDRESS)
        return _result(Deferred.fromCoroutine(self.canary.verify(login))).outcome

    def look(self) -> Readiness:
        """Whether a password could be checked now."""
        return _result(Deferred.fromCoroutine(self.lookout.look()))


def _result(deferred: Deferred[T]) -> T:
    results: list[T] = []
    deferred.addCallback(results.append)
    return results[0]
