"""Reading and validating our own access tokens (RFC 9068 section 4, RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import jwt
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ropg_twisted.errors import InvalidRequestError, InvalidTokenError
from ropg_twisted.oauth.claims import CLAIMS
from ropg_twisted.oauth.forms import Form
from ropg_twisted.oauth.keys import KeyRing

INACTIVE: Final[Mapping[str, object]] = {"active": False}
"""The introspection response that says nothing else about a token (RFC 7662 section 2.2)."""

_USERNAME: Final = "preferred_username"

_PRINTABLE: Final = r"[\x20-\x7e]+"
"""The characters of a token (RFC 6749 appendix A.12)."""


def bearer_token(authorization: str | None, form: Form) -> str:
    """Return the access token in the header or form of a request (RFC 6750 sections 2.1, 2.2).

    Raises :exc:`InvalidTokenError` if there is none or it is malformed, and
    :exc:`InvalidRequestError` if there are two.
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
    """The access tokens of one issuer. ``keys``: returns the current key ring."""

    def __init__(self, issuer: str, keys: Callable[[], KeyRing]) -> None:
        self._issuer = issuer
        self._keys = keys

    def userinfo(self, token: str) -> dict[str, object] | None:
        """Return the claims about the user in ``token``, ``None`` if the token is not ours.

        Raises :exc:`InvalidTokenError` if it is ours but invalid or expired.
        """
        claims = self._verified(token)
        if claims is None:
            return None
        return {name: claims[name] for name in CLAIMS if name in claims}

    def introspect(self, token: str, client_id: str) -> Mapping[str, object] | None:
        """Return the introspection response about ``token``, ``None`` if the token is not ours.

        It has all claims of the token. A token that is invalid, has expired or was issued to a
        client other than ``client_id`` is inactive (RFC 7662 sections 2.2 and 4).
        """
        if not re.fullmatch(_PRINTABLE, token):
            return INACTIVE
        try:
            claims = self._verified(token)
        except InvalidTokenError:
            return INACTIVE
        if claims is None:
            return None
        if claims.get("aud") != client_id:
            return INACTIVE
        user = {"username": claims[_USERNAME]} if _USERNAME in claims else {}
        return {**user, **claims, "active": True, "token_type": "Bearer"}

    def _verified(self, token: str) -> dict[str, object] | None:
        """Return the claims of ``token``, ``None`` if it is not an access token of ours.

        Raises :exc:`InvalidTokenError` if it is ours but invalid or expired.
        """
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            return None
        if header.get("typ") != "at+jwt":
            return None
        ring = self._keys()
        keys = [key for key in (ring.signing, *ring.published) if key.kid == header.get("kid")]
        if not keys:
            raise InvalidTokenError
        key = keys[0]
        verification_key = key.private if key.public is None else PyJWK(key.public)
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                verification_key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                options={"require": ["iss", "sub", "exp"], "verify_aud": False},
            )
        except PyJWTError:
            raise InvalidTokenError from None
        return claims
