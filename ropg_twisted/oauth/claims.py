"""What tokens say about a person, by the scopes that a client asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ropg_twisted.interfaces import Person

SCOPES: Final = ("openid", "profile", "email", "groups")
DEFAULT_SCOPE: Final = ("openid", "profile", "email")
"""What a client gets that asks for none."""


def granted_scope(asked: Iterable[str]) -> tuple[str, ...]:
    """The scopes that a client gets; those that are not known here are left out.

    OpenID Connect Core 1.0 section 3.1.2.1: unknown scopes are ignored.
    """
    asked = set(asked)
    if not asked:
        return DEFAULT_SCOPE
    return tuple(scope for scope in SCOPES if scope in asked)


def claims_of(person: Person, scope: Iterable[str]) -> dict[str, Any]:
    """The claims about ``person`` in ``scope``, ``sub`` in any (OpenID Connect Core section 5.4).

    As in Authentik's own scope mappings, ``profile`` brings the groups as well, ``given_name`` is
    the whole name, and no address counts as verified.
    """
    scope = set(scope)
    claims: dict[str, Any] = {"sub": person.sub}
    if "profile" in scope:
        claims["preferred_username"] = person.username
        if person.name:
            claims["name"] = claims["given_name"] = person.name
    if "email" in scope and person.email:
        claims["email"] = person.email
        claims["email_verified"] = False
    if scope & {"profile", "groups"}:
        claims["groups"] = list(person.groups)
    return claims


CLAIMS: Final = tuple(
    claims_of(Person("sub", "username", "name", "email", ("group",)), SCOPES),
)
"""The names of all claims about a person."""
