"""Password checks with a flow of the sandbox, in memory."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.interfaces import LoginAttempt, Readiness
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import Flow as SandboxFlow
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Outcome
from tests.composition import build_daemon, client_with, make_settings
from tests.memory import RequestRecorder

T = TypeVar("T")

CLIENT_ADDRESS = ip_address("203.0.113.7")


class FunctionResource(Resource):
    """Answers every request with a function."""

    isLeaf = True

    def __init__(self, respond: Callable[[Request], Any]) -> None:
        super().__init__()
        self._respond = respond

    def render(self, request: Request) -> Any:
        """Respond."""
        return self._respond(request)


class PasswordChecker:
    """Checks passwords with one flow, of which nothing is known yet. It has no guards.

    ``flows``: flows of the sandbox beside the built-in ones. ``login_stage`` and
    ``outpost_token``: as in the settings.
    """

    def __init__(
        self,
        slug: str,
        *flows: SandboxFlow,
        login_stage: bool = True,
        outpost_token: str | None = None,
    ) -> None:
        self.clock = Clock()
        self.sandbox = Sandbox(self.clock, flows)
        self.authentik = RequestRecorder(self.sandbox.resource)
        agent: Any = RequestTraversalAgent(self.authentik)
        settings = make_settings(
            Client("jamf-connect"),
            flow_slug=slug,
            login_stage=login_stage,
            checks_access=login_stage,
            claims_from_username=not login_stage,
            outpost_token=outpost_token,
        )
        daemon = build_daemon(
            settings, self.clock, client_with(agent), make_evidence=FlowEvidence, guards=False
        )
        self.evidence = daemon.evidence
        assert isinstance(daemon.verifier, Canary)
        self._canary = daemon.verifier
        self._readiness = daemon.readiness

    def prove(self) -> None:
        """Run a canary if one is due."""
        _result(Deferred.fromCoroutine(self._canary.prove()))

    def check(
        self, username: str, password: str = USUAL_PASSWORD, code: str | None = None
    ) -> Outcome:
        """The outcome of a check."""
        login = LoginAttempt(username, password, CLIENT_ADDRESS, code)
        return _result(Deferred.fromCoroutine(self._canary.verify(login))).outcome

    def probe(self) -> Readiness:
        """Return whether a password could be checked now."""
        return _result(Deferred.fromCoroutine(self._readiness.probe()))


def _result(deferred: Deferred[T]) -> T:
    results: list[T] = []
    deferred.addCallback(results.append)
    return results[0]
