"""Agent for Authentik, under treq: requests over a pool of connections to one origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ropg_twisted.authentik.connection import ClientConnection, Origin

IDLE_SECONDS: Final = 30
"""Seconds. Authentik keeps idle connections for longer, so no POST meets one that it closes."""

_OWN_HEADERS: Final = frozenset((b"Accept-Encoding", b"Connection", b"Content-Length", b"Host"))


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is in memory, written at once."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body has been written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body has been written."""

    def stopProducing(self) -> None:
        """Do nothing: the body has been written."""


class ConnectionPool:
    """Connections that wait for their next request, each for at most :data:`IDLE_SECONDS`.

    There is no limit: never more of them wait than were in use at the same time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._idle: dict[ClientConnection, float] = {}  # The one that waits longest comes first.
        self._timer: IDelayedCall | None = None

    def take(self) -> ClientConnection | None:
        """Take the connection that was used last, ``None`` if none waits."""
        return self._idle.popitem()[0] if self._idle else None

    def add(self, connection: ClientConnection) -> None:
        """Add a connection that waits from now on."""
        self._idle[connection] = self._clock.seconds() + IDLE_SECONDS
        if self._timer is None:
            self._timer = self._clock.callLater(IDLE_SECONDS, self._close_expired)

    def discard(self, connection: ClientConnection) -> None:
        """Remove a connection that was closed."""
        self._idle.pop(connection, None)

    def close(self) -> None:
        """Close all connections that wait."""
        while connection := self.take():
            connection.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_expired(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for connection, expires in list(self._idle.items()):
            if expires > now:
                self._timer = self._clock.callLater(expires - now, self._close_expired)
                return
            self.discard(connection)
            connection.close()


@implementer(IAgent)
class HeaderAgent:
    """Adds headers to each request, where treq does not copy them any more."""

    def __init__(self, agent: IAgent, headers: Mapping[str, str]) -> None:
        self._agent = agent
        self._headers = tuple(headers.items())

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`. Changes ``headers``."""
        headers = headers or Headers()
        for name, value in self._headers:
            headers.addRawHeader(name, value)
        return self._agent.request(method, uri, headers, bodyProducer)


@implementer(IAgent)
class OriginAgent:
    """Sends requests to one origin. No encoding of a response's body is accepted.

    ``pool``: keeps connections alive; without one each request has a new connection.
    """

    def __init__(self, origin: Origin, pool: ConnectionPool | None = None) -> None:
        self._origin = origin
        self._pool = pool

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`. ``bodyProducer`` is a :class:`BytesProducer`.

        Raises :exc:`ValueError` for the ``uri`` of another origin. Fails as
        :meth:`ClientConnection.send` does, or because no connection can be made.
        """
        message = self._message(method, uri, headers, bodyProducer)
        connection = None if self._pool is None else self._pool.take()
        if connection is not None:
            return connection.send(message)
        return Deferred.fromCoroutine(self._send_on_new_connection(message))

    async def _send_on_new_connection(self, message: bytes) -> IResponse:
        if self._pool is None:
            connection = await self._origin.connect(ClientConnection.close, lambda _: None)
        else:
            connection = await self._origin.connect(self._pool.add, self._pool.discard)
        return await connection.send(message)

    def _message(
        self, method: bytes, uri: bytes, headers: Headers | None, body: IBodyProducer | None
    ) -> bytes:
        prefix = self._origin.prefix
        target = uri[len(prefix) :]
        if not (uri.startswith(prefix) and target.startswith(b"/")):
            raise ValueError("another origin")
        lines = [
            b"%b %b HTTP/1.1" % (method, target),
            b"Host: " + self._origin.netloc,
            b"Accept-Encoding: identity",
        ]
        if self._pool is None:
            lines.append(b"Connection: close")
        for name, values in () if headers is None else headers.getAllRawHeaders():
            if name not in _OWN_HEADERS:
                lines += [b"%b: %b" % (name, value) for value in values]
        data = b""
        if body is not None:
            assert isinstance(body, BytesProducer)
            data = body.data
            lines.append(b"Content-Length: %d" % len(data))
        return b"\r\n".join([*lines, b"", data])
