"""The Flow Executor without HTTP: takes a session through the plan of a flow."""

from __future__ import annotations

from dataclasses import replace

from ropg_twisted.sandbox.accounts import Accounts
from ropg_twisted.sandbox.flow import challenges
from ropg_twisted.sandbox.flow.challenges import Errors
from ropg_twisted.sandbox.flow.devices import Devices
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    DeniedAction,
    Flow,
    InvalidResponseAction,
    Password,
)
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend
from ropg_twisted.sandbox.flow.planner import EmptyFlowError, FlowNonApplicableError, Planner
from ropg_twisted.sandbox.flow.requests import FlowRequest, FlowResponse
from ropg_twisted.sandbox.flow.sessions import Clock, Sessions
from ropg_twisted.sandbox.flow.signals import Signals
from ropg_twisted.sandbox.flow.stages import (
    Challenged,
    ChallengeInvalid,
    Outcome,
    ResponseData,
    StageError,
    StageInvalid,
    StageOk,
    Stages,
)


class Executor:
    """Flows in progress, with their sessions and signals."""

    def __init__(self, clock: Clock, accounts: Accounts, ldap: LDAPBackend) -> None:
        self.sessions = Sessions(clock)
        self.signals = Signals()
        self._devices = Devices(clock)
        self._planner = Planner(self.signals.reputation)
        self._stages = Stages(accounts, ldap, self.sessions, self._devices, self.signals)

    def get(self, request: FlowRequest, flow: Flow) -> FlowResponse:
        """Return the current challenge of the session; a new session starts the flow."""
        binding = self._enter(request, flow)
        if isinstance(binding, FlowResponse):
            return binding
        return self._go_on(request, binding, self._stages.get(request, binding))

    async def post(self, request: FlowRequest, flow: Flow, data: ResponseData) -> FlowResponse:
        """Accept a response to the current challenge. A directory may take its time."""
        binding = self._enter(request, flow)
        if isinstance(binding, FlowResponse):
            return binding
        if request.session.account is not None:
            # Authentik wants a CSRF token of whoever is logged in, which no program here sends.
            return FlowResponse(challenges.flow_error(), disowned=True)
        plan = request.plan
        outcome = await self._stages.post(request, binding, data)
        if request.session.plan is not plan or plan.bindings[0] is not binding:
            # The session has gone on meanwhile, by another request.
            return self.get(request, flow)
        return self._go_on(request, binding, outcome)

    def fail(self, request: FlowRequest, flow: Flow) -> FlowResponse:
        """Return the response to a request with an unreadable content type or body."""
        binding = self._enter(request, flow)
        return (
            binding if isinstance(binding, FlowResponse) else FlowResponse(challenges.flow_error())
        )

    def _enter(self, request: FlowRequest, flow: Flow) -> Binding | FlowResponse:
        """Return the current binding of the session, or the response if it has none.

        A session is in one flow at most: another one is planned, and the first forgotten.
        """
        session = request.session
        if session.plan is None or session.plan.flow != flow:
            session.plan = None
            try:
                session.plan = self._planner.plan(request, flow)
            except FlowNonApplicableError as error:
                continues = flow.denied_action is DeniedAction.CONTINUE
                if continues or (flow.designation == "authentication" and session.account):
                    return FlowResponse(challenges.redirect("/"), early=True)
                return FlowResponse(
                    challenges.access_denied(request, flow, error.message), early=True
                )
            except EmptyFlowError:
                return FlowResponse(challenges.redirect("/"), early=True)
        binding = self._planner.next(request, session.plan)
        return binding or replace(self._flow_done(request), early=True)

    def _go_on(self, request: FlowRequest, binding: Binding, outcome: Outcome) -> FlowResponse:
        """Go on from a stage as it says."""
        match outcome:
            case Challenged():
                return self._challenge(request, binding)
            case StageOk(logged_in, known_device):
                response = self._stage_ok(request)
                return replace(response, logged_in=logged_in, known_device=known_device)
            case StageInvalid(message):
                return self._stage_invalid(request, binding, message)
            case ChallengeInvalid(errors):
                return self._challenge_invalid(request, binding, errors)
            case StageError():
                return FlowResponse(challenges.flow_error())

    def _challenge(
        self, request: FlowRequest, binding: Binding, errors: Errors | None = None
    ) -> FlowResponse:
        return FlowResponse(challenges.show(request, binding.stage, self._devices, errors))

    def _stage_ok(self, request: FlowRequest) -> FlowResponse:
        """Leave the stage. The last one ends the flow at once, others redirect."""
        plan = request.plan
        plan.bindings.pop(0)
        return _again(request) if plan.bindings else self._flow_done(request)

    def _stage_invalid(self, request: FlowRequest, binding: Binding, message: str) -> FlowResponse:
        """Deny the user and forget the plan, or restart the flow."""
        if binding.invalid_response_action is not InvalidResponseAction.RETRY:
            return self._restart(request, binding)
        denied = challenges.access_denied(request, request.plan.flow, message)
        request.session.plan = None
        return FlowResponse(denied)

    def _challenge_invalid(
        self, request: FlowRequest, binding: Binding, errors: Errors
    ) -> FlowResponse:
        """Refuse a response: with the same challenge and errors, or with a restart of the flow.

        Wrong passwords of the whole session are counted, where they do not restart it.
        """
        if binding.invalid_response_action is not InvalidResponseAction.RETRY:
            return self._restart(request, binding)
        if isinstance(binding.stage, Password):
            request.session.wrong_passwords += 1
            if request.session.wrong_passwords >= binding.stage.attempts:
                request.session.wrong_passwords = 0
                return self._stage_invalid(request, binding, challenges.INVALID_PASSWORD)
        return self._challenge(request, binding, errors)

    def _restart(self, request: FlowRequest, binding: Binding) -> FlowResponse:
        """Plan the flow anew. Where it is no longer for this user, the old plan stays."""
        plan = request.plan
        keeps = binding.invalid_response_action is InvalidResponseAction.RESTART_WITH_CONTEXT
        context = plan.context if keeps else None
        try:
            request.session.plan = self._planner.plan(request, plan.flow, context)
        except FlowNonApplicableError:
            if plan.flow.denied_action is DeniedAction.CONTINUE:
                return FlowResponse(challenges.redirect("/"))
            # Authentik denies by the stage, whose answer to that is a restart: without end.
            return FlowResponse(challenges.flow_error())
        except EmptyFlowError:
            return FlowResponse(challenges.flow_error())
        return _again(request)

    def _flow_done(self, request: FlowRequest) -> FlowResponse:
        to = request.plan.context.redirect or "/"
        request.session.plan = None
        return FlowResponse(challenges.redirect(to))


def _again(request: FlowRequest) -> FlowResponse:
    """Return a redirect to the executor itself: a 302 if the URL has Authentik's own spelling."""
    return (
        FlowResponse()
        if request.url == request.rewritten
        else FlowResponse(challenges.redirect(request.rewritten))
    )
