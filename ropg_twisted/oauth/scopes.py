"""The scopes that a client gets (RFC 6749 section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ropg_twisted.settings.model import Client

DEFAULT_SCOPE: Final = ("openid", "profile", "email")
"""The scope of a request without one."""

SCOPES: Final = (*DEFAULT_SCOPE, "groups")
"""The scopes of our own tokens."""


def allowed_scope(requested: Iterable[str], client: Client) -> tuple[str, ...]:
    """Return the requested and extra scopes that ``client`` may have, for Authentik to grant."""
    return client.filter_scope((*(tuple(requested) or DEFAULT_SCOPE), *client.extra_scopes))


def granted_scope(requested: Iterable[str], client: Client) -> tuple[str, ...]:
    """Return the scopes of our own tokens for ``client``.

    Unknown scopes, and those that it may not have, are ignored (OpenID Connect Core section
    3.1.2.1).
    """
    allowed = allowed_scope(requested, client)
    return tuple(scope for scope in SCOPES if scope in allowed)
