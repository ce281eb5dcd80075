"""Discovery documents (OpenID Connect Discovery 1.0 section 3): they name only what works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ropg_twisted.oauth.claims import CLAIMS, SCOPES

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
TOKEN_PATH: Final = "/oauth/token"
JWKS_PATH: Final = "/.well-known/jwks.json"
USERINFO_PATH: Final = "/userinfo"

TOKEN_CLAIMS: Final = ("iss", "aud", "azp", "exp", "iat", "auth_time", "jti", "amr", "nonce")

AUTHENTIK_ONLY: Final = (
    "introspection_endpoint",
    "revocation_endpoint",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "frontchannel_logout_supported",
    "frontchannel_logout_session_supported",
)
"""What Authentik does for tokens of its own issuer only."""


@dataclass(frozen=True, slots=True)
class IssuerInfo:
    """What this provider is: its issuer, what it signs with, and the Authentik behind it."""

    issuer: str
    algorithm: str
    authentik_url: str


def own_document(provided: IssuerInfo) -> dict[str, Any]:
    """A document for password checks alone.

    ``authorization_endpoint`` is Authentik's own: some clients will not go on without one.
    """
    return {
        "authorization_endpoint": f"{provided.authentik_url}/application/o/authorize/",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        **_ours(provided),
        "grant_types_supported": ["password"],
        "scopes_supported": list(SCOPES),
        "claims_supported": [*TOKEN_CLAIMS, *CLAIMS],
    }


def relaying_document(provided: IssuerInfo, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Authentik's document ``theirs``, with us in the place of its token issuer."""
    kept = {name: value for name, value in theirs.items() if name not in AUTHENTIK_ONLY}
    return {
        **kept,
        **_ours(provided),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "password"],
        "scopes_supported": _with(theirs.get("scopes_supported"), SCOPES),
        "claims_supported": _with(theirs.get("claims_supported"), (*TOKEN_CLAIMS, *CLAIMS)),
    }


def _ours(provided: IssuerInfo) -> dict[str, Any]:
    base = provided.issuer.rstrip("/")
    return {
        "issuer": provided.issuer,
        "token_endpoint": f"{base}{TOKEN_PATH}",
        "jwks_uri": f"{base}{JWKS_PATH}",
        "userinfo_endpoint": f"{base}{USERINFO_PATH}",
        "id_token_signing_alg_values_supported": [provided.algorithm],
        "token_endpoint_auth_methods_supported": [
            "none",
            "client_secret_post",
            "client_secret_basic",
        ],
    }


def _with(theirs: object, ours: tuple[str, ...]) -> list[str]:
    names = [name for name in theirs if isinstance(name, str)] if isinstance(theirs, list) else []
    return list(dict.fromkeys([*names, *ours]))
