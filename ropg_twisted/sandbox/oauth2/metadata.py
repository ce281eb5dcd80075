"""The discovery document of an application (OpenID Connect Discovery), as Authentik writes it."""

from __future__ import annotations

from ropg_twisted.sandbox.oauth2.applications import Application

RESPONSE_TYPES = (
    "code",
    "id_token",
    "id_token token",
    "code token",
    "code id_token",
    "code id_token token",
)

GRANT_TYPES = (
    "authorization_code",
    "refresh_token",
    "implicit",
    "client_credentials",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
)

CLAIMS = (
    "sub",
    "iss",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "email",
    "email_verified",
    "name",
    "given_name",
    "preferred_username",
    "nickname",
    "groups",
)


def issuer(base: str, application: Application) -> str:
    """Return the issuer of an application's tokens, at an Authentik with this base URL."""
    return f"{base}/application/o/{application.slug}/"


def discovery_document(base: str, application: Application) -> dict[str, object]:
    """Return the document. Only names and algorithm differ between applications, as in Authentik.

    It names more than the sandbox does: there is no device, revocation or end-session endpoint,
    and of the response types only ``code`` works.
    """
    oauth, own = f"{base}/application/o", issuer(base, application)
    return {
        "issuer": own,
        "authorization_endpoint": f"{oauth}/authorize/",
        "token_endpoint": f"{oauth}/token/",
        "userinfo_endpoint": f"{oauth}/userinfo/",
        "end_session_endpoint": f"{own}end-session/",
        "introspection_endpoint": f"{oauth}/introspect/",
        "revocation_endpoint": f"{oauth}/revoke/",
        "device_authorization_endpoint": f"{oauth}/device/",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "response_types_supported": list(RESPONSE_TYPES),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "jwks_uri": f"{own}jwks/",
        "grant_types_supported": list(GRANT_TYPES),
        "id_token_signing_alg_values_supported": [application.algorithm],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "acr_values_supported": ["goauthentik.io/providers/oauth2/default"],
        "scopes_supported": list(application.scopes),
        "request_parameter_supported": False,
        "claims_supported": list(CLAIMS),
        "claims_parameter_supported": False,
        "code_challenge_methods_supported": ["plain", "S256"],
    }
