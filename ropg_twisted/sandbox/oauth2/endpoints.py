"""The OAuth2 provider on HTTP: everything below ``/application/o/``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlencode
from uuid import uuid4

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ropg_twisted.sandbox.flow.sessions import Sessions
from ropg_twisted.sandbox.http import login, pages
from ropg_twisted.sandbox.http.cookies import session_cookie, set_cookies
from ropg_twisted.sandbox.http.outposts import OutpostTokens
from ropg_twisted.sandbox.http.wire import (
    base_url,
    read_client,
    read_credentials,
    read_form,
    read_query,
    send_error,
    send_html,
    send_json,
    send_redirect,
)
from ropg_twisted.sandbox.oauth2.applications import Application, Applications
from ropg_twisted.sandbox.oauth2.authorization import Stop
from ropg_twisted.sandbox.oauth2.metadata import discovery_document
from ropg_twisted.sandbox.oauth2.provider import Provider, TokenError

METHODS = ("GET", "POST", "HEAD", "OPTIONS")

DESCRIPTIONS: Mapping[str, str] = {
    "invalid_client": (
        "Client authentication failed (e.g., unknown client, no client authentication included, "
        "or unsupported authentication method)"
    ),
    "invalid_grant": (
        "The provided authorization grant or refresh token is invalid, expired, revoked, does "
        "not match the redirection URI used in the authorization request, or was issued to "
        "another client"
    ),
    "invalid_scope": (
        "The requested scope is invalid, unknown, malformed, or exceeds the scope granted by the "
        "resource owner"
    ),
    "unsupported_grant_type": (
        "The authorization grant type is not supported by the authorization server"
    ),
    "invalid_token": (
        "The access token provided is expired, revoked, malformed, or invalid for other reasons"
    ),
    "insufficient_scope": (
        "The request requires higher privileges than provided by the access token"
    ),
}
"""The descriptions that Authentik gives with its error codes."""


class OAuth:
    """The endpoints of the provider."""

    app: ClassVar[Klein] = Klein()

    def __init__(
        self,
        provider: Provider,
        sessions: Sessions,
        applications: Applications,
        outpost_tokens: OutpostTokens,
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._applications = applications
        self._outpost_tokens = outpost_tokens

    @property
    def resource(self) -> IResource:
        """The resource at ``/application/o/``."""
        resource: IResource = self.app.resource()
        return resource

    @app.route("/<slug>/.well-known/openid-configuration", methods=["GET"])
    def discovery(self, request: IRequest, slug: str) -> bytes:
        """Return the discovery document of an application."""
        document = discovery_document(base_url(request), self._application(slug))
        return send_json(request, 200, document, allow=None)

    @app.route("/<slug>/jwks/", methods=["GET"])
    def jwks(self, request: IRequest, slug: str) -> bytes:
        """Return the keys of an application."""
        return send_json(request, 200, self._provider.jwks(self._application(slug)), allow=None)

    @app.route("/authorize/", methods=["GET"])
    def authorize(self, request: IRequest) -> bytes:
        """Redirect to the client, or to the login. A refusal is a page with status 200."""
        query = read_query(request)
        if not query:
            raise NotFound
        client = read_client(request, self._outpost_tokens.valid())
        row = self._sessions.find(client.cookie)
        match self._provider.authorize(query, row):
            case str(url):
                if row is not None and row.account is not None:
                    self._sessions.touch(row, client.address)
                    set_cookies(request, [session_cookie(client, self._sessions, row)])
                return send_redirect(request, url)
            case Stop.NOT_LOGGED_IN:
                back = urlencode({"next": request.uri.decode("latin-1")})
                return send_redirect(request, f"/if/flow/{login.FLOW}/?{back}")
            case Stop.REFUSED as stop:
                return send_html(request, 200, pages.refusal(stop.value))
            case Stop() as stop:
                return send_html(request, 400, pages.refusal(stop.value))

    @app.route("/token/", methods=["POST"])
    def token(self, request: IRequest) -> bytes:
        """Return tokens. Every error has the status 400, ``invalid_client`` too."""
        form = read_form(request)
        client = read_credentials(request, form)
        try:
            return _send(request, 200, self._provider.token(base_url(request), form, client))
        except TokenError as error:
            code = str(error)
            described = {"error": code, "error_description": DESCRIPTIONS[code]}
            return _send(request, 400, {**described, "request_id": uuid4().hex})

    @app.route("/userinfo/", methods=["GET", "POST"])
    def userinfo(self, request: IRequest) -> bytes:
        """Return the claims of an access token."""
        try:
            return _send(request, 200, self._provider.userinfo(_bearer(request)))
        except TokenError as error:
            code = str(error)
            said = f'error="{code}", error_description="{DESCRIPTIONS[code]}"'
            request.setHeader("www-authenticate", said)
            return send_html(request, 403 if code == "insufficient_scope" else 401)

    @app.route("/introspect/", methods=["POST"])
    def introspect(self, request: IRequest) -> bytes:
        """Return whether a token is valid (RFC 7662)."""
        form = read_form(request)
        client = read_credentials(request, form)
        return _send(request, 200, self._provider.introspect(form.get("token", ""), client))

    def _application(self, slug: str) -> Application:
        """Return the application with this slug. Raises ``NotFound``."""
        application = self._applications.find(slug)
        if application is None:
            raise NotFound
        return application

    @app.handle_errors(HTTPException)
    def refuse(self, request: IRequest, failure: Failure) -> bytes:
        """Answer with an error page, as Authentik does, with the allowed methods."""
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            known = {*(error.valid_methods or ()), "OPTIONS"}
            allow = ", ".join(method for method in METHODS if method in known)
            return send_html(request, 405, allow=allow)
        return send_error(request, failure)


def _bearer(request: IRequest) -> str:
    """Return the access token in the header, the form or the URL (RFC 6750)."""
    scheme, _, token = (request.getHeader("authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return read_form(request).get("access_token") or read_query(request).get("access_token", "")


def _send(request: IRequest, status: int, body: Mapping[str, object]) -> bytes:
    """Answer with JSON that must not be cached."""
    request.setHeader("cache-control", "no-store")
    request.setHeader("pragma", "no-cache")
    return send_json(request, status, body, allow=None)
