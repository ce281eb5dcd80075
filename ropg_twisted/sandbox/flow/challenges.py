"""Challenges of the executor: the JSON of each, in English or German."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import quote
from uuid import uuid4

from ropg_twisted.sandbox.flow.devices import Devices
from ropg_twisted.sandbox.flow.flows import (
    Captcha,
    Consent,
    Dummy,
    Flow,
    Identification,
    Login,
    Password,
    Prompt,
    Redirect,
    SecondFactor,
    Stage,
    TotpSetup,
)
from ropg_twisted.sandbox.flow.requests import Challenge, FlowRequest
from ropg_twisted.sandbox.flow.sessions import Plan

Errors: TypeAlias = Mapping[str, tuple[str, str]]
"""Errors of an answer: field to text and code."""

INVALID_PASSWORD = "Invalid password"
NOT_AUTHENTICATED = "Failed to authenticate."
NO_NAME = "No identification data provided."
NO_DEVICE = "No (allowed) MFA authenticator configured."
INVALID_CODE = "Invalid Token. Please ensure the time on your device is accurate and try again."
NO_CODE = "Empty response"
WRONG_DEVICE_CLASS = "No compatible device class allowed"
NO_PENDING_USER = "No Pending user to login."
NO_PENDING_DATA = "No Pending data."
UNKNOWN_ERROR = "Unknown error"
LOG_IN = "Log in"
REQUIRED = ("This field is required.", "required")
"""The error of a field that was left out."""

_GERMAN = {
    INVALID_PASSWORD: "Ungültiges Passwort",
    NOT_AUTHENTICATED: "Authentifizierung fehlgeschlagen.",
    NO_DEVICE: "Kein (erlaubter) MFA-Authentifikator konfiguriert.",
    LOG_IN: "Anmelden",
}
_AVATAR = "/static/dist/assets/images/user_default.png"


def say(text: str, language: str) -> str:
    """Return the text in this language (``de``), or unchanged without a translation."""
    return _GERMAN.get(text, text) if language == "de" else text


def redirect(to: str) -> Challenge:
    """Return a redirect challenge. At the end of a flow it leads to the root."""
    return {"component": "xak-flow-redirect", "to": to}


def flow_error() -> Challenge:
    """Return the challenge for an exception inside a stage."""
    return {"component": "ak-stage-flow-error", "request_id": uuid4().hex}


def access_denied(request: FlowRequest, flow: Flow, message: str) -> Challenge:
    """Return the access-denied challenge; the reason is unknown if ``message`` is empty."""
    return {
        "flow_info": _flow_info(flow),
        "component": "ak-stage-access-denied",
        "error_message": say(message or UNKNOWN_ERROR, request.language),
        **_pending(request.pending_name),
    }


def show(
    request: FlowRequest, stage: Stage, devices: Devices, errors: Errors | None = None
) -> Challenge:
    """Return the challenge of a stage, with the errors of the last response, if any."""
    challenge: Challenge = {"flow_info": _flow_info(request.plan.flow)}
    if errors:
        challenge["response_errors"] = {
            field: [{"string": say(text, request.language), "code": code}]
            for field, (text, code) in errors.items()
        }
    challenge.update(_fields(request, stage, devices))
    return challenge


def _fields(request: FlowRequest, stage: Stage, devices: Devices) -> Challenge:
    """Return the fields of this stage's challenge."""
    plan, pending = request.plan, _pending(request.pending_name)
    match stage:
        case Identification():
            return _identification(stage, plan, request.language)
        case Password():
            return {"component": "ak-stage-password", "allow_show_password": False, **pending}
        case SecondFactor():
            return {
                "component": "ak-stage-authenticator-validate",
                "device_challenges": _devices(request, stage, devices),
                "configuration_stages": [],
                **pending,
            }
        case TotpSetup():
            secret, name = b32encode(plan.key).decode(), request.pending_name
            return {
                "component": "ak-stage-authenticator-totp",
                "config_url": f"otpauth://totp/{quote(f'authentik:{name}')}?secret={secret}"
                "&algorithm=SHA1&digits=6&period=30&issuer=authentik",
                **pending,
            }
        case Login():
            return {"component": "ak-stage-user-login", **pending}
        case Captcha():
            return _captcha(request.pending_name)
        case Consent():
            return {
                "component": "ak-stage-consent",
                "permissions": [],
                "additional_permissions": [],
                "token": plan.consent,
                **pending,
            }
        case Prompt():
            return {"component": "ak-stage-prompt", "fields": _prompt_fields(stage)}
        case Dummy():
            return {"component": "ak-stage-dummy", "name": "dummy"}
        case Redirect(to):
            return redirect(to)
        case _:
            raise TypeError(f"{type(stage).__name__} shows nothing")


def _identification(stage: Identification, plan: Plan, language: str) -> Challenge:
    return {
        "component": "ak-stage-identification",
        "user_fields": list(stage.user_fields),
        "pending_user_identifier": plan.context.pending_user_identifier,
        "password_fields": stage.combined,
        "allow_show_password": False,
        "flow_designation": plan.flow.designation,
        "captcha_stage": _captcha("") if stage.captcha else None,
        "primary_action": say(LOG_IN, language),
        "sources": [],
        "show_source_labels": False,
        "enable_remember_me": False,
        "passkey_challenge": None,
    }


def _captcha(name: str) -> Challenge:
    return {
        "component": "ak-stage-captcha",
        "site_key": "pub",
        "js_url": "http://127.0.0.1:9/captcha.js",
        "interactive": False,
        **_pending(name),
    }


def _devices(request: FlowRequest, stage: SecondFactor, devices: Devices) -> list[Challenge]:
    """Return the devices to choose from."""
    user = request.pending_user
    kind = devices.kind(user, stage.device_classes)
    if kind is None:
        return []
    account = None if user is None else user.account
    uid, used = ("-1", None) if account is None else ("1", devices.last_used(account))
    return [{"device_class": kind, "device_uid": uid, "challenge": {}, "last_used": used}]


def _prompt_fields(stage: Prompt) -> list[Challenge]:
    return [
        {
            "field_key": prompt.key,
            "label": prompt.label,
            "type": prompt.kind,
            "required": True,
            "placeholder": prompt.placeholder,
            "initial_value": "",
            "order": 0,
            "sub_text": "",
            "choices": None,
        }
        for prompt in stage.fields
    ]


def _pending(name: str) -> Challenge:
    return {"pending_user": name, "pending_user_avatar": _AVATAR}


def _flow_info(flow: Flow) -> Challenge:
    return {
        "title": f"Sandbox: {flow.slug}",
        "background": "/static/dist/assets/images/flow_background.jpg",
        "cancel_url": "/flows/-/cancel/",
        "layout": "stacked",
    }
