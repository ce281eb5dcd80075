"""What tokens say about a person, by the scopes that a client asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ropg_twisted.interfaces import User
from ropg_twisted.settings.model import Client

SCOPES: Final = ("openid", "profile", "email", "groups")
DEFAULT_SCOPE: Final = ("openid", "profile", "email")
"""What a client gets that asks for none."""


def granted_scope(asked: Iterable[str], client: Client) -> tuple[str, ...]:
    """The scopes that ``client`` gets of those that it asks for.

    What it may not have is left out, as is what is not known here (OpenID Connect Core section
    3.1.2.1).
    """
    wanted = client.narrow((*(tuple(asked) or DEFAULT_SCOPE), *client.extra_scopes))
    return tuple(scope for scope in SCOPES if scope in wanted)


def with_aliases(claims: Mapping[str, Any], client: Client) -> dict[str, Any]:
    """The claims, with those that ``client`` wants under another name as well."""
    aliases = {new: claims[old] for new, old in client.aliases if old in claims}
    return {**aliases, **claims}


def claims_of(user: User, scope: Iterable[str]) -> dict[str, Any]:
    """The claims about ``user`` in ``scope``, ``sub`` in any (OpenID Connect Core section 5.4).

    As in Authentik's own scope mappings, ``profile`` brings the groups as well, ``given_name`` is
    the whole name, and no address counts as verified.
    """
    scope = set(scope)
    claims: dict[str, Any] = {"sub": user.sub}
    if "profile" in scope:
        claims["preferred_username"] = user.username
        if user.name:
            claims["name"] = claims["given_name"] = user.name
    if "email" in scope and user.email:
        claims["email"] = user.email
        claims["email_verified"] = False
    if scope & {"profile", "groups"}:
        claims["groups"] = list(user.groups)
    return claims


CLAIMS: Final = tuple(
    claims_of(User("sub", "username", "name", "email", ("group",)), SCOPES),
)
"""The names of all claims about a person."""
