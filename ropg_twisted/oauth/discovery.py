"""The discovery document (OpenID Connect Discovery 1.0 section 3)."""

from __future__ import annotations

from typing import Any, Final

from ropg_twisted.oauth.claims import CLAIMS, SCOPES

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
TOKEN_PATH: Final = "/oauth/token"
JWKS_PATH: Final = "/.well-known/jwks.json"


def discovery_document(issuer: str, authentik_url: str, algorithm: str) -> dict[str, Any]:
    """A document that names only what works.

    ``authorization_endpoint`` is Authentik's own: some clients will not go on without one.
    ``algorithm``: what id tokens are signed with.
    """
    base = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{authentik_url}/application/o/authorize/",
        "token_endpoint": f"{base}{TOKEN_PATH}",
        "jwks_uri": f"{base}{JWKS_PATH}",
        "grant_types_supported": ["password"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "token_endpoint_auth_methods_supported": [
            "none",
            "client_secret_post",
            "client_secret_basic",
        ],
        "scopes_supported": list(SCOPES),
        "claims_supported": [
            *("iss", "aud", "azp", "exp", "iat", "auth_time", "jti", "amr", "nonce"),
            *CLAIMS,
        ],
    }
