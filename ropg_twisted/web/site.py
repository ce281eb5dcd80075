"""Connections: how many, how long, and how they end."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Site

from ropg_twisted.web.request import BoundedRequest

IDLE_SECONDS: Final = 60
"""How long a connection may take until its next request is there whole."""

MAX_CONNECTIONS: Final = 4096

LINGER_SECONDS: Final = 1
"""How long idle connections stay open at the end."""


class BoundedChannel(http.HTTPChannel):
    """A connection that has so long for each request, and that its site knows of."""

    factory: BoundedSite

    def connectionMade(self) -> None:
        """Join the site."""
        super().connectionMade()
        self.factory.joined(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the site."""
        super().connectionLost(reason)
        self.factory.left(self)

    def resetTimeout(self) -> None:
        """A byte now and then buys no time: each request has to be whole in its time."""

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Whether the connection stays open: not when the site is about to close."""
        if self.factory.draining:
            request.responseHeaders.setRawHeaders("Connection", ["close"])
            return False
        return bool(super().checkPersistence(request, version))

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

    def joined(self, channel: BoundedChannel) -> None:
        """Take a connection in."""
        self._channels[channel] = None
        if len(self._channels) > MAX_CONNECTIONS:
            idle = (old for old in self._channels if not old.busy)
            next(idle, channel).forceAbortClient()

    def left(self, channel: BoundedChannel) -> None:
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
            if channel.busy:
                channel.persistent = False
            else:
                channel.loseConnection()
        await self._wait_until_empty(grace)
        for channel in list(self._channels):
            channel.forceAbortClient()

    async def _wait_until_empty(self, seconds: float) -> None:
        if self._channels:
            self._emptied = Deferred()
            with suppress(TimeoutError):
                await self._emptied.addTimeout(seconds, self.reactor)
            self._emptied = None
