"""Challenges, and conversations that have received them."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

from ropg_twisted.authentik.challenges import Challenge, Redirect, SessionCookie
from ropg_twisted.authentik.conversation import (
    Conversation,
    FollowRedirect,
    Step,
)
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict

Received: TypeAlias = Redirect | Challenge

ROOT = "https://authentik.example.com/"
ALICE = LoginAttempt("alice", "secret")
ANONYMOUS = SessionCookie("first")
LOGGED_IN = SessionCookie("second", authenticated=True)
MOVED = Redirect()
WRONG = {"password": [{"string": "Ungültiges Passwort", "code": "invalid"}]}
NO_SUCH = {"non_field_errors": [{"string": "Failed to authenticate.", "code": "invalid"}]}

KNOWN_STAGES = [
    "ak-stage-access-denied",
    "ak-stage-authenticator-duo",
    "ak-stage-authenticator-email",
    "ak-stage-authenticator-sms",
    "ak-stage-authenticator-static",
    "ak-stage-authenticator-totp",
    "ak-stage-authenticator-validate",
    "ak-stage-authenticator-webauthn",
    "ak-stage-autosubmit",
    "ak-stage-captcha",
    "ak-stage-consent",
    "ak-stage-dummy",
    "ak-stage-email",
    "ak-stage-endpoint-agent",
    "ak-stage-flow-error",
    "ak-stage-identification",
    "ak-stage-password",
    "ak-stage-prompt",
    "ak-stage-session-end",
    "ak-stage-user-login",
]

OTHER_COMPONENTS = [
    "xak-flow-frame",
    "xak-flow-redirect",
    "xak-flow-shell",
    "ak-source-oauth-apple",
    "ak-source-plex",
    "ak-source-telegram",
    "ak-provider-iframe-logout",
    "ak-provider-oauth2-device-code",
    "ak-provider-oauth2-device-code-finish",
    "ak-provider-saml-native-logout",
]

FROM_THE_FUTURE = ["ak-stage-hologram", "xak-flow-portal", "", "password"]


def challenge(component: str, **fields: Any) -> Challenge:
    """A challenge as the executor sends it."""
    return Challenge(component, cast(Any, fields))


IDENTIFICATION = challenge("ak-stage-identification", password_fields=False, captcha_stage=None)
COMBINED = challenge("ak-stage-identification", password_fields=True, captcha_stage=None)
PASSWORD = challenge("ak-stage-password", pending_user="alice")
DENIED = challenge("ak-stage-access-denied", error_message="no")
USER_LOGIN = challenge("ak-stage-user-login")
MFA = challenge("ak-stage-authenticator-validate", device_challenges=[])
DEVICES = challenge(
    "ak-stage-authenticator-validate",
    device_challenges=[{"device_class": "webauthn"}, {"device_class": "totp"}],
)

END = challenge("xak-flow-redirect", to="/")

IDENTIFIED: list[Received] = [IDENTIFICATION, MOVED]

SENT: list[Received] = [*IDENTIFIED, PASSWORD]

ACCEPTED: list[Received] = [*SENT, MOVED]

SENT_TOGETHER: list[Received] = [COMBINED]

ACCEPTED_TOGETHER: list[Received] = [*SENT_TOGETHER, MOVED]

PASSED: list[Received] = [*ACCEPTED, USER_LOGIN]


def make_conversation(
    login: LoginAttempt = ALICE,
    *,
    root: str = ROOT,
    evidence: Evidence = Evidence.IN_PLACE,
    login_stage: bool = True,
) -> Conversation:
    """A conversation with a flow that has been seen to refuse in place, if not said otherwise."""
    return Conversation(login, root=root, evidence=evidence, login_stage=login_stage)


def after(
    *received: Received, session: SessionCookie = ANONYMOUS, **options: Any
) -> tuple[Verdict | None, Reason | None]:
    """The outcome of a conversation that receives all this; ``session`` is that of the last."""
    conversation = make_conversation(**options)
    step: Step = FollowRedirect()
    for item in received[:-1]:
        step = conversation.receive(item, ANONYMOUS)
        assert not isinstance(step, Outcome), f"{step} at {item}"
    step = conversation.receive(received[-1], session)
    return (step.verdict, step.reason) if isinstance(step, Outcome) else (None, None)


VERIFIED = (Verdict.VERIFIED, Reason.VERIFIED)
REJECTED = (Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
DENIED_BY_POLICY = (Verdict.DENIED, Reason.POLICY)
INTERACTION = (Verdict.INTERACTION_REQUIRED, Reason.INTERACTION)


def unverifiable(reason: Reason) -> tuple[Verdict, Reason]:
    """An outcome that says nothing about the password."""
    return Verdict.UNVERIFIABLE, reason


RESTARTED = unverifiable(Reason.FLOW_RESTARTS)
UNPROVEN = unverifiable(Reason.FLOW_UNPROVEN)


def with_errors(item: Challenge, errors: Any) -> Challenge:
    """The challenge ``item``, sent again with errors."""
    return Challenge(item.component, {**item.fields, "response_errors": errors})
