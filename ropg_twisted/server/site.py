"""Connections: how many, how long, and how they end."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Site

from ropg_twisted.server.request import BoundedRequest

IDLE_SECONDS: Final = 60
"""How long a connection may take until its next request is there whole."""

MAX_CONNECTIONS: Final = 4096

LINGER_SECONDS: Final = 1
"""How long idle connections stay open at the end."""


class BoundedChannel(http.HTTPChannel):
    """A connection that has so long for each request, and that its site knows of."""

    factory: BoundedSite
    transport: Any

    def connectionMade(self) -> None:
        """Join the site."""
        super().connectionMade()
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the site."""
        super().connectionLost(reason)
        self.factory.closed(self)

    def resetTimeout(self) -> None:
        """A byte now and then buys no time: each request has to be whole in its time."""

    def dataReceived(self, data: bytes) -> None:
        """Read on, unless the connection is being closed: over TLS bytes still come in then."""
        if not self.transport.disconnecting:
            super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a length of more digits than Python reads."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._respondToBadRequestAndDisconnect()
            return False

    def _send100Continue(self) -> None:
        if not self.transport.disconnecting:
            super()._send100Continue()

    def requestDone(self, request: http.Request) -> None:
        """Be idle from now on."""
        self.factory.idle(self)
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close; cut, if the peer does not answer that in time, as TLS asks it to."""
        self.setTimeout(None)
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._abortingCall is not None and self._abortingCall.active():
            self._abortingCall.cancel()
        self._abortingCall = None
        self.transport.abortConnection()

    def close_when_idle(self) -> None:
        """Close, behind the answer if there is one to give."""
        if not self.busy:
            self.loseConnection()
        self.persistent = False
        for request in self.requests:
            request.responseHeaders.setRawHeaders("Connection", ["close"])

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Whether the connection stays open: not when the site is about to close."""
        if self.factory.draining:
            request.responseHeaders.setRawHeaders("Connection", ["close"])
            return False
        return bool(super().checkPersistence(request, version))

    @property
    def answering(self) -> bool:
        """Whether a request that is there whole is being answered."""
        return bool(self._handlingRequest)

    @property
    def busy(self) -> bool:
        """Whether a request is coming in or being answered."""
        return bool(self.requests)


class QuietSite(Site):
    """A site without an access log: query strings may hold what clients should not put there."""

    noisy = False

    def log(self, request: http.Request) -> None:
        """Checks have a log line of their own."""


class BoundedSite(QuietSite):
    """A site with so many connections at a time, of bounded requests.

    One more than that takes the place of the one that has been idle for longest.
    """

    protocol = BoundedChannel  # type: ignore[assignment]

    draining = False

    def __init__(self, resource: IResource, reactor: IReactorTime) -> None:
        super().__init__(
            resource,
            requestFactory=BoundedRequest,
            timeout=IDLE_SECONDS,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self._channels: dict[BoundedChannel, None] = {}
        self._emptied: Deferred[None] | None = None

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._channels)

    def opened(self, channel: BoundedChannel) -> None:
        """Take a connection in."""
        self._channels[channel] = None
        if len(self._channels) > MAX_CONNECTIONS:
            unanswered = (old for old in self._channels if not old.answering)
            victim = next(unanswered, channel)
            self.closed(victim)
            victim.abort()

    def idle(self, channel: BoundedChannel) -> None:
        """A connection begins to be idle."""
        if channel in self._channels:
            self._channels[channel] = self._channels.pop(channel)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only, whatever else is installed: its connections alone are bounded."""
        return [b"http/1.1"]

    def closed(self, channel: BoundedChannel) -> None:
        """Forget a connection."""
        self._channels.pop(channel, None)
        if not self._channels and self._emptied is not None:
            self._emptied.callback(None)
            self._emptied = None

    async def drain(self, grace: float) -> None:
        """Answer what is asked, for ``grace`` seconds at most, and close all connections.

        A connection that is idle may have its next request under way: it gets a moment as well.
        """
        self.draining = True
        await self._wait_until_empty(min(grace, LINGER_SECONDS))
        for channel in list(self._channels):
            channel.close_when_idle()
        await self._wait_until_empty(grace)
        for channel in list(self._channels):
            channel.abort()

    async def _wait_until_empty(self, seconds: float) -> None:
        if self._channels:
            self._emptied = Deferred()
            with suppress(TimeoutError):
                await self._emptied.addTimeout(seconds, self.reactor)
            self._emptied = None
