"""HTTP connections: their number, their time limits, and how they are closed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Site

from ropg_twisted.server.request import BoundedRequest

IDLE_SECONDS: Final = 60
"""Time limit for a connection until its next request has been received completely."""

MAX_CONNECTIONS: Final = 4096

LINGER_SECONDS: Final = 1
"""Time for which idle connections stay open when the site drains."""

ABORT_SECONDS: Final = 15
"""Time limit for closing a connection. After that it is aborted."""

BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""Twisted's own response to malformed HTTP."""


class BoundedChannel(http.HTTPChannel):
    """An HTTP connection with a time limit for each request, counted by its site."""

    factory: BoundedSite
    transport: Any  # ITCPTransport does not declare its disconnecting.

    abortTimeout = None  # type: ignore[assignment]  # Twisted documents None, for no timer.
    """Turns off Twisted's timer, which covers only connections that have timed out."""

    answering = False
    """True if a request has been received completely and is being answered."""

    _abort_call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Register with the site."""
        super().connectionMade()
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Unregister from the site."""
        super().connectionLost(reason)
        self._cancel_abort()
        self.factory.closed(self)

    def resetTimeout(self) -> None:
        """Do nothing: the time limit is for the whole request, not for each piece of it."""

    def dataReceived(self, data: bytes) -> None:
        """Ignore data while the connection is being closed: over TLS it still arrives then."""
        if not self.transport.disconnecting:
            super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a Content-Length that has more digits than Python converts."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self.transport.write(BAD_REQUEST)
            self.loseConnection()
            return False

    def allContentReceived(self) -> None:
        """Answer a request that has been received completely."""
        self.answering = True
        super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        """Wait for the next request after an answer."""
        self.factory.idle(self)
        if self.persistent:
            self.answering = False
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close the connection, and abort it if the peer does not close its side in time.

        A hung TLS peer never sends close_notify.
        """
        self.setTimeout(None)
        if self._abort_call is None:
            self._abort_call = self.callLater(ABORT_SECONDS, self.forceAbortClient)
        super().loseConnection()

    def abort(self) -> None:
        """Close the connection at once, without waiting for an answer to be sent."""
        self._cancel_abort()
        self.transport.abortConnection()

    def close_when_idle(self) -> None:
        """Close the connection, after the answer if a request has arrived."""
        if not self.busy:
            self.loseConnection()
        self.persistent = False
        for request in self.requests:
            request.responseHeaders.setRawHeaders("Connection", ["close"])

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Return whether the connection stays open after the answer. It does not if draining."""
        if self.factory.draining:
            request.responseHeaders.setRawHeaders("Connection", ["close"])
            return False
        return bool(super().checkPersistence(request, version))

    @property
    def busy(self) -> bool:
        """True if a request is being received or answered."""
        return bool(self.requests)

    def _cancel_abort(self) -> None:
        if self._abort_call is not None and self._abort_call.active():
            self._abort_call.cancel()
        self._abort_call = None


class QuietSite(Site):
    """A site without an access log, because query strings may contain secrets."""

    noisy = False

    def log(self, request: http.Request) -> None:
        """Do nothing. The audit log has a line for each check."""


class BoundedSite(QuietSite):
    """A site with a limited number of connections and bounded requests.

    A connection above the limit replaces the one that has been idle for the longest time.
    """

    protocol = BoundedChannel  # type: ignore[assignment]  # Twisted declares it as a function.

    draining = False

    def __init__(self, resource: IResource, reactor: IReactorTime) -> None:
        super().__init__(
            resource,
            requestFactory=BoundedRequest,
            timeout=IDLE_SECONDS,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self._channels: dict[BoundedChannel, None] = {}  # The one that is idle longest comes first.
        self._all_closed: Deferred[None] | None = None

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._channels)

    def opened(self, channel: BoundedChannel) -> None:
        """Add a connection, and abort another one if there are too many."""
        self._channels[channel] = None
        if len(self._channels) > MAX_CONNECTIONS:
            waiting = (other for other in self._channels if not other.answering)
            victim = next(waiting, channel)
            self.closed(victim)
            victim.abort()

    def idle(self, channel: BoundedChannel) -> None:
        """Mark a connection as the most recently used one."""
        if channel in self._channels:
            self._channels[channel] = self._channels.pop(channel)

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only: Twisted's HTTP/2 channel, if installed, has none of these limits."""
        return [b"http/1.1"]

    def closed(self, channel: BoundedChannel) -> None:
        """Remove a connection."""
        self._channels.pop(channel, None)
        if not self._channels and self._all_closed is not None:
            self._all_closed.callback(None)
            self._all_closed = None

    async def drain(self, grace: float) -> None:
        """Answer the requests that have arrived, then close all connections.

        Idle connections stay open for :data:`LINGER_SECONDS`, as a request may be on its way.
        ``grace``: seconds after which the remaining connections are aborted.
        """
        self.draining = True
        await self._wait_until_all_closed(min(grace, LINGER_SECONDS))
        for channel in list(self._channels):
            channel.close_when_idle()
        await self._wait_until_all_closed(grace)
        for channel in list(self._channels):
            channel.abort()

    async def _wait_until_all_closed(self, seconds: float) -> None:
        if self._channels:
            self._all_closed = Deferred()
            with suppress(TimeoutError):
                await self._all_closed.addTimeout(seconds, self.reactor)
            self._all_closed = None
