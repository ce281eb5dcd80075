"""Every route, and what becomes of every exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug import exceptions

from ropg_twisted.errors import (
    Aborted,
    MethodNotAllowed,
    NotFound,
    OAuthError,
    TemporarilyUnavailable,
)
from ropg_twisted.interfaces import IReadiness
from ropg_twisted.oauth.discovery import DISCOVERY_PATH, JWKS_PATH, TOKEN_PATH
from ropg_twisted.web.answers import error_body, json_body, readiness_body
from ropg_twisted.web.request import BoundedRequest
from ropg_twisted.web.token import TokenEndpoint

CACHE = "public, max-age=300"
"""How long discovery and keys may be kept."""


class Provider:
    """The OpenID provider that clients see.

    ``discovery``, ``jwks``: the two documents to publish. ``aborts``: whether an outage cuts
    connections; then there is no discovery document in one either.
    """

    app: ClassVar[Klein] = Klein()
    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        token_endpoint: TokenEndpoint,
        readiness: IReadiness,
        discovery: Mapping[str, Any],
        jwks: Mapping[str, Any],
        *,
        aborts: bool,
    ) -> None:
        self._token_endpoint = token_endpoint
        self._readiness = readiness
        self._discovery = discovery
        self._jwks = jwks
        self._aborts = aborts

    @app.route(TOKEN_PATH, methods=["POST"])
    async def token(self, request: BoundedRequest) -> bytes:
        """Check a password."""
        return json_body(request, await self._token_endpoint.answer(request))

    @app.route(DISCOVERY_PATH, methods=["GET"])
    async def discovery(self, request: BoundedRequest) -> bytes:
        """OpenID Connect Discovery 1.0 section 4.

        Some clients fetch it before each check, and take a failure of it, but no other answer, for
        an outage.
        """
        if self._aborts and (await self._readiness.look()).obstacle is not None:
            raise Aborted
        return json_body(request, self._discovery, cache="no-store" if self._aborts else CACHE)

    @app.route(JWKS_PATH, methods=["GET"])
    def jwks(self, request: BoundedRequest) -> bytes:
        """A JWK Set (RFC 7517 section 5)."""
        return json_body(request, self._jwks, cache=CACHE)

    @app.route("/health", methods=["GET"])
    def health(self, request: BoundedRequest) -> bytes:
        """The process lives."""
        return json_body(request, {"status": "healthy"})

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: BoundedRequest) -> bytes:
        """A password could be checked now, or why not."""
        return readiness_body(request, await self._readiness.look())

    @app.handle_errors(OAuthError)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """An error that has an answer of its own, or none at all."""
        error = failure.value
        assert isinstance(error, OAuthError)
        if isinstance(error, Aborted):
            cast(BoundedRequest, request).channel.forceAbortClient()
            return b""
        return error_body(request, error)

    @app.handle_errors(exceptions.HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:
        """A path or a method that is not here."""
        error = failure.value
        if isinstance(error, exceptions.MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return error_body(request, MethodNotAllowed(allowed))
        return error_body(request, NotFound())

    @app.handle_errors(Exception)
    def unexpected(self, request: IRequest, failure: Failure) -> bytes:
        """A mistake of ours: the client learns nothing of it."""
        self.log.failure("internal_error", failure, request=cast(BoundedRequest, request).id)
        return error_body(request, TemporarilyUnavailable())
