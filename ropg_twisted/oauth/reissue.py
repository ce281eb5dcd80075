"""Authentik's id tokens, verified and issued again under our issuer with our key."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256, sha512

import jwt
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ropg_twisted.oauth.claims import with_aliases
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.tokens import sign
from ropg_twisted.settings.model import Client


class ForeignToken(Exception):
    """An id token that does not verify. Its text says why, and holds nothing of the token."""


def key_id(id_token: str) -> str | None:
    """The ``kid`` of the key that a token names. Raises :exc:`ForeignToken`."""
    try:
        kid = jwt.get_unverified_header(id_token).get("kid")
    except PyJWTError as error:
        raise ForeignToken(type(error).__name__) from None
    return kid if isinstance(kid, str) else None


class Reissuer:
    """Puts id tokens under our issuer, so that a client sees one issuer and one set of keys.

    ``keys``: tells the key ring now.
    """

    def __init__(self, issuer: str, keys: Callable[[], KeyRing]) -> None:
        self._issuer = issuer
        self._keys = keys

    def reissue(
        self, id_token: str, key: PyJWK, *, issuer: str, client: Client, access_token: object
    ) -> str:
        """The same token from us: all claims and times as they were but ``iss``, and aliases.

        It must have been signed by ``key`` for ``client`` under Authentik's ``issuer``. An
        ``at_hash`` is made anew, as its hash goes with our algorithm (OpenID Connect Core section
        3.1.3.6). Raises :exc:`ForeignToken`.
        """
        try:
            claims = jwt.decode(
                id_token,
                key,
                algorithms=[key.algorithm_name],
                audience=client.id,
                issuer=issuer,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except PyJWTError as error:
            raise ForeignToken(type(error).__name__) from None
        signing = self._keys().signing
        claims = {**with_aliases(claims, client), "iss": self._issuer}
        if "at_hash" in claims and isinstance(access_token, str):
            claims["at_hash"] = _half_hash(access_token, signing.algorithm)
        return sign(signing, "JWT", claims)


def _half_hash(token: str, algorithm: str) -> str:
    hashed = sha512 if algorithm == "EdDSA" else sha256
    digest = hashed(token.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")
