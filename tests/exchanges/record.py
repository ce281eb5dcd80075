"""Records the exchanges of a check between our client and the sandbox."""

from __future__ import annotations

from twisted.web.server import Request

from ropg_twisted.sandbox.http.app import Sandbox
from tests.authentik.checker import FunctionResource, PasswordChecker
from tests.exchanges.files import Decided, RecordedCheck, RecordedFlow
from tests.exchanges.parts import Exchange, Received
from tests.exchanges.situations import OWN_FLOWS, FlowSituations, Situation
from tests.exchanges.wire import Normalizer, SandboxLine, pass_on, read_request, respond, steady
from tests.sandbox_browser import START


class Recorder:
    """Stands between client and sandbox, and keeps what passes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.exchanges: list[Exchange] = []
        self.situation: Situation | None = None
        self._line = SandboxLine(sandbox)
        self._normalizer = Normalizer()

    def begin(self, situation: Situation) -> list[Exchange]:
        """Return the exchanges so far, and begin those of a check."""
        canary, self.exchanges = self.exchanges, []
        self.situation = situation
        self._normalizer = Normalizer()
        return canary

    def answer(self, request: Request) -> bytes:
        """Pass a request on, or damage it as the situation says."""
        situation = self.situation
        sent = read_request(request, None if situation is None else situation.password)
        reaches = situation.damage(len(self.exchanges), sent) if situation else sent
        if isinstance(reaches, Received):
            self.exchanges.append(Exchange(sent, reaches, proxy=True))
            return respond(request, reaches)
        answer = self._line.ask(reaches)
        altered = None if reaches == sent else reaches
        self.exchanges.append(Exchange(sent, self._normalizer.received(answer), altered))
        return pass_on(request, answer)


def make_checker(situations: FlowSituations) -> PasswordChecker:
    """Return our client of the flow, and a sandbox of which nothing is known yet."""
    checker = PasswordChecker(
        situations.flow,
        *OWN_FLOWS,
        login_stage=situations.login_stage,
        outpost_token=situations.outpost_token,
    )
    checker.clock.advance(START)
    return checker


def prepare(sandbox: Sandbox, situation: Situation) -> None:
    """Set up what the situation says of the user."""
    if situation.score:
        sandbox.reputation[situation.username, "127.0.0.1"] = situation.score


class Decisions:
    """The decisions of a sandbox from now on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._before = len(sandbox.authentications), len(sandbox.events)

    @property
    def now(self) -> Decided:
        """All that was decided since."""
        passwords = self._sandbox.authentications[self._before[0] :]
        events = self._sandbox.events[self._before[1] :]
        return Decided(
            [steady(one.username) for one in passwords if one.accepted],
            [steady(one.username) for one in passwords if not one.accepted],
            [steady(f"{event.kind} {event.username}") for event in events],
        )


def record(situations: FlowSituations) -> RecordedFlow:
    """Make all checks of a flow, each with a sandbox of its own."""
    checks = []
    for situation in situations.situations:
        checker = make_checker(situations)
        recorder = Recorder(checker.sandbox)
        checker.authentik.resource = FunctionResource(recorder.answer)
        checker.prove()
        evidence = checker.evidence.current
        canary = recorder.begin(situation)
        prepare(checker.sandbox, situation)
        decisions = Decisions(checker.sandbox)
        outcome = checker.check(situation.username, situation.password, situation.code)
        checks.append(
            RecordedCheck(
                situation.name,
                situation.username,
                situation.password,
                situation.code,
                outcome.verdict.value,
                outcome.reason.value,
                decisions.now,
                recorder.exchanges,
            )
        )
    return RecordedFlow(situations.flow, evidence and evidence.value, canary, checks)
