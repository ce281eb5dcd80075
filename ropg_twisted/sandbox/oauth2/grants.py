"""Grants of users to applications, with their codes and tokens."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.sessions import Session
from ropg_twisted.sandbox.oauth2.applications import Application


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of a client; both are empty if it sends none."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """The right of an application to act for a user.

    ``auth_time``: when the user logged in. ``session``: the row of that login, None where
    there was none or it is gone. ``nonce``: what the client wants to find in its tokens.
    """

    application: Application
    account: Account
    scope: tuple[str, ...]
    auth_time: float
    session: Session | None = None
    nonce: str | None = field(default=None, repr=False)

    @property
    def offline(self) -> bool:
        """True if it has a refresh token, which outlives the other tokens."""
        return "offline_access" in self.scope

    def profile(self) -> dict[str, object]:
        """Return the claims about the user in the scopes, those of ``email`` first."""
        claims: dict[str, object] = {}
        if "email" in self.scope:
            claims |= {"email": self.account.email, "email_verified": False}
        if "profile" in self.scope:
            claims |= {
                "name": self.account.name,
                "given_name": self.account.name,
                "preferred_username": self.account.username,
                "nickname": self.account.username,
                "groups": [group.name for group in self.account.groups],
            }
        return claims

    def userinfo(self) -> dict[str, object]:
        """Return the claims of the userinfo endpoint."""
        nonce = {"nonce": self.nonce} if self.nonce else {}
        return {"sub": self.account.uid, **self.profile(), **nonce}

    def claims(self, issuer: str, now: int, lifetime: int) -> dict[str, object]:
        """Return the claims of an id token, but for its own id.

        ``sid`` and ``amr`` are those of the session, and go with it. There is no ``at_hash``.
        """
        claims: dict[str, object] = {
            "iss": issuer,
            "sub": self.account.uid,
            "aud": self.application.client_id,
            "exp": now + lifetime,
            "iat": now,
            "auth_time": int(self.auth_time),
            "acr": "goauthentik.io/providers/oauth2/default",
        }
        if self.session is not None and self.session.methods:
            claims["amr"] = list(self.session.methods)
        if self.nonce:
            claims["nonce"] = self.nonce
        if self.session is not None:
            claims["sid"] = sha256(self.session.sid.encode()).hexdigest()
        return {**claims, **self.profile()}


@dataclass(frozen=True, slots=True)
class Issued:
    """An issued token.

    ``expires``: a time on the clock. ``claims``: those of introspection. ``session``: the session
    with which it expires, ``None`` for a token that outlives the login.
    """

    grant: Grant
    expires: float
    claims: Mapping[str, object] = field(repr=False)
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code. ``challenge`` and ``method``: those of RFC 7636, if there were any.

    A code expires with the session of its grant.
    """

    grant: Grant
    redirect_uri: str
    expires: float
    challenge: str | None = field(repr=False)
    method: str

    def fits(self, verifier: str | None) -> bool:
        """Return whether the verifier fits the challenge. Without one there must be none."""
        if self.challenge is None or verifier is None:
            return not self.challenge and not verifier
        if self.method == "S256":
            digest = sha256(verifier.encode()).digest()
            return urlsafe_b64encode(digest).rstrip(b"=").decode() == self.challenge
        return verifier == self.challenge
