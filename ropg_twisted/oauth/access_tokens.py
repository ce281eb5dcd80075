"""Our own access tokens, read back (RFC 9068 section 4, RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jwt
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ropg_twisted.errors import InvalidRequestError, InvalidTokenError
from ropg_twisted.oauth.claims import CLAIMS
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.request import Form


def bearer_token(authorization: str | None, form: Form) -> str:
    """The access token of a request, in its header or its form (RFC 6750 sections 2.1 and 2.2).

    Raises :exc:`InvalidTokenError` if there is none, :exc:`InvalidRequestError` if there are two.
    """
    scheme, _, in_header = (authorization or "").partition(" ")
    in_form = form.get("access_token")
    if scheme.lower() != "bearer":
        in_header = ""
    if in_header and in_form:
        raise InvalidRequestError("The access token comes in more than one way")
    token = in_header.strip() or in_form
    if not token:
        raise InvalidTokenError(given=False)
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise InvalidTokenError
    return token


class AccessTokens:
    """The access tokens of one issuer. ``keys``: tells the key ring now."""

    def __init__(self, issuer: str, keys: Callable[[], KeyRing]) -> None:
        self._issuer = issuer
        self._keys = keys

    def userinfo(self, token: str) -> dict[str, Any] | None:
        """What a token of ours says about its person; ``None`` for a token that is not ours.

        Raises :exc:`InvalidTokenError` for one of ours that is not valid, or not any more.
        """
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            return None
        if header.get("typ") != "at+jwt":
            return None
        ring = self._keys()
        ours = [key for key in (ring.signing, *ring.published) if key.kid == header.get("kid")]
        if not ours:
            raise InvalidTokenError
        key = ours[0]
        verifying = key.private if key.public is None else PyJWK(key.public)
        try:
            claims = jwt.decode(
                token,
                verifying,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                options={"require": ["iss", "sub", "exp"], "verify_aud": False},
            )
        except PyJWTError:
            raise InvalidTokenError from None
        return {name: claims[name] for name in CLAIMS if name in claims}
