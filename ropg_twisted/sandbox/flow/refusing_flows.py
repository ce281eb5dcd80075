"""Flows whose refusal is not what it seems.

Each was made on a real Authentik (2026.5.0-rc1). There, the response to a refused password or a
denied user was the same as that to an accepted password, or could not be told from it.
Most of them have a binding whose *invalid response action* restarts the flow.
"""

from __future__ import annotations

from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    Consent,
    DeniedAction,
    Deny,
    Dummy,
    Flow,
    Identification,
    InvalidResponseAction,
    Login,
    NotConfigured,
    Password,
    Prompt,
    PromptField,
    Requirement,
    SecondFactor,
    Stage,
    UserWrite,
)
from ropg_twisted.sandbox.flow.policies import (
    HasNoBackend,
    IsMember,
    Not,
    Policy,
    ReputationPolicy,
    SetRedirect,
    UserIsPending,
)

_ADDRESS = ReputationPolicy(-1, check_ip=True)
_USER = ReputationPolicy(-1, check_username=True)
_WHO, _PASSWORD, _DENY, _LOGIN = Identification(), Password(), Deny(), Login()
_COMBINED = Identification(combined=True)
_HIDDEN = Identification(show_matched_user=False)
_CODES = SecondFactor(device_classes=("static", "totp"))
_COLOUR = Prompt((PromptField("favourite", "Favourite colour", placeholder="blue"),))


def _restart(stage: Stage) -> Binding:
    return Binding(stage, invalid_response_action=InvalidResponseAction.RESTART)


def _with_context(stage: Stage, policy: Policy | None = None) -> Binding:
    return Binding(stage, policy, InvalidResponseAction.RESTART_WITH_CONTEXT)


REFUSING_FLOWS = (
    Flow.of("t-captcha-rep-first", Binding(Captcha(), _ADDRESS), _WHO, _restart(_PASSWORD), _LOGIN),
    Flow.of(
        "t-captcha-rep-ctx",
        _HIDDEN,
        Binding(Captcha(), _ADDRESS),
        _with_context(_PASSWORD),
        _LOGIN,
    ),
    Flow.of("t-mfa-first-ctx", _CODES, _WHO, _with_context(_PASSWORD), _LOGIN),
    Flow.of("t-mfa-first-combined-ctx", _CODES, _with_context(_COMBINED), _LOGIN),
    Flow.of(
        "t-flowrep-restart-nologin",
        _WHO,
        _restart(_PASSWORD),
        policy=Not(_ADDRESS),
        denied_action=DeniedAction.CONTINUE,
    ),
    Flow.of(
        "t-flowrep-restart-login",
        _WHO,
        _restart(_PASSWORD),
        _LOGIN,
        policy=Not(_ADDRESS),
        denied_action=DeniedAction.CONTINUE,
    ),
    Flow.of(
        "t-flowrep-restart-msg",
        _WHO,
        _restart(_PASSWORD),
        _LOGIN,
        policy=Not(_ADDRESS),
        denied_action=DeniedAction.MESSAGE,
    ),
    Flow.of(
        "t-prompt-group-first-ctx",
        Binding(_COLOUR, IsMember("mac-users"), evaluate_on_plan=True, re_evaluate_policies=False),
        _WHO,
        _with_context(_PASSWORD),
        _LOGIN,
    ),
    Flow.of(
        "t-mfadeny-restart", _WHO, _PASSWORD, _restart(SecondFactor(NotConfigured.DENY)), _LOGIN
    ),
    Flow.of("t-deny-restart", _WHO, _PASSWORD, _restart(_DENY), _LOGIN),
    Flow.of("t-deny-restart-ctx", _WHO, _PASSWORD, _with_context(_DENY), _LOGIN),
    Flow.of("t-write-restart", _WHO, _PASSWORD, _restart(UserWrite()), _LOGIN),
    Flow.of(
        "t-mfaconf0-restart",
        _WHO,
        _PASSWORD,
        _restart(SecondFactor(NotConfigured.CONFIGURE)),
        _LOGIN,
    ),
    Flow.of("t-combined-deny-restart", _COMBINED, _restart(_DENY), _LOGIN),
    Flow.of("t-second-ident", _WHO, _PASSWORD, _WHO, _LOGIN),
    Flow.of(
        "t-login-first-restart",
        _WHO,
        _LOGIN,
        _restart(_PASSWORD),
        requires=Requirement.UNAUTHENTICATED,
        denied_action=DeniedAction.CONTINUE,
    ),
    Flow.of("t-hide-restart-ctx", _HIDDEN, _with_context(_PASSWORD), _LOGIN),
    Flow.of(
        "t-deny-rep-first-restart", Binding(_DENY, _ADDRESS), _WHO, _restart(_PASSWORD), _LOGIN
    ),
    Flow.of(
        "t-skip-pw-on-ctx-restart",
        Binding(_WHO, Not(UserIsPending())),
        _with_context(_PASSWORD, Not(_USER)),
        Consent(),
        _LOGIN,
    ),
    Flow.of("t-login-then-deny-restart", _WHO, _PASSWORD, _LOGIN, _restart(_DENY)),
    Flow.of(
        "t-unauth-login-then-deny-restart",
        _WHO,
        _PASSWORD,
        _LOGIN,
        _restart(_DENY),
        requires=Requirement.UNAUTHENTICATED,
        denied_action=DeniedAction.CONTINUE,
    ),
    Flow.of(
        "t-redirctx",
        _WHO,
        _PASSWORD,
        Binding(_LOGIN, SetRedirect("https://elsewhere.example.com/y")),
    ),
    Flow.of(
        "t-default-combined-plus-pw",
        _COMBINED,
        Binding(_PASSWORD, HasNoBackend()),
        SecondFactor(),
        _LOGIN,
    ),
    Flow.of(
        "t-ident-restart-nopretend",
        _restart(Identification(pretend_user_exists=False)),
        _PASSWORD,
        _LOGIN,
    ),
    Flow.of("t-fa0-restart", _WHO, _restart(Password(attempts=0)), _LOGIN),
    Flow.of("t-dummy-after-pw-rep", _WHO, Binding(_PASSWORD, Not(_USER)), Dummy(), _LOGIN),
)
"""Every such flow, under its recorded slug."""
