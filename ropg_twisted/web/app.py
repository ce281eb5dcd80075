"""Every route, and what becomes of every exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from ropg_twisted.errors import MethodNotAllowed, NotFound, OAuthError, TemporarilyUnavailable
from ropg_twisted.interfaces import IPasswordVerifier
from ropg_twisted.oauth.discovery import DISCOVERY_PATH, JWKS_PATH, TOKEN_PATH
from ropg_twisted.web.http import BoundedRequest, error_body, json_body
from ropg_twisted.web.token import TokenEndpoint

CACHE = "public, max-age=300"
"""How long discovery and keys may be kept."""


class Provider:
    """The OpenID provider that clients see.

    ``discovery``, ``jwks``: the two documents to publish.
    """

    app: ClassVar[Klein] = Klein()
    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        token_endpoint: TokenEndpoint,
        verifier: IPasswordVerifier,
        discovery: Mapping[str, Any],
        jwks: Mapping[str, Any],
    ) -> None:
        self._token_endpoint = token_endpoint
        self._verifier = verifier
        self._discovery = discovery
        self._jwks = jwks

    @app.route(TOKEN_PATH, methods=["POST"])
    async def token(self, request: BoundedRequest) -> bytes:
        """Check a password."""
        return json_body(request, await self._token_endpoint.answer(request))

    @app.route(DISCOVERY_PATH, methods=["GET"])
    def discovery(self, request: BoundedRequest) -> bytes:
        """OpenID Connect Discovery 1.0 section 4."""
        return json_body(request, self._discovery, cache=CACHE)

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
        obstacle = await self._verifier.readiness()
        if obstacle is None:
            return json_body(request, {"status": "ready"})
        return json_body(request, {"status": "unavailable", "reason": obstacle}, status=503)

    @app.handle_errors(OAuthError)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """An error that has an answer of its own."""
        error = failure.value
        assert isinstance(error, OAuthError)
        return error_body(request, error)

    @app.handle_errors(HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:
        """A path or a method that is not here."""
        error = failure.value
        assert isinstance(error, HTTPException)
        if error.code == 405:
            return error_body(request, MethodNotAllowed(dict(error.get_headers())["Allow"]))
        return error_body(request, NotFound())

    @app.handle_errors(Exception)
    def unexpected(self, request: IRequest, failure: Failure) -> bytes:
        """A mistake of ours is no verdict.

        The log tells kind and place only, because the text of an exception may hold anything.
        """
        self.log.failure("internal_error", failure, request=cast(BoundedRequest, request).id)
        return error_body(request, TemporarilyUnavailable())
