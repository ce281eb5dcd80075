"""The routes of the OpenID provider, and the response to each exception."""

from __future__ import annotations

from typing import ClassVar, Final

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug import exceptions

from ropg_twisted.api.introspection import IntrospectionEndpoint
from ropg_twisted.api.metadata import MetadataEndpoint
from ropg_twisted.api.token import TokenEndpoint
from ropg_twisted.api.userinfo import UserinfoEndpoint
from ropg_twisted.errors import (
    AbortedError,
    MethodNotAllowedError,
    NotFoundError,
    OAuthError,
    TemporarilyUnavailableError,
)
from ropg_twisted.grants.outcomes import outage_error
from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.metadata import (
    DISCOVERY_PATH,
    INTROSPECTION_PATH,
    JWKS_PATH,
    TOKEN_PATH,
    USERINFO_PATH,
)
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.server.responses import error_body, json_body, readiness_body
from ropg_twisted.verdict import UpstreamError

CACHE: Final = "public, max-age=300"
"""The Cache-Control header of the discovery document and the keys."""


class API:
    """The OpenID provider.

    ``drop_on_outage``: whether discovery drops the connection in an outage, if the request names no
    client that has a setting of its own.
    """

    app: ClassVar[Klein] = Klein()
    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        token: TokenEndpoint,
        userinfo: UserinfoEndpoint,
        introspection: IntrospectionEndpoint,
        metadata: MetadataEndpoint,
        readiness: IReadinessProbe,
        clients: Clients,
        *,
        drop_on_outage: bool,
    ) -> None:
        self._token = token
        self._userinfo = userinfo
        self._introspection = introspection
        self._metadata = metadata
        self._readiness = readiness
        self._clients = clients
        self._drop_on_outage = drop_on_outage

    @app.route(TOKEN_PATH, methods=["POST"])
    async def token(self, request: BoundedRequest) -> bytes:
        """Answer a token request (RFC 6749 section 3.2)."""
        return json_body(request, await self._token.answer(request))

    @app.route(USERINFO_PATH, methods=["GET", "POST"])
    async def userinfo(self, request: BoundedRequest) -> bytes:
        """Answer a userinfo request (OpenID Connect Core section 5.3)."""
        return json_body(request, await self._userinfo.answer(request))

    @app.route(INTROSPECTION_PATH, methods=["POST"])
    async def introspection(self, request: BoundedRequest) -> bytes:
        """Answer an introspection request (RFC 7662 section 2)."""
        return json_body(request, await self._introspection.answer(request))

    @app.route(DISCOVERY_PATH, methods=["GET"])
    async def discovery(self, request: BoundedRequest) -> bytes:
        """Return the discovery document (OpenID Connect Discovery 1.0 section 4).

        Some clients fetch it before each check, and recognize an outage only by a dropped
        connection here. ``?client_id=`` in the URL selects the setting of that client.
        """
        client_id = request.args.get(b"client_id", [b""])[0]
        client = self._clients.find(client_id.decode("latin-1"))
        drop_on_outage = self._drop_on_outage if client is None else client.drop_on_outage
        if drop_on_outage and (await self._readiness.probe()).reason is not None:
            raise AbortedError
        try:
            document = await self._metadata.discovery()
        except UpstreamError:
            raise outage_error(drop_on_outage=drop_on_outage) from None
        return json_body(request, document, cache="no-store" if drop_on_outage else CACHE)

    @app.route(JWKS_PATH, methods=["GET"])
    async def jwks(self, request: BoundedRequest) -> bytes:
        """Return the JWK Set (RFC 7517 section 5)."""
        return json_body(request, await self._metadata.jwks(), cache=CACHE)

    @app.route("/health", methods=["GET"])
    def health(self, request: BoundedRequest) -> bytes:
        """Return that the process is alive."""
        return json_body(request, {"status": "healthy"})

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: BoundedRequest) -> bytes:
        """Return whether a password could be checked now, and the reason if not."""
        return readiness_body(request, await self._readiness.probe())

    @app.handle_errors(OAuthError)
    def oauth_error(self, request: IRequest, failure: Failure) -> bytes:
        """Answer with the error, or drop the connection for an :exc:`AbortedError`."""
        error = failure.value
        assert isinstance(request, BoundedRequest)
        assert isinstance(error, OAuthError)
        if isinstance(error, AbortedError):
            request.abort()
            return b""
        return error_body(request, error)

    @app.handle_errors(exceptions.HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:
        """Answer a request for an unknown path, or with a method that its path does not accept."""
        error = failure.value
        if isinstance(error, exceptions.MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return error_body(request, MethodNotAllowedError(allowed))
        return error_body(request, NotFoundError())

    @app.handle_errors(Exception)
    def internal_error(self, request: IRequest, failure: Failure) -> bytes:
        """Log an internal error. The client gets no details of it."""
        assert isinstance(request, BoundedRequest)
        self.log.failure("internal_error", failure, request=request.id)
        return error_body(request, TemporarilyUnavailableError())
