"""Models of Authentik, with the attributes that blueprints set, and the checks of each.

They are those of the blueprints of ``ropg blueprint``, and some that an administrator may set to
see what becomes of it. Messages are those of Authentik 2026.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

FLOW: Final = "authentik_flows.flow"
BINDING: Final = "authentik_flows.flowstagebinding"
IDENTIFICATION: Final = "authentik_stages_identification.identificationstage"
PASSWORD: Final = "authentik_stages_password.passwordstage"
MFA: Final = "authentik_stages_authenticator_validate.authenticatorvalidatestage"
LOGIN: Final = "authentik_stages_user_login.userloginstage"
CAPTCHA: Final = "authentik_stages_captcha.captchastage"
STAGES: Final = (IDENTIFICATION, PASSWORD, MFA, LOGIN)
OAUTH2: Final = "authentik_providers_oauth2.oauth2provider"
SCOPE: Final = "authentik_providers_oauth2.scopemapping"
KEY: Final = "authentik_crypto.certificatekeypair"
APPLICATION: Final = "authentik_core.application"
GROUP: Final = "authentik_core.group"
USER: Final = "authentik_core.user"
TOKEN: Final = "authentik_core.token"
POLICY_BINDING: Final = "authentik_policies.policybinding"
PROXY: Final = "authentik_providers_proxy.proxyprovider"
OUTPOST: Final = "authentik_outposts.outpost"

PROVIDERS: Final = {OAUTH2: "OAuth2Provider", PROXY: "ProxyProvider"}
OUTPOST_PROVIDERS: Final = {"proxy": PROXY, "ldap": "authentik_providers_ldap.ldapprovider"}


class InvalidError(Exception):
    """The message about an attribute."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a model.

    ``check``: raises :exc:`InvalidError`. ``refers``: the models to which it may refer; such an
    attribute is a key or a list of keys. ``required``: to make an object. ``nullable``: it may be
    null, and becomes null, or loses the key, when the object that it refers to is deleted.
    """

    check: Callable[[Any], None] = lambda value: None
    refers: tuple[str, ...] = ()
    required: bool = False
    nullable: bool = False
    default: Any = None


def _one_of(*choices: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in choices:
            raise InvalidError(f'"{value}" is not a valid choice.')

    return check


def _some_of(*choices: str) -> Callable[[Any], None]:
    def check(values: Any) -> None:
        for value in values:
            _one_of(*choices)(value)

    return check


def _not_empty(value: Any) -> None:
    if value in ("", []):
        kind = "list may not be empty" if isinstance(value, list) else "field may not be blank"
        raise InvalidError(f"This {kind}.")


def _duration(value: Any) -> None:
    if not re.fullmatch(r"(seconds|minutes|hours|days|weeks)=\d+(;\w+=\d+)*", str(value)):
        raise InvalidError(f"{value} is not in the correct format of 'hours=3;minutes=1'.")


def _user_fields(value: Any) -> None:
    if not value:
        raise InvalidError(
            "When no user fields are selected, at least one source must be selected",
        )


_NAME = Attribute(_not_empty, required=True)
_ANY = Attribute(nullable=True)
_FLOW = Attribute(refers=(FLOW,), required=True)
_BOOLEAN = Attribute(default=False)

MODELS: Final[Mapping[str, Mapping[str, Attribute]]] = {
    FLOW: {
        "slug": _NAME,
        "name": _NAME,
        "title": _NAME,
        "designation": Attribute(_one_of("authentication", "authorization", "invalidation")),
        "authentication": Attribute(
            _one_of("none", "require_unauthenticated", "require_outpost"), default="none"
        ),
        "denied_action": Attribute(
            _one_of("message_continue", "message", "continue"), default="message_continue"
        ),
        "policy_engine_mode": Attribute(_one_of("any", "all"), default="any"),
    },
    IDENTIFICATION: {
        "name": _NAME,
        "user_fields": Attribute(_user_fields, required=True),
        "pretend_user_exists": Attribute(default=True),
        "case_insensitive_matching": Attribute(default=True),
        "password_stage": Attribute(refers=(PASSWORD,), nullable=True),
        "captcha_stage": Attribute(refers=(CAPTCHA,), nullable=True),
        "webauthn_stage": _ANY,
        "sources": Attribute(default=[]),
    },
    PASSWORD: {
        "name": _NAME,
        "backends": Attribute(
            _some_of(
                "authentik.core.auth.InbuiltBackend",
                "authentik.core.auth.TokenBackend",
                "authentik.sources.ldap.auth.LDAPBackend",
                "authentik.sources.kerberos.auth.KerberosBackend",
            ),
            required=True,
        ),
        "failed_attempts_before_cancel": Attribute(default=5),
    },
    MFA: {
        "name": _NAME,
        "not_configured_action": Attribute(_one_of("skip", "deny", "configure"), default="skip"),
        "last_auth_threshold": Attribute(_duration, default="seconds=0"),
        "device_classes": Attribute(
            _some_of("static", "totp", "webauthn", "duo", "sms", "email"),
            default=["static", "totp", "webauthn", "duo", "sms", "email"],
        ),
    },
    LOGIN: {
        "name": _NAME,
        "session_duration": Attribute(_duration, default="seconds=0"),
        "remember_me_offset": Attribute(_duration, default="seconds=0"),
        "terminate_other_sessions": _BOOLEAN,
        "network_binding": Attribute(_one_of("no_binding", "bind_asn"), default="no_binding"),
        "geoip_binding": Attribute(_one_of("no_binding", "bind_country"), default="no_binding"),
    },
    BINDING: {
        "target": _FLOW,
        "stage": Attribute(refers=STAGES, required=True),
        "order": Attribute(required=True),
        "invalid_response_action": Attribute(
            _one_of("retry", "restart", "restart_with_context"), default="retry"
        ),
        "evaluate_on_plan": _BOOLEAN,
        "re_evaluate_policies": Attribute(default=True),
    },
    OAUTH2: {
        "client_id": _NAME,
        "name": _NAME,
        "client_type": Attribute(_one_of("public", "confidential"), default="confidential"),
        "client_secret": Attribute(_not_empty, default="made by Authentik"),
        "redirect_uris": Attribute(required=True),
        "authorization_flow": _FLOW,
        "invalidation_flow": _FLOW,
        "signing_key": Attribute(refers=(KEY,), nullable=True),
        "encryption_key": Attribute(refers=(KEY,), nullable=True),
        "sub_mode": Attribute(_one_of("hashed_user_id", "user_id"), default="hashed_user_id"),
        "issuer_mode": Attribute(_one_of("per_provider", "global"), default="per_provider"),
        "access_token_validity": Attribute(_duration, default="hours=1"),
        "grant_types": Attribute(
            _some_of("authorization_code", "refresh_token", "password"), default=[]
        ),
        "property_mappings": Attribute(refers=(SCOPE,), default=[]),
    },
    APPLICATION: {
        "slug": _NAME,
        "name": _NAME,
        "policy_engine_mode": Attribute(_one_of("any", "all"), default="any"),
        "meta_launch_url": Attribute(default=""),
        "provider": Attribute(refers=(OAUTH2, PROXY), nullable=True),
    },
    GROUP: {"name": _NAME},
    POLICY_BINDING: {
        "target": Attribute(refers=(APPLICATION,), required=True),
        "group": Attribute(refers=(GROUP,), nullable=True),
        "user": Attribute(refers=(USER,), nullable=True),
        "policy": _ANY,
        "order": Attribute(required=True),
        "enabled": Attribute(default=True),
        "negate": _BOOLEAN,
        "timeout": Attribute(default=30),
        "failure_result": _BOOLEAN,
    },
    PROXY: {
        "name": _NAME,
        "authorization_flow": _FLOW,
        "invalidation_flow": _FLOW,
        "mode": Attribute(_one_of("proxy", "forward_single", "forward_domain"), default="proxy"),
        "external_host": _NAME,
    },
    OUTPOST: {
        "name": _NAME,
        "type": Attribute(_one_of("proxy", "ldap", "radius", "rac"), required=True),
        "providers": Attribute(_not_empty, refers=tuple(PROVIDERS), required=True),
        "service_connection": _ANY,
        "config": Attribute(required=True),
    },
    TOKEN: {
        "identifier": _NAME,
        "intent": Attribute(_one_of("api", "app_password"), default="api"),
        "user": Attribute(refers=(USER,), required=True),
        "expiring": Attribute(default=True),
        "key": Attribute(_not_empty),
    },
    USER: {"username": _NAME},
    KEY: {"name": _NAME, "managed": _ANY},
    SCOPE: {"scope_name": _NAME, "managed": _ANY},
}

UNIQUE: Final = {
    FLOW: ("slug",),
    **dict.fromkeys(STAGES, ("name",)),
    OAUTH2: ("name",),
    APPLICATION: ("slug",),
    GROUP: ("name",),
    OUTPOST: ("name",),
}
"""Attributes of which each object of a model has a value of its own."""
