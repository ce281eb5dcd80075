"""The login page, which logs in through the executor with the values that a user types.

Authentik has a program in the browser for this, which asks for one thing after the other. Here
one form asks for everything at once, so that a script can post it as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from ropg_twisted.sandbox.flow.executor import Executor
from ropg_twisted.sandbox.flow.flows import Flow
from ropg_twisted.sandbox.flow.requests import Challenge, FlowRequest, FlowResponse

FLOW = "default-authentication-flow"
"""The flow that browsers are sent to."""

_STEPS = 50
"""Maximum number of steps. A flow may restart without end."""

_ASKS = {
    "ak-stage-identification",
    "ak-stage-password",
    "ak-stage-authenticator-validate",
    "ak-stage-user-login",
}
"""The components that the form has an answer for."""


async def log_in(
    executor: Executor, flow_request: FlowRequest, flow: Flow, form: Mapping[str, str]
) -> FlowResponse:
    """Log in through the flow, and return its last response.

    ``form``: ``uid_field``, ``password`` and ``code``, under the names that the executor reads.
    """
    answer = {**form, "remember_me": False}
    asked = set[str]()
    flow_request.session.plan = None
    response = executor.get(flow_request, flow)
    for _ in range(_STEPS):
        component = None if response.challenge is None else response.challenge["component"]
        if component is None:
            response = executor.get(flow_request, flow)
        elif component in _ASKS - asked:
            asked.add(component)
            response = await executor.post(flow_request, flow, answer)
        else:
            break
    return response


def error_text(challenge: Challenge | None) -> str:
    """Return the error to show to a user whose login stops at this challenge."""
    if challenge is None:
        return "The flow restarts without end, and nobody is logged in."
    errors = challenge.get("response_errors", {}).values()
    if texts := [error["string"] for field in errors for error in field]:
        return " ".join(texts)
    message = challenge.get("error_message")
    return str(message or f"The flow comes to {challenge['component']}, and nobody is logged in.")


def next_url(target: str | None) -> str:
    """Return the URL to go to after the login: the requested path, never another host."""
    if target is None or not target.startswith("/") or target[1:2] in ("/", "\\"):
        return "/"
    return target
