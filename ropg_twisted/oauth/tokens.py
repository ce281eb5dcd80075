"""The tokens that a verified password is answered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt

from ropg_twisted.interfaces import Person
from ropg_twisted.oauth.claims import claims_of, granted_scope
from ropg_twisted.oauth.keys import SigningKey
from ropg_twisted.oauth.request import PasswordGrant


class TokenIssuer:
    """Signs access tokens (RFC 9068) and id tokens (OpenID Connect Core section 2).

    ``lifetime``: seconds. ``now``: the wall clock, in seconds since the epoch.
    """

    def __init__(
        self, issuer: str, key: SigningKey, lifetime: int, now: Callable[[], float]
    ) -> None:
        self._issuer = issuer
        self._key = key
        self._lifetime = lifetime
        self._now = now

    def issue(self, client_id: str, grant: PasswordGrant, person: Person) -> dict[str, Any]:
        """The token response of RFC 6749 section 5.1; with ``openid``, an id token is in it.

        Both tokens name the client as their audience, as Authentik's own do; their types (``JWT``
        and ``at+jwt``) keep them apart.
        """
        scope = granted_scope(grant.scope)
        now = int(self._now())
        claims = {
            **claims_of(person, scope),
            "iss": self._issuer,
            "aud": client_id,
            "azp": client_id,
            "iat": now,
            "exp": now + self._lifetime,
            "auth_time": now,
            "amr": ["pwd"],
        }
        response: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": self._sign(
                "at+jwt", {**claims, "client_id": client_id, "scope": " ".join(scope)}
            ),
            "expires_in": self._lifetime,
            "scope": " ".join(scope),
        }
        if "openid" in scope:
            nonce = {} if grant.nonce is None else {"nonce": grant.nonce}
            response["id_token"] = self._sign("JWT", {**claims, **nonce})
        return response

    def _sign(self, kind: str, claims: dict[str, Any]) -> str:
        header = {"typ": kind}
        if self._key.kid is not None:
            header["kid"] = self._key.kid
        return jwt.encode(
            {**claims, "jti": str(uuid4())},
            self._key.private,
            algorithm=self._key.algorithm,
            headers=header,
        )
