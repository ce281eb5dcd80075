"""Every recorded login of a real Authentik leads our client to its verdict."""

from __future__ import annotations

import json
from typing import Any
from unittest import skipIf

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from ropg_twisted.authentik.client import AuthentikClient
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, UpstreamError, Verdict
from tests.composition import AUTHENTIK
from tests.parametrize import parametrize
from tests.recordings import MISSING, RecordedExchange, Recording, recordings


class Replay(Resource):
    """Answers each request with the next recorded answer to one like it."""

    isLeaf = True

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self._left = [
            exchange
            for exchange in recording.exchanges
            if exchange.response is not None and "/executor/" in exchange.request.path
        ]

    def render(self, request: Request) -> bytes:
        """Answer as Authentik did."""
        assert request.content is not None
        body = request.content.read()
        sent = json.loads(body) if body else None
        exchange = self._next(request.method.decode(), sent)
        self.sent.append((sent, exchange.request.body))
        response = exchange.response
        assert response is not None
        request.setResponseCode(response.status)
        for name, value in response.headers:
            request.responseHeaders.addRawHeader(name, value)
        if response.json is not None:
            return json.dumps(response.json).encode()
        return (response.text or "").encode()

    def _next(self, method: str, body: Any) -> RecordedExchange:
        """The next of the same method; one with the very same body, if there is such a one."""
        fitting = [e for e in self._left if e.request.method == method]
        same = [e for e in fitting if e.request.body == body]
        exchange = [*same, *fitting][0]
        del self._left[: self._left.index(exchange) + 1]
        return exchange


class RefusingAgent:
    """An agent whose every connection is refused, as the recording of a stopped Authentik."""

    def request(self, *arguments: object) -> Deferred[Any]:
        """Refuse."""
        raise ConnectionRefusedError


def login_in(recording: Recording) -> LoginAttempt:
    """The login attempt of a recording: the first name and the first password in its bodies."""
    bodies = [e.request.body for e in recording.exchanges if isinstance(e.request.body, dict)]
    names = [body["uid_field"] for body in bodies if "uid_field" in body]
    passwords = [body["password"] for body in bodies if "password" in body]
    return LoginAttempt([*names, "alice"][0], [*passwords, "typed"][0])


def evidence_of(recording: Recording) -> Evidence:
    """Evidence of a recorded flow: it refused the wrong password beside this one."""
    wrong = recordings().get(recording.name.removesuffix("--right") + "--wrong")
    if wrong is None or _slug(wrong) != _slug(recording):
        return Evidence.IN_PLACE
    site = Replay(wrong)
    agent: Any = RequestTraversalAgent(site)
    probe = FlowExecutor(AUTHENTIK, _slug(wrong)).probe_refusal(
        login_in(wrong), AuthentikClient(agent, agent, ClientIPHeaders(), Clock()).session(None)
    )
    found: list[Evidence] = []
    Deferred.fromCoroutine(probe).addCallbacks(found.append, lambda _: None)
    return found[0] if found else Evidence.UNKNOWN


def replay(
    recording: Recording, *, evidence: Evidence = Evidence.IN_PLACE, login_stage: bool = True
) -> tuple[Verdict, Replay]:
    """Walk our client through the recorded answers."""
    site = Replay(recording)
    agent: Any = RequestTraversalAgent(site) if site._left else RefusingAgent()
    flow = FlowExecutor(AUTHENTIK, _slug(recording), login_stage)
    browser = AuthentikClient(agent, agent, ClientIPHeaders(), Clock()).session(None)
    conversation = flow.conversation(login_in(recording), evidence)
    walk = flow.log_in(conversation, browser)
    result: list[Outcome] = []
    failures: list[UpstreamError] = []
    Deferred.fromCoroutine(walk).addCallbacks(
        result.append, lambda failure: failures.append(failure.value)
    )
    if failures:
        assert isinstance(failures[0], UpstreamError), repr(failures[0])
        return Verdict.UNVERIFIABLE, site
    return result[0].verdict, site


def _slug(recording: Recording) -> str:
    path = recording.exchanges[0].request.path.partition("?")[0]
    return path.rstrip("/").rpartition("/")[2]


JUDGED = {
    name: (name,) for name, one in recordings().items() if one.expected_verdict is not None
} or {"no recordings": ("",)}


@skipIf(MISSING is not None, MISSING or "")
class RecordingTests(SynchronousTestCase):
    """The verdicts that people have given to what was recorded."""

    @parametrize(JUDGED)
    def test_verdict(self, name: str) -> None:
        """Our client comes to the expected verdict on the recorded answers."""
        recording = recordings()[name]
        verdict, _ = replay(recording, evidence=evidence_of(recording))
        self.assertEqual(verdict.value, recording.expected_verdict)

    def test_there_are_enough(self) -> None:
        """Most recordings lead to a verdict."""
        self.assertGreater(len(JUDGED), 50)

    @parametrize(JUDGED)
    def test_not_believed_of_a_flow_that_restarts(self, name: str) -> None:
        """The same answers, from a flow whose refusal looks like an acceptance, say nothing."""
        verdict, _ = replay(recordings()[name], evidence=Evidence.RESTARTS)
        self.assertIs(verdict, Verdict.UNVERIFIABLE)

    def test_our_answers_are_those_that_were_recorded(self) -> None:
        """Our client posts the same as the recording client, to the letter."""
        compared = 0
        for name in ("success-default", "success-dave", "ropg-combined--right", "mfa-deny--right"):
            _, site = replay(recordings()[name])
            for ours, recorded in site.sent:
                self.assertEqual(ours, recorded, name)
                compared += ours is not None
        self.assertEqual(compared, 7)

    @parametrize(
        {
            "right": ("ropg-nologin--right", Verdict.VERIFIED),
            "wrong": ("ropg-nologin--wrong", Verdict.REJECTED),
            "no password stage": ("ident-only", Verdict.UNVERIFIABLE),
            "an empty flow": ("empty-flow", Verdict.UNVERIFIABLE),
        }
    )
    def test_without_a_login_stage(self, name: str, expected: Verdict) -> None:
        """ROPG_LOGIN_STAGE=none makes the end of the flow the proof, of a right password only."""
        verdict, _ = replay(recordings()[name], login_stage=False)
        self.assertEqual(verdict, expected)
