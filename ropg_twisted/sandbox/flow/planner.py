"""The flow planner: selects the stages for a user by the policies of a flow and its bindings."""

from __future__ import annotations

from collections.abc import Mapping

from ropg_twisted.sandbox.flow.context import Context, PendingUser
from ropg_twisted.sandbox.flow.flows import Binding, Flow, Requirement
from ropg_twisted.sandbox.flow.policies import DenyAll, Policy, PolicyRequest
from ropg_twisted.sandbox.flow.requests import FlowRequest
from ropg_twisted.sandbox.flow.sessions import Plan

NOT_APPLICABLE = "Flow does not apply to current user."


class FlowNonApplicableError(Exception):
    """The flow does not apply to this user. ``message``: shown to the user."""

    def __init__(self, message: str = NOT_APPLICABLE) -> None:
        super().__init__(message)
        self.message = message


class EmptyFlowError(Exception):
    """The plan has no stage."""


class Planner:
    """Makes plans, and finds the current binding of each.

    ``reputation``: scores by user name and address, for the policies that look at them.
    """

    def __init__(self, reputation: Mapping[tuple[str, str], int]) -> None:
        self._reputation = reputation

    def plan(self, request: FlowRequest, flow: Flow, context: Context | None = None) -> Plan:
        """Return the plan of a user who starts a flow, or restarts it with this context.

        Raises ``FlowNonApplicableError`` and ``EmptyFlowError``.
        """
        context = context or Context()
        if flow.requires is Requirement.OUTPOST and not request.outpost:
            raise FlowNonApplicableError
        if flow.requires is Requirement.UNAUTHENTICATED and request.session.account is not None:
            raise FlowNonApplicableError
        if not self._passes(flow.policy, request, context):
            match flow.policy:
                case DenyAll(message):
                    raise FlowNonApplicableError(message)
            raise FlowNonApplicableError
        bindings = [
            binding
            for binding in flow.bindings
            if not binding.evaluate_on_plan or self._passes(binding.policy, request, context)
        ]
        if not bindings:
            raise EmptyFlowError
        return Plan(flow, bindings, context)

    def next(self, request: FlowRequest, plan: Plan) -> Binding | None:
        """Return the next binding, ``None`` if none is left.

        Those before it whose policies are evaluated again and do not pass leave the plan for
        good, and without a redirect.
        """
        while plan.bindings:
            binding = plan.bindings[0]
            if not binding.re_evaluate_policies:
                return binding
            if self._passes(binding.policy, request, plan.context):
                return binding
            plan.bindings.pop(0)
        return None

    def _passes(self, policy: Policy | None, request: FlowRequest, context: Context) -> bool:
        """Return whether a policy passes. Without a policy everybody passes."""
        user: PendingUser | None = context.pending_user or request.user
        policy_request = PolicyRequest(user, request.address, context, self._reputation)
        return policy is None or policy.passes(policy_request)
