"""Replays recorded exchanges: to the client without a sandbox, and to a sandbox on its own."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.web.server import Request

from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.verdict import Outcome
from tests.authentik.checker import FunctionResource
from tests.exchanges.files import RecordedCheck, RecordedFlow
from tests.exchanges.parts import Exchange
from tests.exchanges.record import Decisions, make_checker, prepare
from tests.exchanges.situations import OWN_FLOWS, FlowSituations, Situation
from tests.exchanges.wire import Normalizer, SandboxLine, read_request, respond, steady
from tests.sandbox_browser import START


class ClientReplay:
    """Our client before the recorded responses of one check, each given once and in order.

    ``evidence``: how the client has seen the flow refuse, by the canary.
    """

    def __init__(
        self, flow: RecordedFlow, check: RecordedCheck, situations: FlowSituations
    ) -> None:
        self.differences: list[str] = []
        self.evidence: str | None = None
        self._check = check
        self._left = [*flow.canary, *check.exchanges]
        self._checker = make_checker(situations)
        self._checker.authentik.resource = FunctionResource(self._answer)

    def outcome(self) -> Outcome:
        """Make the check and return what the client makes of the responses."""
        self._checker.prove()
        evidence = self._checker.evidence.current
        self.evidence = evidence and evidence.value
        check = self._check
        outcome = self._checker.check(check.username, check.password, check.code)
        self.differences += [f"not requested: {exchange.request}" for exchange in self._left]
        return outcome

    def _answer(self, request: Request) -> bytes:
        sent = read_request(request, self._check.password)
        if not self._left:
            self.differences.append(f"one too many: {sent}")
            request.setResponseCode(500)
            return b""
        exchange = self._left.pop(0)
        if sent != exchange.request:
            self.differences.append(f"{sent}, recorded {exchange.request}")
        return respond(request, exchange.response)


class SandboxReplay:
    """A sandbox that is asked the recorded requests of one check."""

    def __init__(self, flow: RecordedFlow, check: RecordedCheck, situation: Situation) -> None:
        clock = Clock()
        clock.advance(START)
        self._flow = flow
        self._check = check
        self._situation = situation
        self._sandbox = Sandbox(clock, OWN_FLOWS)

    def differences(self) -> Iterator[str]:
        """Ask, and yield what does not come as recorded."""
        yield from self._ask(self._flow.canary)
        prepare(self._sandbox, self._situation)
        decisions = Decisions(self._sandbox)
        yield from self._ask(self._check.exchanges)
        if decisions.now != self._check.decided:
            yield f"decided {decisions.now}, recorded {self._check.decided}"

    def _ask(self, exchanges: list[Exchange]) -> Iterator[str]:
        line, normalizer = SandboxLine(self._sandbox), Normalizer()
        for number, exchange in enumerate(exchanges, 1):
            if exchange.proxy:
                continue
            reached = exchange.altered or exchange.request
            answer = line.ask(reached)
            received = normalizer.received(answer)
            if received != exchange.response:
                yield f"exchange {number}: {received}, recorded {exchange.response}"
            if steady(answer.body.decode()).encode() != exchange.response.content:
                yield f"exchange {number}: {answer.body!r}, recorded {exchange.response.content!r}"
