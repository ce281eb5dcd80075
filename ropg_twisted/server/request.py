"""HTTP requests with a bounded body that is kept in memory."""

from __future__ import annotations

from functools import cached_property
from io import BytesIO
from secrets import token_hex
from typing import Any, Final, cast
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
from ropg_twisted.trace_context import HEADER, TraceContext, read_trace_context

MAX_BODY: Final = 64 * 1024
"""Maximum size of a body in bytes."""

MAX_DISCARDED: Final = 1024 * 1024
"""Size of a body in bytes above which its connection is closed.

A body between the two limits is read to its end and discarded, because some clients look for a
response only after they have sent everything.
"""


class BoundedRequest(Request):
    """A request with a bounded body in memory and an id for the log."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.id = token_hex(8)
        self._body = BytesIO()
        self._received = 0

    def read_body(self) -> bytes:
        """Return the body. Raises :exc:`RequestTooLargeError` if it exceeds :data:`MAX_BODY`."""
        if self._received > MAX_BODY:
            raise RequestTooLargeError
        return self._body.getvalue()

    def header(self, name: str) -> str | None:
        """Return the value of a header as Latin-1, ``None`` if the header is missing.

        Raises :exc:`InvalidRequestError` if the header is repeated: a proxy in front may have used
        another of its values (RFC 9110 section 5.3).
        """
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        if len(values) > 1:
            raise InvalidRequestError(f"The header {name} is repeated")
        return values[0].decode("latin-1") if values else None

    @cached_property
    def trace_context(self) -> TraceContext:
        """The trace context, whose span has the id of the request."""
        values = self.requestHeaders.getRawHeaders(HEADER.encode("ascii"), [])
        return read_trace_context(values, self.id)

    def abort(self) -> None:
        """Drop the connection without a response."""
        if self.channel is not None:
            cast(Any, self.channel).abort()  # A BoundedChannel, which imports this module.

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: Twisted would write a large one to disk, password included."""
        self.content = self._body
        if length is not None and length > MAX_DISCARDED:
            self._receive(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Add ``data`` to the body unless the body is too large."""
        self._receive(len(data))
        if self._received <= MAX_BODY:
            self._body.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process the request unless it has been refused because of its size."""
        if self._received <= MAX_DISCARDED:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Set the X-Request-ID header and answer."""
        self.setHeader("X-Request-ID", self.id)
        error = _target_error(self.path)
        if error is None:
            super().process()
        else:
            self.write(error_body(self, error))
            self.finish()

    def __repr__(self) -> str:
        """Show only the id, because a URL may contain secrets."""
        return f"<BoundedRequest {self.id}>"

    def getRequestHostname(self) -> bytes:
        """Return a constant: no route depends on the host, and an invalid one fails in Klein."""
        return b"localhost"

    def _receive(self, size: int) -> None:
        """Count ``size`` more bytes of the body, and refuse the request if they are too many."""
        before = self._received
        self._received += size
        if before <= MAX_DISCARDED < self._received:
            self.method, self.clientproto = b"POST", b"HTTP/1.1"
            self.setHeader("X-Request-ID", self.id)
            self.setHeader("Connection", "close")
            self.write(error_body(self, RequestTooLargeError()))
            # Twisted would send 100 Continue after this response.
            self.requestHeaders.removeHeader("Expect")
            self.channel.loseConnection()


def _target_error(path: bytes) -> OAuthError | None:
    """Return the error for a target that Twisted or Klein would not answer in JSON."""
    if path == b"*":
        return MethodNotAllowedError("GET, POST")
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return NotFoundError()
    return None
