"""Stages and flows as data, as an administrator configures them in Authentik."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ropg_twisted.sandbox.flow.policies import (
    DenyAll,
    Not,
    PasswordExpired,
    Policy,
    ReputationPolicy,
)


class Requirement(Enum):
    """Requirement to start a flow (Authentik: *authentication*)."""

    NONE = auto()
    UNAUTHENTICATED = auto()
    OUTPOST = auto()


class DeniedAction(Enum):
    """Response to a user to whom a flow does not apply (Authentik: *denied action*).

    ``MESSAGE_CONTINUE`` and ``CONTINUE`` differ only without the ``next`` of a browser: the first
    then shows a message, the second leads to the root.
    """

    MESSAGE_CONTINUE = auto()
    MESSAGE = auto()
    CONTINUE = auto()


class InvalidResponseAction(Enum):
    """Action after an invalid response, or for a user who is denied.

    ``RETRY``: the same stage again, or access denied. The others plan the flow anew from its
    start, with an empty context or with the one there is.
    """

    RETRY = auto()
    RESTART = auto()
    RESTART_WITH_CONTEXT = auto()


class NotConfigured(Enum):
    """Action of a second-factor stage for a user without a device."""

    SKIP = auto()
    DENY = auto()
    CONFIGURE = auto()


@dataclass(frozen=True, slots=True)
class Identification:
    """Asks for the user name.

    ``combined``: asks for the password in the same form. ``pretend_user_exists``: an unknown
    name goes on to the password. ``captcha``: wants a captcha, which no script can solve.
    ``show_matched_user``: later stages show the user name that was found, else what was typed.
    """

    user_fields: tuple[str, ...] = ("username", "email")
    combined: bool = False
    pretend_user_exists: bool = True
    captcha: bool = False
    show_matched_user: bool = True


@dataclass(frozen=True, slots=True)
class Password:
    """Asks for the password.

    ``attempts``: the wrong answer that ends the flow, 0 as 1. ``inbuilt``, ``app_passwords`` and
    ``ldap``: ``InbuiltBackend``, ``TokenBackend`` and ``LDAPBackend`` are among the backends.
    """

    attempts: int = 5
    inbuilt: bool = True
    app_passwords: bool = True
    ldap: bool = True


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """Sets up a TOTP device, and shows its secret."""


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Asks users who have a device for a code (Authentik: *authenticator-validate*).

    ``device_classes``: with ``webauthn``, a user is asked who is not known yet.
    ``configuration_stage``: what ``CONFIGURE`` inserts; without one it denies.
    """

    not_configured: NotConfigured = NotConfigured.SKIP
    device_classes: tuple[str, ...] = ("static", "totp", "webauthn")
    configuration_stage: TotpSetup | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Logs the user in.

    ``asks``: asks first whether to be remembered. ``duration``: *Session duration* in seconds, 0
    for the default.
    """

    asks: bool = False
    duration: int = 0


@dataclass(frozen=True, slots=True)
class Logout:
    """Removes the session."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Denies access to every user."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Sends the browser to another place and waits for it to come back."""

    to: str


@dataclass(frozen=True, slots=True)
class Captcha:
    """Asks for the answer of a captcha, which no script can solve."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks the user to agree."""


@dataclass(frozen=True, slots=True)
class PromptField:
    """Field of a prompt; ``kind`` is Authentik's field type."""

    key: str
    label: str
    kind: str = "text"
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Asks for the values of some fields, and discards them."""

    fields: tuple[PromptField, ...]


@dataclass(frozen=True, slots=True)
class Dummy:
    """Shows a page, and accepts any response."""


@dataclass(frozen=True, slots=True)
class UserWrite:
    """Writes the values of a prompt (here: nowhere). Denies access without a prompt before it."""


Stage = (
    Identification
    | Password
    | SecondFactor
    | TotpSetup
    | Login
    | Logout
    | Deny
    | Redirect
    | Captcha
    | Consent
    | Prompt
    | Dummy
    | UserWrite
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A stage in a flow.

    ``policy``: if it does not pass, the stage is left out. It is evaluated when
    the plan is made (``evaluate_on_plan``), when the stage is reached (``re_evaluate_policies``),
    both or never. The defaults are Authentik's.
    """

    stage: Stage
    policy: Policy | None = None
    invalid_response_action: InvalidResponseAction = InvalidResponseAction.RETRY
    evaluate_on_plan: bool = False
    re_evaluate_policies: bool = True


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow: its ``slug`` in the URL and its bindings in order.

    ``policy``: decides who may use it. ``denied_action``: for users whom ``requires`` or the
    policy excludes.
    """

    slug: str
    bindings: tuple[Binding, ...]
    designation: str = "authentication"
    requires: Requirement = Requirement.NONE
    policy: Policy | None = None
    denied_action: DeniedAction = DeniedAction.MESSAGE_CONTINUE

    @classmethod
    def of(
        cls,
        slug: str,
        *stages: Stage | Binding,
        requires: Requirement = Requirement.NONE,
        policy: Policy | None = None,
        denied_action: DeniedAction = DeniedAction.MESSAGE_CONTINUE,
    ) -> Flow:
        """Return a flow to log in with; a stage without a binding gets one without conditions."""
        bound = (stage if isinstance(stage, Binding) else Binding(stage) for stage in stages)
        bindings = tuple(bound)
        return cls(slug, bindings, requires=requires, policy=policy, denied_action=denied_action)


_WHO, _PASSWORD, _LOGIN = Identification(), Password(), Login()
_CONFIGURED = SecondFactor(NotConfigured.CONFIGURE, configuration_stage=TotpSetup())
_COMBINED = Identification(combined=True)
_ELSEWHERE = Redirect("https://example.invalid/elsewhere")
_COLOUR = Prompt((PromptField("favourite", "Favourite colour", placeholder="blue"),))
_NEW_PASSWORD = Prompt(
    (
        PromptField("password", "New password", "password"),
        PromptField("password_repeat", "New password (repeat)", "password"),
    )
)
_PLAIN = (_WHO, _PASSWORD, _LOGIN)
_DENY_ALL = DenyAll("denied by t-deny-all")
_EXPIRED = PasswordExpired()
_BAD_REPUTATION = ReputationPolicy(-5, check_username=True)

_ALL = (
    Flow.of(
        "default-authentication-flow",
        Identification(user_fields=("email", "username")),
        _PASSWORD,
        SecondFactor(),
        _LOGIN,
    ),
    Flow("default-invalidation-flow", (Binding(Logout()),), designation="invalidation"),
    Flow.of("attempts-1", _WHO, Password(attempts=1), _LOGIN),
    Flow.of("captcha-flow", _WHO, Captcha(), _PASSWORD, _LOGIN),
    Flow.of("captcha-ident", Identification(captcha=True), _PASSWORD, _LOGIN),
    Flow.of("consent-flow", _WHO, _PASSWORD, Consent(), _LOGIN),
    Flow.of("denied-continue", *_PLAIN, policy=_DENY_ALL, denied_action=DeniedAction.CONTINUE),
    Flow.of("denied-message", *_PLAIN, policy=_DENY_ALL),
    Flow.of("empty-flow"),
    Flow.of("ident-only", _WHO),
    Flow.of("inbuilt-only", _WHO, Password(app_passwords=False, ldap=False), _LOGIN),
    Flow.of("mfa-configure-totp", _WHO, _PASSWORD, _CONFIGURED, _LOGIN),
    Flow.of("mfa-deny", _WHO, _PASSWORD, SecondFactor(NotConfigured.DENY), _LOGIN),
    Flow.of("mfa-first", _WHO, SecondFactor(), _PASSWORD, _LOGIN),
    Flow.of("no-pretend", Identification(pretend_user_exists=False), _PASSWORD, _LOGIN),
    Flow.of("prompt-flow", _WHO, _PASSWORD, _COLOUR, _LOGIN),
    Flow.of("pw-change", _WHO, _PASSWORD, Binding(_NEW_PASSWORD, _EXPIRED), _LOGIN),
    Flow.of("pw-expiry-login", _WHO, _PASSWORD, Binding(_LOGIN, Not(_EXPIRED))),
    Flow.of("pw-expiry-password", _WHO, Binding(_PASSWORD, Not(_EXPIRED)), _LOGIN),
    Flow.of("redirect-first", _WHO, _ELSEWHERE, _PASSWORD, _LOGIN),
    Flow.of("redirect-stage", _WHO, _PASSWORD, _ELSEWHERE),
    Flow.of("remember-me", _WHO, _PASSWORD, Login(asks=True)),
    Flow.of(
        "reputation-deny",
        _WHO,
        Binding(Deny("Denied by t-deny stage"), _BAD_REPUTATION),
        _PASSWORD,
        _LOGIN,
    ),
    Flow.of("req-outpost", *_PLAIN, requires=Requirement.OUTPOST),
    Flow.of("req-unauth", *_PLAIN, requires=Requirement.UNAUTHENTICATED),
    Flow.of(
        "restart",
        _WHO,
        Binding(_PASSWORD, invalid_response_action=InvalidResponseAction.RESTART),
        _LOGIN,
    ),
    Flow.of("short-session", _WHO, _PASSWORD, Login(duration=120)),
    Flow.of("ropg-combined", _COMBINED, SecondFactor(), _LOGIN),
    Flow.of("ropg-combined-nologin", _COMBINED),
    Flow.of("ropg-nologin", _WHO, _PASSWORD),
)

FLOWS = {flow.slug: flow for flow in _ALL}
"""Every flow by its slug."""
