"""Components of Authentik's challenges, and the meaning of their fields. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ropg_twisted.authentik.challenges import Challenge
from ropg_twisted.verdict import Reason

IDENTIFICATION: Final = "ak-stage-identification"
PASSWORD: Final = "ak-stage-password"
ACCESS_DENIED: Final = "ak-stage-access-denied"
USER_LOGIN: Final = "ak-stage-user-login"
FLOW_ERROR: Final = "ak-stage-flow-error"
FLOW_SHELL: Final = "xak-flow-shell"
REDIRECT: Final = "xak-flow-redirect"
AUTHENTICATOR: Final = "ak-stage-authenticator-"
VALIDATE: Final = "ak-stage-authenticator-validate"

DEVICES_WITH_CODES: Final = frozenset(("static", "totp"))
"""Classes of devices whose codes a user can send together with the password."""

INTERACTIVE_STAGES: Final = frozenset(
    f"ak-stage-{name}"
    for name in (
        "autosubmit",
        "captcha",
        "consent",
        "dummy",
        "email",
        "endpoint-agent",
        "prompt",
        "session-end",
    )
)
"""The other stages of Authentik 2026.8 that may follow the password."""

_KNOWN: Final = frozenset(
    (
        *(IDENTIFICATION, PASSWORD, ACCESS_DENIED, USER_LOGIN, FLOW_ERROR, FLOW_SHELL, REDIRECT),
        *INTERACTIVE_STAGES,
        *(
            f"{AUTHENTICATOR}{name}"
            for name in ("duo", "email", "sms", "static", "totp", "validate", "webauthn")
        ),
    )
)

CREDENTIALS: Final = frozenset(("uid_field", "password", "non_field_errors"))
"""Fields whose errors refuse the user name and the password."""

CODE: Final = frozenset(("code",))
"""Fields whose errors refuse a code."""


def is_known_component(component: str) -> bool:
    """Return whether this is a component of Authentik 2026.8."""
    return component in _KNOWN


def is_stage_after_password(component: str) -> bool:
    """Return whether a stage may follow an accepted password."""
    return (
        component == USER_LOGIN
        or component in INTERACTIVE_STAGES
        or component.startswith(AUTHENTICATOR)
    )


def reason_not_to_start(first: Challenge) -> Reason | None:
    """Return why no login can start at the first challenge of a flow, ``None`` if one can."""
    component = first.component
    if first.fields.get("response_errors") or component in (FLOW_ERROR, FLOW_SHELL):
        return Reason.FLOW_ERROR
    if component == IDENTIFICATION:
        return Reason.FLOW_NOT_HEADLESS if first.fields.get("captcha_stage") else None
    if component == ACCESS_DENIED:
        return Reason.FLOW_DENIED
    if component == REDIRECT:
        return Reason.FLOW_ENDED_EARLY
    if component == PASSWORD or is_stage_after_password(component):
        return Reason.FLOW_NOT_HEADLESS
    return Reason.FLOW_UNKNOWN_STAGE


def accepts_code(challenge: Challenge) -> bool:
    """Return whether a challenge asks for a code that the user may have sent already."""
    devices = challenge.fields.get("device_challenges")
    return (
        challenge.component == VALIDATE
        and isinstance(devices, list)
        and any(
            isinstance(device, Mapping) and device.get("device_class") in DEVICES_WITH_CODES
            for device in devices
        )
    )


def are_refusals(errors: object, sent: frozenset[str]) -> bool:
    """Return whether all ``response_errors`` say that the values of the fields ``sent`` are wrong.

    Their form is ``{field: [{"string": ..., "code": ...}]}``. An error of another field, or of a
    missing field, concerns the form of the response and not the values.
    """
    if not isinstance(errors, Mapping):
        return False
    for name, reasons in errors.items():
        if name not in sent:
            return False
        if not isinstance(reasons, list) or not reasons:
            return False
        for reason in reasons:
            if not isinstance(reason, Mapping) or not isinstance(reason.get("code"), str):
                return False
            if reason["code"] == "required":
                return False
    return True
