"""The tokens that a verified password is answered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import jwt

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.claims import claims_of, granted_scope, with_aliases
from ropg_twisted.oauth.keys import KeyRing, SigningKey
from ropg_twisted.oauth.request import PasswordGrant
from ropg_twisted.settings.model import Client


class TokenIssuer:
    """Signs access tokens (RFC 9068) and id tokens (OpenID Connect Core section 2).

    ``keys``: tells the key ring now. ``lifetime``: seconds. ``now``: the wall clock, in seconds
    since the epoch.
    """

    def __init__(
        self,
        issuer: str,
        keys: Callable[[], KeyRing],
        lifetime: int,
        now: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._keys = keys
        self._lifetime = lifetime
        self._now = now

    def issue(
        self, client: Client, grant: PasswordGrant, user: User, *, amr: list[str]
    ) -> dict[str, Any]:
        """The token response of RFC 6749 section 5.1; with ``openid``, an id token is in it.

        Both tokens name the client as their audience, as Authentik's own do; their types (``JWT``
        and ``at+jwt``) keep them apart. ``amr``: how the person proved to be it (RFC 8176).
        """
        scope = granted_scope(grant.scope, client)
        now = int(self._now())
        claims = {
            **with_aliases(claims_of(user, scope), client),
            "iss": self._issuer,
            "aud": client.id,
            "azp": client.id,
            "iat": now,
            "exp": now + self._lifetime,
            "auth_time": now,
            "amr": amr,
        }
        response: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": self._sign(
                "at+jwt", {**claims, "client_id": client.id, "scope": " ".join(scope)}
            ),
            "expires_in": self._lifetime,
            "scope": " ".join(scope),
        }
        if "openid" in scope:
            nonce = {} if grant.nonce is None else {"nonce": grant.nonce}
            response["id_token"] = self._sign("JWT", {**claims, **nonce})
        return response

    def _sign(self, kind: str, claims: dict[str, Any]) -> str:
        return sign(self._keys().signing, kind, {**claims, "jti": str(uuid4())})


def sign(key: SigningKey, kind: str, claims: Mapping[str, Any]) -> str:
    """A JWT of type ``kind`` by ``key``."""
    header = {"typ": kind} if key.kid is None else {"typ": kind, "kid": key.kid}
    return jwt.encode(dict(claims), key.private, algorithm=key.algorithm, headers=header)
