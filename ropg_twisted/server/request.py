"""Requests whose bodies are bounded and never on disk."""

from __future__ import annotations

from io import BytesIO
from secrets import token_hex
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.web.server import Request

from ropg_twisted.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    OAuthError,
    RequestTooLargeError,
)
from ropg_twisted.server.responses import error_body

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that are kept and read."""

MAX_DISCARDED: Final = 1024 * 1024
"""Bytes of a body after which its connection is cut. Up to here it is read on, so that a client
gets its answer that only looks for one when it has sent everything."""


class BoundedRequest(Request):
    """A request whose body stays small and in memory, and that has an id for the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.id = token_hex(8)
        self._body = BytesIO()
        self._received = 0

    def read_body(self) -> bytes:
        """The whole body. Raises :exc:`RequestTooLargeError` for one over :data:`MAX_BODY`."""
        if self._received > MAX_BODY:
            raise RequestTooLargeError
        return self._body.getvalue()

    def header(self, name: str) -> str | None:
        """The value of a header, whatever bytes it holds.

        Raises :exc:`InvalidRequestError` for one that is repeated: a proxy may have read another of
        its values (RFC 9110 section 5.3).
        """
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        if len(values) > 1:
            raise InvalidRequestError(f"The header {name} is repeated")
        return values[0].decode("latin-1") if values else None

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
        error = _target_error(self.path)
        if error is None:
            super().process()
        else:
            self.write(error_body(self, error))
            self.finish()

    def __repr__(self) -> str:
        """Its id alone: a URL may hold what it should not."""
        return f"<BoundedRequest {self.id}>"

    def getRequestHostname(self) -> bytes:
        """No route depends on the name, and the router fails on what is none."""
        return b"localhost"

    def _receive(self, size: int) -> None:
        before = self._received
        self._received += size
        if before <= MAX_DISCARDED < self._received:
            self.method, self.clientproto = b"POST", b"HTTP/1.1"
            self.setHeader("X-Request-ID", self.id)
            self.setHeader("Connection", "close")
            self.write(error_body(self, RequestTooLargeError()))
            self.channel.loseConnection()


def _target_error(path: bytes) -> OAuthError | None:
    """The answer to a request target that Twisted or the router would not answer in JSON."""
    if path == b"*":
        return MethodNotAllowedError("GET, POST")
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return NotFoundError()
    return None
