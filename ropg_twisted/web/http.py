"""Bounded HTTP requests, and JSON answers."""

from __future__ import annotations

import json
from io import BytesIO
from secrets import token_hex
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from ropg_twisted.errors import (
    InvalidClient,
    MethodNotAllowed,
    OAuthError,
    RequestTooLarge,
    TemporarilyUnavailable,
)

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that are kept and read."""

MAX_DISCARDED: Final = 1024 * 1024
"""Bytes of a body after which its connection is cut. Up to here it is read on, so that a client
gets its answer that only looks for one when it has sent everything."""

IDLE_SECONDS: Final = 60
"""How long a connection may be silent between and within requests."""


class BoundedRequest(Request):
    """A request whose body stays small and in memory, and that has an id for the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.id = token_hex(8)
        self._body = BytesIO()
        self._received = 0

    def read_body(self) -> bytes:
        """The whole body. Raises :exc:`RequestTooLarge` for one over :data:`MAX_BODY`."""
        if self._received > MAX_BODY:
            raise RequestTooLarge
        return self._body.getvalue()

    def gotLength(self, length: int | None) -> None:
        """Twisted would put a large body into a temporary file, the password with it."""
        self.content = self._body
        if length is not None and length > MAX_DISCARDED:
            self._receive(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what may be kept."""
        self._receive(len(data))
        if self._received <= MAX_BODY:
            self._body.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, unless that has been done because the body was too large to wait for."""
        if self._received <= MAX_DISCARDED:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Every answer carries the request's id."""
        self.setHeader("X-Request-ID", self.id)
        super().process()

    def _receive(self, size: int) -> None:
        before = self._received
        self._received += size
        if before <= MAX_DISCARDED < self._received:
            self.method, self.clientproto = b"POST", b"HTTP/1.1"
            self.setHeader("X-Request-ID", self.id)
            self.setHeader("Connection", "close")
            self.write(error_body(self, RequestTooLarge()))
            self.channel.loseConnection()


class QuietSite(Site):
    """A site without an access log: query strings may hold what clients should not put there."""

    noisy = False

    def log(self, request: http.Request) -> None:
        """Checks have a log line of their own."""


def make_site(resource: IResource, reactor: IReactorTime) -> Site:
    """The site of ``resource``, with bounded requests."""
    return QuietSite(
        resource,
        requestFactory=BoundedRequest,
        timeout=IDLE_SECONDS,
        reactor=reactor,
        parsePOSTFormSubmission=False,
    )


def json_body(
    request: IRequest, payload: object, *, status: int = 200, cache: str = "no-store"
) -> bytes:
    """The bytes of a JSON answer to ``request``, with its status and headers set.

    ``cache``: the Cache-Control header.
    """
    body = json.dumps(payload, separators=(",", ":")).encode("ascii")
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.setHeader("Cache-Control", cache)
    if cache == "no-store":
        request.setHeader("Pragma", "no-cache")
    return body


def error_body(request: IRequest, error: OAuthError) -> bytes:
    """The bytes of an error answer (RFC 6749 section 5.2), with its status and headers set."""
    match error:
        case InvalidClient(basic=True):
            request.setHeader("WWW-Authenticate", 'Basic realm="ropg", charset="UTF-8"')
        case MethodNotAllowed():
            request.setHeader("Allow", error.allowed)
        case TemporarilyUnavailable():
            request.setHeader("Retry-After", str(error.retry_after))
    payload = {"error": error.code, "error_description": error.description}
    return json_body(request, payload, status=error.status)
