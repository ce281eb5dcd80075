"""Parser of HTTP/1.1 responses with bounds. No I/O."""

from __future__ import annotations

from typing import Final

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from ropg_twisted.verdict import Reason, UpstreamError

MAX_HEAD: Final = 64 * 1024
"""Bytes of the head of one response. Authentik's are about a thousand."""

MAX_BODY: Final = 1024 * 1024
"""Bytes of one response body. Authentik's largest challenges, with pictures, are a tenth of it."""

MAX_RESPONSE: Final = 2 * MAX_BODY
"""Bytes of one response as it is received, with its head and the sizes of its chunks."""


_DONE: Final = Failure(ResponseDone())


class MalformedResponseError(Exception):
    """A response that is not HTTP/1.1, or that is cut short, or whose head is too large."""


@implementer(IResponse)
class CompleteResponse:
    """A response whose ``body`` has been received."""

    version = (b"HTTP", 1, 1)
    phrase = b""
    request = None
    previousResponse: IResponse | None = None

    def __init__(self, code: int, headers: Headers, body: bytes) -> None:
        self.code = code
        self.headers = headers
        self.length = len(body)
        self.body = body

    def deliverBody(self, protocol: IProtocol) -> None:
        """See :class:`IResponse`."""
        protocol.dataReceived(self.body)
        protocol.connectionLost(_DONE)

    def setPreviousResponse(self, response: IResponse) -> None:
        """See :class:`IResponse`."""
        self.previousResponse = response


class ResponseParser:
    """Parses the responses on one connection, one after the other.

    It asks for no encoding of a body, and refuses one: a little gzip may be much. Informational
    responses (RFC 9110 section 15.2) are skipped.

    Attributes:
        response: the response, ``None`` until it is complete.
        reusable: whether another response may follow on the connection.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.expect()

    def expect(self) -> None:
        """Expect a new response."""
        self.response: CompleteResponse | None = None
        self.reusable = False
        self._headers = Headers()
        self._head_size = 0
        self._body: list[bytes] = []
        self._body_size = 0
        self._received = 0
        self._head_complete = False
        self._ends_with_connection = False

    def feed(self, data: bytes) -> None:
        """Parse ``data``.

        Raises :exc:`UpstreamError` (``upstream_body``) for a body that is too large or encoded, and
        :exc:`MalformedResponseError` for other bytes that are no response within the bounds.
        """
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError as error:
            self._refuse(error.__context__)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._refuse(error)
        if self._received > (MAX_RESPONSE if self._head_complete else MAX_HEAD):
            self._refuse(None)

    def end(self) -> None:
        """Take the end of the connection as that of the response, if no length was announced."""
        if self._head_complete and self._ends_with_connection and self.response is None:
            self._complete()

    # The callbacks of HttpResponseParser.

    def on_message_begin(self) -> None:
        """Refuse bytes behind a complete response, which nobody has asked for."""
        if self.response is not None:
            raise MalformedResponseError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but not a trailer."""
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            raise MalformedResponseError
        if not self._head_complete:
            self._headers.addRawHeader(name, value)

    def on_headers_complete(self) -> None:
        """Look at the framing and the encoding of the body."""
        if self._parser.get_status_code() < 200:
            self._headers = Headers()
            return
        self._head_complete = True
        coding = self._last(b"Transfer-Encoding")
        if coding not in (None, b"chunked"):
            raise MalformedResponseError
        self._ends_with_connection = coding is None and self._last(b"Content-Length") is None
        if self._last(b"Content-Encoding") not in (None, b"identity"):
            raise UpstreamError(Reason.UPSTREAM_BODY)

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._body_size += len(data)
        if self._body_size > MAX_BODY:
            raise UpstreamError(Reason.UPSTREAM_BODY)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Complete the response, unless it is informational."""
        if self._head_complete:
            self.reusable = self._parser.should_keep_alive()
            self._complete()

    def _complete(self) -> None:
        code = self._parser.get_status_code()
        self.response = CompleteResponse(code, self._headers, b"".join(self._body))

    def _last(self, name: bytes) -> bytes | None:
        values = self._headers.getRawHeaders(name)
        return values[-1].lower() if values else None

    def _refuse(self, error: BaseException | None) -> None:
        """Raise the error of an incomplete response. After a complete one the connection ends."""
        self.reusable = False
        if self.response is None:
            raise error if isinstance(error, UpstreamError) else MalformedResponseError from None
