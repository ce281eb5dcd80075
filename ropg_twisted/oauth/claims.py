"""The claims about a user, by scope (OpenID Connect Core section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.names import split_name
from ropg_twisted.oauth.scopes import SCOPES
from ropg_twisted.settings.model import Client, NameSplit


def claims_of(user: User, scope: Iterable[str]) -> dict[str, object]:
    """Return the claims about ``user`` in ``scope`` (OpenID Connect Core section 5.4).

    They are those of Authentik's own scope mappings: ``profile`` includes the groups,
    ``given_name`` is the full name, and no e-mail address counts as verified.
    :func:`for_client` then divides the name.
    """
    scope = set(scope)
    claims: dict[str, object] = {"sub": user.sub}
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


CLAIMS: Final = (
    *claims_of(User("sub", "username", "name", "email", ("group",)), SCOPES),
    "family_name",
)
"""The names of all claims about a user."""


def for_client(claims: Mapping[str, object], client: Client) -> dict[str, object]:
    """Return ``claims`` as ``client`` expects them: its split of the name, and its aliases."""
    return _with_aliases(_with_split_name(claims, client.name_split), client)


def _with_split_name(claims: Mapping[str, object], rule: NameSplit) -> Mapping[str, object]:
    """Return ``claims`` with ``given_name`` and ``family_name`` (OpenID Connect Core section 5.1).

    A user without a name gets them from the user name. If there is a family name, it comes from a
    scope mapping in Authentik, and nothing is changed.
    """
    if rule is NameSplit.NONE or claims.get("family_name"):
        return claims
    for source in ("name", "preferred_username"):
        name = claims.get(source)
        if isinstance(name, str) and name.strip():
            given, family = split_name(name, rule)
            return {**claims, "given_name": given, "family_name": family}
    return claims


def _with_aliases(claims: Mapping[str, object], client: Client) -> dict[str, object]:
    """Return ``claims`` with copies of some of them under the client's own names.

    An alias never replaces a claim.
    """
    aliases = {new: claims[old] for new, old in client.aliases if old in claims}
    return {**aliases, **claims}
