"""Authentik's token responses, with the id token signed again under our issuer."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256, sha512

from jwt.utils import base64url_encode

from ropg_twisted.interfaces import GrantedTokens, UpstreamTokenResponse
from ropg_twisted.oauth.claims import for_client
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.tokens import sign
from ropg_twisted.settings.model import Client, SigningAlgorithm


class Reissuer:
    """Signs Authentik's id tokens again, so that clients see one issuer and one set of keys.

    ``keys``: returns the current key ring.
    """

    def __init__(self, issuer: str, keys: Callable[[], KeyRing]) -> None:
        self._issuer = issuer
        self._keys = keys

    def reissue(self, tokens: GrantedTokens, client: Client) -> UpstreamTokenResponse:
        """Return the token response for ``client``. Access and refresh tokens stay Authentik's.

        The id token keeps its claims and times, except ``iss`` and ``at_hash``, and gets the
        client's split of the name and its aliases. The hash function of ``at_hash`` depends on
        the algorithm of our key (OpenID Connect Core section 3.1.3.6).
        """
        response = tokens.response
        if tokens.id_claims is None:
            return response
        key = self._keys().signing
        claims = {**for_client(tokens.id_claims, client), "iss": self._issuer}
        access_token = response.get("access_token")
        if "at_hash" in claims and isinstance(access_token, str):
            claims["at_hash"] = _at_hash(access_token, key.algorithm)
        return {**response, "id_token": sign(key, "JWT", claims)}


def _at_hash(access_token: str, algorithm: str) -> str:
    # By hand: PyJWT's compute_hash_digest() does not know EdDSA.
    hash_function = sha512 if algorithm == SigningAlgorithm.EDDSA else sha256
    digest = hash_function(access_token.encode()).digest()
    return base64url_encode(digest[: len(digest) // 2]).decode("ascii")
