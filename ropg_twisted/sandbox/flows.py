"""Stages and flows as data: what an administrator of Authentik would click together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Policy(Enum):
    """When a binding counts. A binding whose policy does not pass is passed over in silence."""

    ALWAYS = auto()
    PASSWORD_FRESH = auto()
    PASSWORD_EXPIRED = auto()
    BAD_REPUTATION = auto()


class Requirement(Enum):
    """Who may start a flow at all (Authentik: *authentication*)."""

    NONE = auto()
    UNAUTHENTICATED = auto()
    OUTPOST = auto()


class NotConfigured(Enum):
    """What a second-factor stage does with a person who has no device."""

    SKIP = auto()
    DENY = auto()
    CONFIGURE = auto()


@dataclass(frozen=True, slots=True)
class Identification:
    """Asks who it is.

    ``combined``: asks for the password in the same form. ``pretend_user_exists``: an unknown
    name goes on to the password. ``captcha``: wants a captcha, which no script can solve.
    """

    user_fields: tuple[str, ...] = ("username", "email")
    combined: bool = False
    pretend_user_exists: bool = True
    captcha: bool = False


@dataclass(frozen=True, slots=True)
class Password:
    """Asks for the password. ``attempts``: the wrong answer that ends the flow."""

    attempts: int = 5
    app_passwords: bool = True


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Asks people who have a device for a code (Authentik: *authenticator-validate*)."""

    not_configured: NotConfigured = NotConfigured.SKIP


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """Has the person set up a TOTP device, and shows its secret."""


@dataclass(frozen=True, slots=True)
class Login:
    """Logs the person in. ``asks``: asks first whether to be remembered."""

    asks: bool = False


@dataclass(frozen=True, slots=True)
class Logout:
    """Removes the session."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuses everybody who gets here."""

    message: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Sends the browser to another place and waits for it to come back."""

    to: str


@dataclass(frozen=True, slots=True)
class Captcha:
    """Asks for the answer of a captcha, which no script can solve."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks the person to agree."""


@dataclass(frozen=True, slots=True)
class PromptField:
    """One field of a prompt; ``kind`` is Authentik's field type."""

    key: str
    label: str
    kind: str = "text"
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Asks for the values of some fields, and throws them away."""

    fields: tuple[PromptField, ...]


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
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A stage in a flow. ``restarts``: a wrong answer begins the flow anew."""

    stage: Stage
    policy: Policy = Policy.ALWAYS
    restarts: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow: its ``slug`` in the URL and its bindings in order.

    ``denied``: the message of a policy that lets nobody start this flow. ``denial_continues``:
    such a refusal is a redirect to the root instead of a message.
    """

    slug: str
    bindings: tuple[Binding, ...]
    designation: str = "authentication"
    requires: Requirement = Requirement.NONE
    denied: str | None = None
    denial_continues: bool = False


def _flow(slug: str, *stages: Stage | Binding, requires: Requirement = Requirement.NONE) -> Flow:
    """A flow of these stages; a bare stage is bound without conditions."""
    bound = (stage if isinstance(stage, Binding) else Binding(stage) for stage in stages)
    return Flow(slug, tuple(bound), requires=requires)


_WHO, _PASSWORD, _LOGIN = Identification(), Password(), Login()
_COMBINED = Identification(combined=True)
_ELSEWHERE = Redirect("https://example.invalid/elsewhere")
_COLOUR = Prompt((PromptField("favourite", "Favourite colour", placeholder="blue"),))
_NEW_PASSWORD = Prompt(
    (
        PromptField("password", "New password", "password"),
        PromptField("password_repeat", "New password (repeat)", "password"),
    )
)
_PLAIN = (Binding(_WHO), Binding(_PASSWORD), Binding(_LOGIN))

_ALL = (
    _flow(
        "default-authentication-flow",
        Identification(user_fields=("email", "username")),
        _PASSWORD,
        SecondFactor(),
        _LOGIN,
    ),
    Flow("default-invalidation-flow", (Binding(Logout()),), designation="invalidation"),
    _flow("attempts-1", _WHO, Password(attempts=1), _LOGIN),
    _flow("captcha-flow", _WHO, Captcha(), _PASSWORD, _LOGIN),
    _flow("captcha-ident", Identification(captcha=True), _PASSWORD, _LOGIN),
    _flow("consent-flow", _WHO, _PASSWORD, Consent(), _LOGIN),
    Flow("denied-continue", _PLAIN, denied="denied by t-deny-all", denial_continues=True),
    Flow("denied-message", _PLAIN, denied="denied by t-deny-all"),
    _flow("empty-flow"),
    _flow("ident-only", _WHO),
    _flow("inbuilt-only", _WHO, Password(app_passwords=False), _LOGIN),
    _flow("mfa-configure-totp", _WHO, _PASSWORD, SecondFactor(NotConfigured.CONFIGURE), _LOGIN),
    _flow("mfa-deny", _WHO, _PASSWORD, SecondFactor(NotConfigured.DENY), _LOGIN),
    _flow("mfa-first", _WHO, SecondFactor(), _PASSWORD, _LOGIN),
    _flow("no-pretend", Identification(pretend_user_exists=False), _PASSWORD, _LOGIN),
    _flow("prompt-flow", _WHO, _PASSWORD, _COLOUR, _LOGIN),
    _flow("pw-change", _WHO, _PASSWORD, Binding(_NEW_PASSWORD, Policy.PASSWORD_EXPIRED), _LOGIN),
    _flow("pw-expiry-login", _WHO, _PASSWORD, Binding(_LOGIN, Policy.PASSWORD_FRESH)),
    _flow("pw-expiry-password", _WHO, Binding(_PASSWORD, Policy.PASSWORD_FRESH), _LOGIN),
    _flow("redirect-first", _WHO, _ELSEWHERE, _PASSWORD, _LOGIN),
    _flow("redirect-stage", _WHO, _PASSWORD, _ELSEWHERE),
    _flow("remember-me", _WHO, _PASSWORD, Login(asks=True)),
    _flow(
        "reputation-deny",
        _WHO,
        Binding(Deny("Denied by t-deny stage"), Policy.BAD_REPUTATION),
        _PASSWORD,
        _LOGIN,
    ),
    _flow("req-outpost", *_PLAIN, requires=Requirement.OUTPOST),
    _flow("req-unauth", *_PLAIN, requires=Requirement.UNAUTHENTICATED),
    _flow("restart", _WHO, Binding(_PASSWORD, restarts=True), _LOGIN),
    _flow("ropg-combined", _COMBINED, SecondFactor(), _LOGIN),
    _flow("ropg-combined-nologin", _COMBINED),
    _flow("ropg-nologin", _WHO, _PASSWORD),
)

FLOWS = {flow.slug: flow for flow in _ALL}
"""Every flow by its slug."""
