"""Discovery documents (OpenID Connect Discovery 1.0 section 3), which list only what works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ropg_twisted.oauth.claims import CLAIMS
from ropg_twisted.oauth.scopes import SCOPES
from ropg_twisted.settings.model import PASSWORD_GRANT, RELAYED_GRANTS

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
TOKEN_PATH: Final = "/oauth/token"
JWKS_PATH: Final = "/.well-known/jwks.json"
USERINFO_PATH: Final = "/userinfo"
INTROSPECTION_PATH: Final = "/introspect"

TOKEN_CLAIMS: Final = ("iss", "aud", "azp", "exp", "iat", "auth_time", "jti", "amr", "nonce")
"""The claims about a token, which are not about a user."""

CONFIDENTIAL_METHODS: Final = ("client_secret_post", "client_secret_basic")
"""Methods by which a client with a secret authenticates (OpenID Connect Core section 9)."""

AUTHENTIK_ONLY: Final = (
    "introspection_endpoint",
    "revocation_endpoint",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "frontchannel_logout_supported",
    "frontchannel_logout_session_supported",
)
"""Members of Authentik's document for what it does only for tokens of its own issuer."""


@dataclass(frozen=True, slots=True)
class IssuerInfo:
    """Our issuer, its signing algorithm, and the base URL of Authentik.

    ``authentik_url``: without a slash at its end. ``introspection``: a client has a secret, with
    which it can introspect tokens.
    """

    issuer: str
    algorithm: str
    authentik_url: str
    introspection: bool


def own_document(info: IssuerInfo) -> dict[str, object]:
    """Return a discovery document for password grants alone.

    ``authorization_endpoint`` is Authentik's, because some clients require one.
    """
    return {
        "authorization_endpoint": f"{info.authentik_url}/application/o/authorize/",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        **_own_members(info),
        "grant_types_supported": [PASSWORD_GRANT],
        "scopes_supported": list(SCOPES),
        "claims_supported": [*TOKEN_CLAIMS, *CLAIMS],
    }


def relaying_document(info: IssuerInfo, upstream: Mapping[str, object]) -> dict[str, object]:
    """Return Authentik's discovery document with our issuer, endpoints and algorithms.

    ``upstream``: Authentik's document.
    """
    kept = {name: value for name, value in upstream.items() if name not in AUTHENTIK_ONLY}
    return {
        **kept,
        **_own_members(info),
        "response_types_supported": ["code"],
        "grant_types_supported": [*RELAYED_GRANTS, PASSWORD_GRANT],
        "scopes_supported": _merged(upstream.get("scopes_supported"), SCOPES),
        "claims_supported": _merged(upstream.get("claims_supported"), (*TOKEN_CLAIMS, *CLAIMS)),
    }


def _own_members(info: IssuerInfo) -> dict[str, object]:
    base = info.issuer.rstrip("/")
    introspection = {
        "introspection_endpoint": f"{base}{INTROSPECTION_PATH}",
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_METHODS),
    }
    return {
        "issuer": info.issuer,
        "token_endpoint": f"{base}{TOKEN_PATH}",
        "jwks_uri": f"{base}{JWKS_PATH}",
        "userinfo_endpoint": f"{base}{USERINFO_PATH}",
        "id_token_signing_alg_values_supported": [info.algorithm],
        "token_endpoint_auth_methods_supported": ["none", *CONFIDENTIAL_METHODS],
        **(introspection if info.introspection else {}),
    }


def _merged(upstream: object, own: tuple[str, ...]) -> list[str]:
    """Return the names in both lists, each once. ``upstream`` may be anything in JSON."""
    members = upstream if isinstance(upstream, list) else []
    names = [name for name in members if isinstance(name, str)]
    return list(dict.fromkeys([*names, *own]))
