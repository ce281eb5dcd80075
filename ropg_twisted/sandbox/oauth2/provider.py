"""The OAuth2 provider without HTTP: issues and validates codes and tokens.

RFC 6749 sections 4 to 6, RFC 7662 and OpenID Connect Core, as Authentik reads them.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from uuid import uuid4

import jwt

from ropg_twisted.sandbox.accounts import Accounts
from ropg_twisted.sandbox.flow.sessions import Clock, Session, Sessions
from ropg_twisted.sandbox.oauth2.applications import Application, Applications
from ropg_twisted.sandbox.oauth2.authorization import AuthorizationRequest, Form, Stop
from ropg_twisted.sandbox.oauth2.grants import Code, Credentials, Grant, Issued
from ropg_twisted.sandbox.oauth2.metadata import issuer
from ropg_twisted.sandbox.oauth2.signing import SigningKey

ACCESS_LIFETIME = 60 * 60
REFRESH_LIFETIME = 30 * 24 * 60 * 60
"""Seconds, which are what Authentik sets by itself."""

_ALPHABET = string.ascii_letters + string.digits


class TokenError(Exception):
    """A request for tokens, or a token, that is refused with this error code."""


class Provider:
    """Codes and tokens of all applications, on the clock of the sandbox."""

    def __init__(
        self, clock: Clock, accounts: Accounts, sessions: Sessions, applications: Applications
    ) -> None:
        self._clock = clock
        self._applications = applications
        self._accounts = accounts
        self._sessions = sessions
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Issued] = {}
        self._refresh: dict[str, Issued] = {}

    @cached_property
    def key(self) -> SigningKey:
        """The current signing key. The first one is made when it is needed."""
        return SigningKey.make(self._clock.seconds())

    def rotate_key(self) -> None:
        """Replace the signing key. The old one is no longer published."""
        self.key = SigningKey.make(self._clock.seconds())

    def jwks(self, application: Application) -> dict[str, object]:
        """Return the key set of an application; ``{}`` without a key."""
        return {"keys": [dict(self.key.public)]} if application.has_key else {}

    def authorize(self, query: Form, session: Session | None) -> str | Stop:
        """Return the redirect with a code or an error, or the reason for none.

        ``session``: the row that the browser brings.
        """
        request = AuthorizationRequest.read(query, self._applications)
        if isinstance(request, Stop):
            return request
        account = None if session is None else session.account
        if problem := request.problem(account):
            return request.with_error(*problem)
        if session is None or account is None:
            return Stop.NOT_LOGGED_IN
        if not request.application.allows(account):
            return Stop.REFUSED
        code = uuid4().hex
        self._codes[code] = request.granted(account, session, self._clock.seconds())
        return request.with_code(code)

    def token(self, base: str, form: Form, client: Credentials) -> dict[str, object]:
        """Return the token response at this base URL. Raises :exc:`TokenError`.

        As in Authentik, ``password`` and ``client_credentials`` are one grant, which takes app
        passwords and no others, looks at no client secret, and gives no refresh token. The
        service account that Authentik makes for a client without a user does not exist here.
        """
        application = self._applications.find_client(client.id)
        if application is None:
            raise TokenError("invalid_client")
        match form.get("grant_type"):
            case "authorization_code" | "refresh_token" if not application.accepts(client.secret):
                raise TokenError("invalid_client")
            case "authorization_code":
                grant = self._redeem_code(application, form)
                return self._issue(base, grant, refreshable=grant.offline)
            case "refresh_token":
                grant = self._redeem_refresh_token(application, form)
                return self._issue(base, grant, refreshable=True)
            case "password" | "client_credentials":
                grant = self._check_app_password(application, form)
                return self._issue(base, grant, refreshable=False)
            case _:
                raise TokenError("unsupported_grant_type")

    def userinfo(self, token: str) -> dict[str, object]:
        """Return the claims for an access token.

        Raises :exc:`TokenError` with ``invalid_token`` or ``insufficient_scope``.
        """
        issued = self._access.get(token)
        if issued is None or not self._lives(issued.expires, issued.session):
            raise TokenError("invalid_token")
        if "openid" not in issued.grant.scope:
            raise TokenError("insufficient_scope")
        return issued.grant.userinfo()

    def introspect(self, token: str, client: Credentials) -> dict[str, object]:
        """Return the introspection of a client's own token (RFC 7662), if its secret is right."""
        issued = self._access.get(token) or self._refresh.get(token)
        application = self._applications.find_client(client.id)
        if (
            issued is None
            or issued.grant.application is not application
            or application.secret != client.secret
            or not self._lives(issued.expires, issued.session)
        ):
            return {"active": False}
        scope = " ".join(issued.grant.scope)
        return {**issued.claims, "active": True, "scope": scope, "client_id": client.id}

    def _redeem_code(self, application: Application, form: Form) -> Grant:
        """Redeem a code. One that is refused can be redeemed later."""
        if not form.get("code"):
            raise TokenError("invalid_grant")
        redirect_uri = form.get("redirect_uri", "")
        if redirect_uri not in application.redirect_uris:
            raise TokenError("invalid_client")
        code = self._codes.get(form["code"])
        if (
            code is None
            or code.grant.application is not application
            or code.redirect_uri != redirect_uri
            or not self._lives(code.expires, code.grant.session)
            or not code.fits(form.get("code_verifier"))
        ):
            raise TokenError("invalid_grant")
        del self._codes[form["code"]]
        return code.grant

    def _redeem_refresh_token(self, application: Application, form: Form) -> Grant:
        """Redeem a refresh token. Its scope stays the same."""
        token = form.get("refresh_token", "")
        issued = self._refresh.get(token)
        if (
            issued is None
            or issued.grant.application is not application
            or not self._lives(issued.expires, issued.session)
        ):
            raise TokenError("invalid_grant")
        scope = application.allowed(form.get("scope", "").split()) or issued.grant.scope
        if "offline_access" not in scope or not set(scope) <= set(issued.grant.scope):
            raise TokenError("invalid_scope")
        del self._refresh[token]
        return replace(issued.grant, nonce=None)

    def _check_app_password(self, application: Application, form: Form) -> Grant:
        """Look up a user by user name, not by mail, and compare the app password."""
        name = form.get("username", "")
        account = self._accounts.find(name)
        if (
            account is None
            or account.username != name
            or account.app_password is None
            or account.app_password != form.get("password")
            or not application.allows(account)
        ):
            raise TokenError("invalid_grant")
        scope = application.allowed(form.get("scope", "").split())
        return Grant(application, account, scope, self._clock.seconds())

    def _issue(self, base: str, grant: Grant, *, refreshable: bool) -> dict[str, object]:
        """Issue tokens. After the end of a session, only the time of its login is known."""
        now, application = self._clock.seconds(), grant.application
        if grant.session is not None and not self._sessions.holds(grant.session):
            grant = replace(grant, session=None)
        scope = " ".join(grant.scope)
        claims = grant.claims(issuer(base, application), int(now), ACCESS_LIFETIME)
        claims["jti"] = _random_text(40)
        for_access = {"azp": application.client_id, "uid": _random_text(40), "scope": scope}
        access_token = self._sign(application, {**claims, **for_access})
        self._access[access_token] = Issued(grant, now + ACCESS_LIFETIME, claims, grant.session)
        answer: dict[str, object] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "scope": scope,
            "expires_in": ACCESS_LIFETIME,
            "id_token": self._sign(application, claims),
        }
        if refreshable:
            refresh_token = answer["refresh_token"] = _random_text(128)
            self._refresh[refresh_token] = Issued(grant, now + REFRESH_LIFETIME, claims)
        return answer

    def _sign(self, application: Application, claims: Mapping[str, object]) -> str:
        if application.has_key:
            return self.key.sign(claims)
        return jwt.encode(dict(claims), application.secret, "HS256")

    def _lives(self, expires: float, session: Session | None) -> bool:
        in_time = expires > self._clock.seconds()
        return in_time and (session is None or self._sessions.holds(session))


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
