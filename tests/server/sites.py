"""A site on a clock of the test's own, and clients of it."""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import IPasswordVerifier
from ropg_twisted.server.site import BoundedSite
from tests.client import GOOD, AbortableTransport, Connection, post
from tests.composition import daemon_site
from tests.fakes import CapturedLog, PendingVerifier

CHECK = post(urlencode(GOOD))
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class SocketTransport(AbortableTransport):
    """Ends as a socket does: the protocol is told in the next turn of ``clock``.

    ``deaf``: the peer never answers a close, as TLS asks it to; only an abort ends it.
    """

    def __init__(self, clock: Clock, *, deaf: bool) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.7", 49152), lenient=True)
        self._clock = clock
        self._deaf = deaf

    def unregisterProducer(self) -> None:
        """Forget a producer; sockets do not mind if there is none."""
        self.producer = None

    def loseConnection(self) -> None:
        """Begin to close."""
        if not self.disconnecting and not self._deaf:
            self._clock.callLater(0, self.lose, ConnectionDone())
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Cut."""
        if not self.disconnected:
            self._clock.callLater(0, self.lose, ConnectionAborted())
        self.disconnected = self.disconnecting = True

    def lose(self, reason: Exception) -> None:
        """Be lost, once."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason))


class SiteClient(Connection):
    """A client at the other end of a :class:`SocketTransport`."""

    transport: SocketTransport

    def __init__(self, site: BoundedSite, clock: Clock, *, deaf: bool = False) -> None:
        self._connect(site, SocketTransport(clock, deaf=deaf))

    def send(self, data: bytes) -> SiteClient:
        """Send bytes; a socket that is being closed reads no more, but TLS does."""
        if self.transport.connected and (self.transport._deaf or not self.transport.disconnecting):
            super().send(data)
        return self

    @property
    def is_open(self) -> bool:
        """Return whether the connection is there."""
        return bool(self.transport.connected)

    @property
    def statuses(self) -> list[int]:
        """The status of each answer so far."""
        return [reply.status for reply in self.replies]


class SiteTestCase(SynchronousTestCase):
    """A site on a clock of the test's own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.verifier = PendingVerifier()
        self.site = self.make_site(self.verifier)
        self.events = CapturedLog(self).events

    def make_site(self, verifier: IPasswordVerifier) -> BoundedSite:
        """A site on the clock."""
        return daemon_site(verifier, reactor=self.clock)

    def connect(self, *, deaf: bool = False) -> SiteClient:
        """A new connection."""
        return SiteClient(self.site, self.clock, deaf=deaf)

    def pass_time(self, seconds: float) -> None:
        """Let time go by as it does: in small steps."""
        self.clock.pump([0.25] * int(seconds * 4))

    def assert_nothing_left(self, case: object = None) -> None:
        """No client is connected, no request is under way, and no call is scheduled."""
        self.assertEqual(self.verifier.waiting, [], case)
        self.assertEqual(self.clock.getDelayedCalls(), [], case)
        self.assertEqual(self.site.connections, 0, case)

    def assert_quiet(self, case: object) -> None:
        """Nothing has been logged that an operator would have to look into."""
        self.assertEqual(self.flushLoggedErrors(), [], case)
        loud = [event for event in self.events if event["log_level"] >= LogLevel.error]
        self.assertEqual(loud, [], case)
