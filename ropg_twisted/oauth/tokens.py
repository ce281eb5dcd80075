"""Our own access tokens and id tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NotRequired, TypedDict
from uuid import uuid4

import jwt

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.claims import claims_of, for_client
from ropg_twisted.oauth.keys import KeyRing, SigningKey
from ropg_twisted.oauth.request import PasswordGrant
from ropg_twisted.oauth.scopes import granted_scope
from ropg_twisted.settings.model import Client


class TokenResponse(TypedDict):
    """A token response (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3)."""

    token_type: str
    access_token: str
    expires_in: int
    scope: str
    id_token: NotRequired[str]


class TokenIssuer:
    """Signs access tokens (RFC 9068) and id tokens (OpenID Connect Core section 2).

    ``keys``: returns the current key ring. ``lifetime``: of a token, in seconds. ``now``: returns
    the time in seconds since the epoch.
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
    ) -> TokenResponse:
        """Return the token response. It has an id token if ``openid`` is in its scope.

        The audience of both tokens is the client, as in Authentik's own; they differ in their
        types, ``JWT`` and ``at+jwt``. ``amr``: the authentication methods (RFC 8176).
        """
        scope = granted_scope(grant.scope, client)
        now = int(self._now())
        claims = {
            **for_client(claims_of(user, scope), client),
            "iss": self._issuer,
            "aud": client.id,
            "azp": client.id,
            "iat": now,
            "exp": now + self._lifetime,
            "auth_time": now,
            "amr": amr,
        }
        response: TokenResponse = {
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

    def _sign(self, typ: str, claims: dict[str, object]) -> str:
        return sign(self._keys().signing, typ, {**claims, "jti": str(uuid4())})


def sign(key: SigningKey, typ: str, claims: Mapping[str, object]) -> str:
    """Return a JWT signed by ``key``. ``typ``: the type in its header (RFC 7519 section 5.1)."""
    header = {"typ": typ} if key.kid is None else {"typ": typ, "kid": key.kid}
    return jwt.encode(dict(claims), key.private, algorithm=key.algorithm, headers=header)
