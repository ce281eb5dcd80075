"""Authentik's tokens as our clients get them: the id token under our issuer, with our key."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256, sha512
from typing import Any

from ropg_twisted.interfaces import GrantedTokens
from ropg_twisted.oauth.claims import with_aliases
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.tokens import sign
from ropg_twisted.settings.model import Client


class Reissuer:
    """Puts id tokens under our issuer, so that a client sees one issuer and one set of keys.

    ``keys``: tells the key ring now.
    """

    def __init__(self, issuer: str, keys: Callable[[], KeyRing]) -> None:
        self._issuer = issuer
        self._keys = keys

    def reissue(self, tokens: GrantedTokens, client: Client) -> dict[str, Any]:
        """The token response for ``client``; access and refresh tokens stay Authentik's.

        All claims and times of the id token are as they were but ``iss``, and aliases. An
        ``at_hash`` is made anew, as its hash goes with our algorithm (OpenID Connect Core section
        3.1.3.6).
        """
        response = dict(tokens.response)
        if tokens.id_claims is None:
            return response
        signing = self._keys().signing
        claims = {**with_aliases(tokens.id_claims, client), "iss": self._issuer}
        access_token = response.get("access_token")
        if "at_hash" in claims and isinstance(access_token, str):
            claims["at_hash"] = _at_hash(access_token, signing.algorithm)
        return {**response, "id_token": sign(signing, "JWT", claims)}


def _at_hash(token: str, algorithm: str) -> str:
    hashed = sha512 if algorithm == "EdDSA" else sha256
    digest = hashed(token.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")
