"""Recorded flows whose refusal is not what it seems, where a checkout has them beside it.

They are no part of the package: a test that needs them is skipped where the file is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.paths import SHARED

FILE = SHARED / "refusals.json"

MISSING = None if FILE.is_file() else "refusals.json is not beside this checkout"
"""The reason to skip, or None where the file is there."""


@dataclass(frozen=True, slots=True)
class RecordedStage:
    """A stage and its binding, in the words of the recording."""

    stage: str
    bound_if: str | None
    invalid_response_action: str
    evaluate_on_plan: bool
    re_evaluate_policies: bool


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A request and what came.

    ``sent``: the component that was answered, None for a GET. ``came``: a component, or the
    target of a 302. ``to``: the target of a redirect challenge. ``errors_of``: the fields of
    ``response_errors``.
    """

    method: str
    sent: str | None
    status: int
    came: str
    to: str | None
    errors_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    """A password check. ``accepted`` and ``judged`` are Authentik's own record of it.

    ``judged``: it looked at the credentials at all, were it only to find that nobody has the
    name. ``answer``: what the daemon said at the time.
    """

    user: str
    password: str
    accepted: bool
    judged: bool
    answer: str
    steps: tuple[RecordedStep, ...]


@dataclass(frozen=True, slots=True)
class RecordedFlow:
    """A flow and the checks that were made with it, in order.

    ``login_stage``: the daemon's setting of the time. One flow is there with both values.
    """

    slug: str
    authentication: str
    denied_action: str
    bound_if: str | None
    login_stage: str
    stages: tuple[RecordedStage, ...]
    checks: tuple[RecordedCheck, ...]


@cache
def recorded_flows() -> tuple[RecordedFlow, ...]:
    """Return all recorded flows, none where the file is missing."""
    if MISSING:
        return ()
    return tuple(_flow(flow) for flow in json.loads(FILE.read_text(encoding="utf-8"))["flows"])


def _flow(data: dict[str, Any]) -> RecordedFlow:
    return RecordedFlow(
        slug=data["slug"],
        authentication=data["authentication"],
        denied_action=data["denied_action"],
        bound_if=data["flow_bound_if"],
        login_stage=data["login_stage"],
        stages=tuple(_stage(stage) for stage in data["stages"]),
        checks=tuple(_check(check) for check in data["checks"]),
    )


def _stage(data: dict[str, Any]) -> RecordedStage:
    return RecordedStage(
        stage=data["stage"],
        bound_if=data.get("bound_if"),
        invalid_response_action=data.get("invalid_response_action", "retry"),
        evaluate_on_plan=data.get("evaluate_on_plan", False),
        re_evaluate_policies=data.get("re_evaluate_policies", True),
    )


def _check(data: dict[str, Any]) -> RecordedCheck:
    return RecordedCheck(
        user=data["user"],
        password=data["password"],
        accepted=data["authentik_accepted_it"],
        judged=data["authentik_judged_it"],
        answer=data["answer_until_now"],
        steps=tuple(
            RecordedStep(
                method=step["method"],
                sent=step.get("sent"),
                status=step["status"],
                came=step["came"],
                to=step.get("to"),
                errors_of=tuple(step.get("errors_of", ())),
            )
            for step in data["exchanges"]
        ),
    )
