"""Bodies of requests and responses, bounded and without content encodings.

Kept by hand: treq has no limit on a response's size, decodes gzip without one, and writes a request
body through the global ``Cooperator``, which costs a reactor turn.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ropg_twisted.verdict import Reason, UpstreamError

MAX_BODY: Final = 1024 * 1024
"""Bytes of one response body. Authentik's largest challenges, with pictures, are a tenth of it."""


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is in memory, written at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body has been written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body has been written."""

    def stopProducing(self) -> None:
        """Do nothing: the body has been written."""


class BoundedBody(Protocol):
    """Collects a response body of at most :data:`MAX_BODY` bytes.

    It closes the connection of a larger one, and when ``received`` is cancelled.

    Attributes:
        received: fires with the bytes, or fails with :exc:`UpstreamError`.
    """

    def __init__(self) -> None:
        self.received: Deferred[bytes] = Deferred(self._cancel)
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep ``data``, or fail if it is too much."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_BODY and not self.received.called:
            self._close()
            self.received.errback(UpstreamError(Reason.UPSTREAM_BODY))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fire if the body is complete, fail if the connection broke before its end."""
        if self.received.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.received.callback(b"".join(self._parts))
        else:
            self.received.errback(UpstreamError(Reason.UPSTREAM_CONNECTION, transient=True))

    def _cancel(self, received: Deferred[bytes]) -> None:
        self._close()

    def _close(self) -> None:
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()


def read_body(response: IResponse) -> Deferred[bytes]:
    """Read the body of ``response``. Fails with :exc:`UpstreamError`."""
    body = BoundedBody()
    response.deliverBody(body)
    return body.received


@implementer(IAgent)
class IdentityAgent:
    """Asks for bodies without a content encoding, and refuses others: a little gzip may be much."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`. Fails with :exc:`UpstreamError` for an encoded body."""
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(_refuse_encoded)


def _refuse_encoded(response: IResponse) -> IResponse:
    if (read_header(response, "Content-Encoding") or "identity").lower() != "identity":
        read_body(response).addErrback(lambda _: None).cancel()
        raise UpstreamError(Reason.UPSTREAM_BODY)
    return response


def read_header(response: IResponse, name: str) -> str | None:
    """Return the last value of a header, or ``None`` without one."""
    values = response.headers.getRawHeaders(name.encode("ascii"))
    return values[-1].decode("latin-1") if values else None
