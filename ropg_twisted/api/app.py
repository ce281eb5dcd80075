"""Every route, and what becomes of every exception."""

from __future__ import annotations

from typing import ClassVar, cast

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug import exceptions

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
from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.metadata import DISCOVERY_PATH, JWKS_PATH, TOKEN_PATH, USERINFO_PATH
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.server.responses import error_body, json_body, readiness_body
from ropg_twisted.server.site import BoundedChannel
from ropg_twisted.verdict import UnverifiableError

CACHE = "public, max-age=300"
"""How long discovery and keys may be kept."""


class API:
    """The OpenID provider that clients see.

    ``drop_on_outage``: whether an outage drops the connections of clients without a setting of
    their own.
    """

    app: ClassVar[Klein] = Klein()
    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        token: TokenEndpoint,
        userinfo: UserinfoEndpoint,
        metadata: MetadataEndpoint,
        readiness: IReadinessProbe,
        clients: Clients,
        *,
        drop_on_outage: bool,
    ) -> None:
        self._token = token
        self._userinfo = userinfo
        self._metadata = metadata
        self._readiness = readiness
        self._clients = clients
        self._drop_on_outage = drop_on_outage

    @app.route(TOKEN_PATH, methods=["POST"])
    async def token(self, request: BoundedRequest) -> bytes:
        """Grant tokens."""
        return json_body(request, await self._token.answer(request))

    @app.route(USERINFO_PATH, methods=["GET", "POST"])
    async def userinfo(self, request: BoundedRequest) -> bytes:
        """Say whose an access token is."""
        return json_body(request, await self._userinfo.answer(request))

    @app.route(DISCOVERY_PATH, methods=["GET"])
    async def discovery(self, request: BoundedRequest) -> bytes:
        """OpenID Connect Discovery 1.0 section 4.

        Some clients fetch it before each check, and take a failure of it, but no other answer, for
        an outage. A client whose outages are others than usual names itself in the URL, by
        ``?client_id=``.
        """
        [named] = request.args.get(b"client_id", [b""])[:1]
        client = self._clients.find(named.decode("latin-1"))
        drop_on_outage = self._drop_on_outage if client is None else client.drop_on_outage
        if drop_on_outage and (await self._readiness.probe()).reason is not None:
            raise AbortedError
        try:
            document = await self._metadata.discovery()
        except UnverifiableError:
            raise (AbortedError if drop_on_outage else TemporarilyUnavailableError) from None
        return json_body(request, document, cache="no-store" if drop_on_outage else CACHE)

    @app.route(JWKS_PATH, methods=["GET"])
    async def jwks(self, request: BoundedRequest) -> bytes:
        """A JWK Set (RFC 7517 section 5)."""
        return json_body(request, await self._metadata.jwks(), cache=CACHE)

    @app.route("/health", methods=["GET"])
    def health(self, request: BoundedRequest) -> bytes:
        """The process lives."""
        return json_body(request, {"status": "healthy"})

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: BoundedRequest) -> bytes:
        """A password could be checked now, or why not."""
        return readiness_body(request, await self._readiness.probe())

    @app.handle_errors(OAuthError)
    def oauth_error(self, request: IRequest, failure: Failure) -> bytes:
        """An error that has an answer of its own, or none at all."""
        error = failure.value
        assert isinstance(error, OAuthError)
        if isinstance(error, AbortedError):
            cast(BoundedChannel, cast(BoundedRequest, request).channel).abort()
            return b""
        return error_body(request, error)

    @app.handle_errors(exceptions.HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:
        """A path or a method that is not here."""
        error = failure.value
        if isinstance(error, exceptions.MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return error_body(request, MethodNotAllowedError(allowed))
        return error_body(request, NotFoundError())

    @app.handle_errors(Exception)
    def internal_error(self, request: IRequest, failure: Failure) -> bytes:
        """A mistake of ours: the client learns nothing of it."""
        self.log.failure("internal_error", failure, request=cast(BoundedRequest, request).id)
        return error_body(request, TemporarilyUnavailableError())
