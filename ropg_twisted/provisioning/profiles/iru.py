"""Iru Passport, once Kandji Passport. It is set up in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ropg_twisted.provisioning.profiles.registration import Registration

SCOPES: Final = "openid profile email groups"


def profile(registration: Registration) -> bytes:
    """Return a table of fields and values to copy."""
    rows = {
        "Identity provider": "other (a custom OpenID Connect provider)",
        "Authentication": "OpenID Connect for the web login, ROPG for passwords",
        "Discovery URL": registration.discovery_url,
        "Issuer": registration.issuer,
        "Token endpoint": registration.token_endpoint,
        "Client ID": registration.client.id,
        "Client secret": registration.secret or "none: the client is public",
        "Redirect URI": registration.client.redirect_uri or "the one that Iru shows",
        "Scopes": SCOPES,
        "User name": "claim preferred_username",
        "Given name": "claim given_name",
        "Family name": "claim family_name",
        "Groups": "claim groups",
    }
    width = max(map(len, rows))
    lines = [f"{field:{width}}  {value}\n" for field, value in rows.items()]
    return "".join(lines).encode()


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    if registration.client.redirect_uri is None:
        yield "Register the redirect URI that Iru shows in Authentik's provider."
    if registration.client.profile != "iru":
        yield (
            f"Iru needs the claim family_name. Give the client {registration.client.id} "
            'profile = "iru" in the settings file.'
        )
