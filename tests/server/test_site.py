"""Connections: how many, how long, how they end, and what may come in on them."""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ropg_twisted.interfaces import IPasswordVerifier
from ropg_twisted.server import site as site_module
from ropg_twisted.server.site import IDLE_SECONDS, LINGER_SECONDS, BoundedSite
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Verdict
from tests.fakes import (
    FORM,
    GOOD,
    RIGHT,
    CapturedLog,
    Connection,
    FakeReadiness,
    FixedVerifier,
    PendingVerifier,
    outcome,
    post,
    provider_site,
)

CHECK = post(urlencode(GOOD))
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
GRACE = 20
PATIENCE = 15
"""Seconds for which a real socket waits for what should come at once."""


class SocketTransport(StringTransport):
    """Ends as a socket does: the protocol is told in the next turn of ``clock``.

    ``deaf``: the peer never answers a close, as TLS asks it to; only an abort ends it.
    """

    protocol: Any

    def __init__(self, clock: Clock, *, deaf: bool) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.7", 49152), lenient=True)
        self._clock = clock
        self._deaf = deaf

    def write(self, data: bytes) -> None:
        """Send, unless the connection has been cut."""
        if self.connected and not self.disconnected:
            super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Send, likewise."""
        self.write(b"".join(data))

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
        self.transport = SocketTransport(clock, deaf=deaf)
        self.protocol = site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> SiteClient:
        """Send bytes; a socket that is being closed reads no more, but TLS does."""
        if self.transport.connected and (self.transport._deaf or not self.transport.disconnecting):
            super().send(data)
        return self

    @property
    def is_open(self) -> bool:
        """Whether the connection is there."""
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
        return provider_site(verifier, clock=self.clock)

    def peer(self, *, deaf: bool = False) -> SiteClient:
        """A new connection."""
        return SiteClient(self.site, self.clock, deaf=deaf)

    def pass_time(self, seconds: float) -> None:
        """Let time go by as it does: in small steps."""
        self.clock.pump([0.25] * int(seconds * 4))

    def assert_nothing_left(self, case: object = None) -> None:
        """Nobody is connected, nothing is under way, and nothing is going to happen."""
        self.assertEqual(self.verifier.waiting, [], case)
        self.assertEqual(self.clock.getDelayedCalls(), [], case)
        self.assertEqual(self.site.connections, 0, case)

    def assert_quiet(self, case: object) -> None:
        """Nothing has been logged that an operator would have to look into."""
        self.assertEqual(self.flushLoggedErrors(), [], case)
        loud = [event for event in self.events if event["log_level"] >= LogLevel.error]
        self.assertEqual(loud, [], case)


class BoundTests(SiteTestCase):
    """No more connections than there is room for."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(site_module, "MAX_CONNECTIONS", 3)

    def peers(self, number: int) -> list[SiteClient]:
        """New connections, a moment apart."""
        found = []
        for _ in range(number):
            found.append(self.peer())
            self.clock.advance(0.01)
        return found

    def test_one_too_many_takes_the_place_of_the_first(self) -> None:
        """The connection that has been silent for longest is cut, and nothing is sent on it."""
        peers = self.peers(5)
        self.assertEqual([peer.is_open for peer in peers], [False, False, True, True, True])
        self.assertEqual(peers[0].transport.value(), b"")
        self.assertEqual(peers[4].send(HEALTH).statuses, [200])

    def test_who_has_just_asked_has_not_been_idle_for_longest(self) -> None:
        """An old connection that is in use outlives a younger one that is not."""
        peers = self.peers(3)
        peers[0].send(HEALTH)
        self.clock.advance(1)
        self.peers(1)
        self.assertEqual([peer.is_open for peer in peers], [True, False, True])

    def test_who_has_been_answered_is_idle_again(self) -> None:
        """An old answer does not keep a connection for ever."""
        peers = self.peers(3)
        for peer in peers:
            self.assertEqual(peer.send(HEALTH).statuses, [200])
            self.clock.advance(1)
        self.peers(1)
        self.assertEqual([peer.is_open for peer in peers], [False, True, True])

    def test_who_is_being_answered_stays(self) -> None:
        """A check under way is not cut for a newcomer, even if the newcomer has to go."""
        peers = self.peers(3)
        first, second = peers[:2]
        first.send(CHECK)
        second.send(CHECK)
        third = self.peer().send(CHECK)
        self.clock.advance(0.01)
        self.assertEqual([peer.is_open for peer in peers], [True, True, False])
        newcomer = self.peer()
        self.clock.advance(0.01)
        self.assertFalse(newcomer.is_open)
        for waiter in list(self.verifier.waiting):
            waiter.callback(RIGHT)
        self.assertEqual([p.statuses for p in (first, second, third)], [[200]] * 3)

    def test_many_at_the_same_moment_keep_the_bound(self) -> None:
        """A reactor takes in a burst of connections before it tells of the end of any."""
        peers = [self.peer() for _ in range(20)]
        self.clock.advance(0.01)
        self.assertEqual(sum(peer.is_open for peer in peers), 3)

    def test_those_that_went_are_not_counted(self) -> None:
        """A connection that has ended makes room."""
        peers = self.peers(3)
        peers[1].transport.lose(ConnectionDone())
        newcomer = self.peer()
        self.clock.advance(0.01)
        self.assertTrue(all(peer.is_open for peer in (peers[0], peers[2], newcomer)))


class TimeTests(SiteTestCase):
    """How long a connection may take."""

    def test_trickling_buys_no_time(self) -> None:
        """A request has to be whole in its time, whether its head or its body is late."""
        for request in (HEALTH, CHECK):
            peer = self.peer()
            whole = len(request)
            for byte in request:
                self.pass_time(2 * IDLE_SECONDS / whole)
                peer.send(bytes([byte]))
            self.assertFalse(peer.is_open, request)
            self.assertEqual(peer.replies, [])
        self.assert_nothing_left()

    def test_each_request_has_its_own_time(self) -> None:
        """A kept-alive connection goes on for as long as it asks now and then."""
        peer = self.peer()
        for _ in range(5):
            self.pass_time(IDLE_SECONDS - 1)
            peer.send(HEALTH)
        self.assertEqual(peer.statuses, [200] * 5)
        self.pass_time(IDLE_SECONDS)
        self.assertFalse(peer.is_open)
        self.assert_nothing_left()

    def test_an_answer_may_take_longer(self) -> None:
        """The time of a check is not that of its connection."""
        peer = self.peer().send(CHECK)
        self.pass_time(3 * IDLE_SECONDS)
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(peer.statuses, [200])

    def test_a_close_that_is_not_answered_becomes_a_cut(self) -> None:
        """TLS waits for the peer's word at the end; a peer that never gives it is cut off."""
        for case in (b"", b"GET", HEALTH, LAST, b"GARBAGE\r\n", LAST.replace(b"1.1", b"1.0")):
            peer = self.peer(deaf=True).send(case)
            self.pass_time(2 * IDLE_SECONDS)
            self.assertFalse(peer.is_open, case)
            self.assert_nothing_left(case)


class PipelineTests(SiteTestCase):
    """Several requests at once on one connection."""

    def test_answers_come_in_order(self) -> None:
        """What is asked behind a check waits for it."""
        peer = self.peer().send(CHECK + HEALTH + CHECK + HEALTH)
        self.assertEqual((peer.replies, len(self.verifier.waiting)), ([], 1))
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(peer.statuses, [200, 200])
        self.verifier.waiting[1].callback(outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS))
        self.assertEqual(peer.statuses, [200, 200, 400, 200])
        self.assertEqual(peer.replies[1].json, {"status": "healthy"})

    def test_nothing_is_read_behind_a_close(self) -> None:
        """``Connection: close`` and HTTP/1.0 make a request the last one."""
        for last in (LAST, LAST.replace(b"1.1", b"1.0")):
            peer = self.peer().send(HEALTH + last + HEALTH)
            self.assertEqual(peer.statuses, [200, 200], last)
            self.clock.advance(0)
            self.assertFalse(peer.is_open)

    def test_a_flood_has_to_wait(self) -> None:
        """Of what comes in during a check only so much is kept."""
        peer = self.peer().send(CHECK)
        peer.send(HEALTH * 1000)
        self.assertEqual(peer.transport.producerState, "paused")
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(peer.statuses, [200] * 1001)
        self.assertEqual(peer.transport.producerState, "producing")


class VanishTests(SiteTestCase):
    """Clients that go away."""

    def test_they_leave_nothing_behind(self) -> None:
        """At whatever point a client vanishes, its check is given up and its place is free."""
        chunked = f"POST /oauth/token HTTP/1.1\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n".encode()
        for case in (
            b"",
            b"\r\n",
            HEALTH[:7],
            HEALTH[:-2],
            HEALTH,
            CHECK[:-1],
            CHECK,
            CHECK + HEALTH,
            CHECK + CHECK,
            chunked + b"5\r\nab",
            chunked + b"5\r\nabcde\r\n0\r\n",
            b"GARBAGE\r\n",
            LAST,
        ):
            for reason in (ConnectionLost(), ConnectionDone(), ConnectionAborted()):
                peer = self.peer().send(case)
                peer.transport.lose(reason)
                self.clock.advance(0)
                self.assert_nothing_left(case)
                self.assert_quiet(case)

    def test_a_check_that_ends_after_its_client_has_gone_harms_nobody(self) -> None:
        """An answer that nobody waits for any more is dropped without a word."""
        stubborn: Deferred[Any] = Deferred(lambda _: None)
        self.patch(self.verifier, "verify", lambda login: stubborn)
        peer = self.peer().send(CHECK)
        peer.transport.lose(ConnectionLost())
        if not stubborn.called:
            stubborn.callback(RIGHT)
        self.assert_nothing_left()
        self.assert_quiet("late answer")


TOKEN = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}".encode()
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
CHUNKED = TOKEN + b"Transfer-Encoding: chunked\r\n\r\n"
FILLED = str(len(urlencode(GOOD))).encode()
BODY = urlencode(GOOD).encode()

MALFORMED = {
    "chunk size that is no number": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "chunk size below zero": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a blank": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk size with an underscore": CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"f" * 5000,
    "endless chunk extension": CHUNKED + b"3;" + b"x" * 5000,
    "control character in a chunk extension": CHUNKED + b"3;\0\r\nabc\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunks ended by LF": CHUNKED + b"3\nabc\n0\n\n",
    "endless trailer": CHUNKED + b"0\r\n" + b"a: b\r\n" * 20000,
    "endless trailer line": CHUNKED + b"0\r\n" + b"a" * 100_000,
    "length below zero": TOKEN + b"Content-Length: -1\r\n\r\n",
    "length with a sign": TOKEN + b"Content-Length: +" + FILLED + b"\r\n\r\n" + BODY,
    "length in hex": TOKEN + b"Content-Length: 0x10\r\n\r\n" + BODY,
    "length with an underscore": TOKEN + b"Content-Length: 1_0\r\n\r\n" + BODY,
    "length with a fraction": TOKEN + b"Content-Length: 10.0\r\n\r\n" + BODY,
    "length in other digits": TOKEN + "Content-Length: ٣²\r\n\r\n".encode() + BODY,
    "empty length": TOKEN + b"Content-Length:\r\n\r\n" + BODY,
    "list of lengths": TOKEN + b"Content-Length: 3, 3\r\n\r\n" + BODY,
    "same length twice": TOKEN + b"Content-Length: 3\r\n" * 2 + b"\r\n" + BODY,
    "name with a blank": GET + b"a b: c\r\n\r\n",
    "name with a blank behind it": GET + b"a : b\r\n\r\n",
    "name with NUL": GET + b"a\0: b\r\n\r\n",
    "name with other letters": GET + "ü: c\r\n\r\n".encode(),
    "empty name": GET + b": b\r\n\r\n",
    "no name": GET + b"abc\r\n\r\n",
    "no name, and more": GET + b"abc\r\nX: y\r\n\r\n",
    "value with NUL": GET + b"a: \0\r\n\r\n",
    "value with CR": GET + b"a: b\rc: d\r\n\r\n",
    "value with LF": GET + b"a: b\nc: d\r\n\r\n",
    "folded first line": b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    "only LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "only CR": b"GET /health HTTP/1.1\rHost: x\r\r",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/1.2": b"GET /health HTTP/1.2\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP in small letters": b"GET /health http/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "two blanks": b"GET  /health HTTP/1.1\r\n\r\n",
    "tabs": b"GET\t/health\tHTTP/1.1\r\n\r\n",
    "blank behind": b"GET /health HTTP/1.1 \r\n\r\n",
    "blank in the path": b"GET /hea lth HTTP/1.1\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "control character in the path": b"GET /health\x01 HTTP/1.1\r\n\r\n",
    "NUL in the path": b"GET /health\0 HTTP/1.1\r\n\r\n",
    "DEL and Latin-1 in the path": b"GET /h\xe9alth\x7f HTTP/1.1\r\n\r\n",
    "no blanks": b"GARBAGE\r\n\r\n",
    "nothing but line ends": b"\r\n\r\n\r\n",
    "method with a bracket": b"G(ET /health HTTP/1.1\r\n\r\n",
    "method of other letters": "ÜET /health HTTP/1.1\r\n\r\n".encode(),
    "method of signs": b"!#$%&'*+-.^_`|~ /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "method without end": b"X" * 20000,
    "long method": b"X" * 16000 + b" /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method but a star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "somebody else's URL": b"GET http://example.com/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "path without a slash": b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that goes up": b"GET /x/../health HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped NUL": b"GET /health%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped line end": b"GET /health%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n",
    "half an escape": b"GET /health% HTTP/1.1\r\nHost: x\r\n\r\n",
    "no escape": b"GET /health%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped UTF-8": b"GET /%c3%bc HTTP/1.1\r\nHost: x\r\n\r\n",
    "URL of 20 kB": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "URL of 15 kB": b"GET /" + b"a" * 15_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header of 20 kB": GET + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    "600 headers": GET + b"".join(b"X-%d: y\r\n" % i for i in range(600)) + b"\r\n",
    "the same header 600 times": GET + b"X: y\r\n" * 600 + b"\r\n",
    "folded header of 20 kB": GET + b"X: y\r\n" + b" z\r\n" * 20_000 + b"\r\n",
    "credentials that are no text": TOKEN
    + b"Authorization: Basic \xff\xfe\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY,
    "content type that is no text": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: \xff\xfe\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "query that is no text": b"POST /oauth/token?%ff=\xa0 HTTP/1.1\r\nHost: x\r\n"
    + FORM.encode()
    + b"Content-Length: %d\r\n\r\n" % len(BODY)
    + BODY,
}
"""What no right client sends. None of it may bring more than a 4xx."""

SMUGGLED = {
    "both lengths": TOKEN + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, the other way": TOKEN
    + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "two lengths": TOKEN + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "two codings": TOKEN + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "unknown coding": TOKEN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings in one": TOKEN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding behind a vertical tab": TOKEN + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "coding with a blank before the colon": TOKEN + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "coding behind NUL": TOKEN + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
    "coding behind LF": TOKEN + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length behind CR": TOKEN + b"X: y\rContent-Length: 44\r\n\r\n",
    "chunk that ends with LF": CHUNKED + b"1\r\na\n0\r\n\r\n",
}
"""Heads that two servers in a row may read in two ways; each is followed by one more request."""


class MalformedTests(SiteTestCase):
    """Requests that are none."""

    def setUp(self) -> None:
        super().setUp()
        self.site = self.make_site(FixedVerifier(RIGHT))

    def assert_refused(self, case: str, data: bytes) -> list[int]:
        """Each answer is a 4xx, or the connection ends; the next one works as ever."""
        peer = self.peer()
        for piece in (data[:1], data[1:-1], data[-1:]):
            peer.send(piece)
        statuses = peer.statuses
        if not statuses:
            self.pass_time(IDLE_SECONDS + 1)
            self.assertFalse(peer.is_open, case)
        for reply in peer.replies:
            self.assertIn(reply.status, range(400, 500), case)
            self.assertNotIn(b"<", reply.body, case)
            self.assertNotIn(b"Traceback", reply.body, case)
        self.assert_quiet(case)
        self.assertEqual(self.peer().send(HEALTH).statuses, [200], case)
        return statuses

    def test_what_is_malformed_is_refused(self) -> None:
        """Every row of the table brings a 4xx or the end of its connection."""
        for case, data in MALFORMED.items():
            self.assert_refused(case, data)

    def test_no_second_request_can_be_smuggled(self) -> None:
        """After a head that can be read in two ways, nothing behind it is looked at."""
        for case, data in SMUGGLED.items():
            statuses = self.assert_refused(case, data + HEALTH)
            self.assertEqual(statuses, [400], case)

    def test_a_length_of_very_many_digits_is_refused(self) -> None:
        """Python refuses to read such a number at all."""
        for digits in (20, 1000, 5000):
            head = TOKEN + b"Content-Length: " + b"9" * digits + b"\r\n\r\n"
            self.assert_refused(f"{digits} digits", head)
            self.assertIn(self.peer().send(head).statuses, ([400], [413]), digits)

    def test_a_path_that_is_not_utf_8_is_not_there(self) -> None:
        """Such a path is answered in JSON, as any other that is not there, and not worth a line."""
        for path in (b"/h\xa9\xb0", b"/h%ff%fe", b"/%80/health", b"/oauth/token%ff", b"*%ff"):
            statuses = self.assert_refused(repr(path), b"GET " + path + b" HTTP/1.1\r\n\r\n")
            self.assertEqual(len(statuses), 1, path)

    def test_no_host_header_does_harm(self) -> None:
        """Whatever a client calls us, the answer is the usual one, or a 4xx."""
        for host in (
            *("", ".", "a..b", "a" * 64, "x" * 300, "xn--a", "xn--ü", "ü", "-", "a_b", "a b"),
            *("a:b", "a:99999999", "[::1]:8580", "[::1", "]", "<x>", "a/b?c#d@e", "%41", "a,b"),
        ):
            head = b"GET /health HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()
            [reply] = self.peer().send(head).replies
            self.assertIn(reply.status, (200, *range(400, 500)), host)
            self.assert_quiet(host)
        [reply] = self.peer().send(b"GET /health HTTP/1.1\r\nHost: \xff\r\n\r\n").replies
        self.assertIn(reply.status, (200, *range(400, 500)))
        self.assert_quiet("Latin-1")

    def test_http_1_0_is_answered_and_closed(self) -> None:
        """The last request of a connection of old."""
        peer = self.peer().send(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual(peer.statuses, [200])
        self.clock.advance(0)
        self.assertFalse(peer.is_open)

    def test_bytes_behind_the_end_are_not_looked_at(self) -> None:
        """Over TLS they still come in when the connection is being closed."""
        for start in (
            b"GARBAGE\r\n",
            TOKEN + b"Content-Length: 1\r\nContent-Length: 2\r\nX: y\r\n",
            CHUNKED + b"zz\r\n",
            TOKEN + b"Content-Length: 9999999\r\n\r\n",
            LAST,
        ):
            peer = self.peer(deaf=True).send(start)
            said = peer.transport.value()
            for more in (b"X: y\r\n\r\n", HEALTH, b"\r\n\r\n0\r\n\r\n", b"\xff" * 20_000):
                peer.send(more)
            self.assertEqual(peer.transport.value(), said, start)
            self.assert_quiet(start)

    def test_nobody_is_asked_to_go_on_with_what_is_refused(self) -> None:
        """A body that is too large is refused before ``100 Continue``, which does not follow."""
        head = TOKEN + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
        self.assertEqual(self.peer().send(head).statuses, [413])

    @given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
    def test_arbitrary_bytes_never_break_a_connection(
        self, pieces: list[bytes], deaf: bool
    ) -> None:
        """Nothing that a client sends raises, or is worth an error in the log."""
        self.assert_harmless(pieces, deaf)

    @given(
        st.lists(
            st.sampled_from(
                (
                    *(b"GET ", b"POST ", b"\xff ", b"/oauth/token", b"/health", b"*", b"/\xa9"),
                    *(b"/%ff", b"?a=%ff", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" ", b"\r\n"),
                    *(b"\n", b"\r", b"\0", b"\t", b": ", b";", b"Host: x\r\n", b"Host: a..b\r\n"),
                    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"),
                    *(b"Content-Length: 9999999\r\n", b"Connection: close\r\n", FORM.encode()),
                    *(b"Expect: 100-continue\r\n", b"X-Forwarded-For: \xff, ::1%1\r\n"),
                    *(b"Authorization: Basic \xff\r\n", b"Cookie: \xff=;=\r\n", b"3\r\n"),
                    *(b"abc", b"0\r\n", b"\r\n\r\n", BODY, HEALTH, CHECK, LAST),
                )
            ),
            max_size=16,
        ),
        st.integers(1, 40),
        st.booleans(),
    )
    def test_pieces_of_requests_in_any_order_never_break_a_connection(
        self, words: list[bytes], step: int, deaf: bool
    ) -> None:
        """Neither does what looks like HTTP, however it is cut."""
        data = b"".join(words)
        self.assert_harmless([data[i : i + step] for i in range(0, len(data), step)], deaf)

    def assert_harmless(self, pieces: list[bytes], deaf: bool) -> None:
        """Send the pieces, then go; nothing raises, nothing is logged and nothing is left."""
        self.events.clear()
        peer = self.peer(deaf=deaf)
        for piece in pieces:
            peer.send(piece)
        peer.transport.lose(ConnectionLost())
        self.clock.advance(0)
        self.assert_quiet(pieces)
        self.assert_nothing_left(pieces)


class DrainTests(SiteTestCase):
    """How a site ends."""

    def drain(self) -> Deferred[None]:
        """Begin to drain."""
        return Deferred.fromCoroutine(self.site.drain(GRACE))

    def test_an_empty_site_is_drained_at_once(self) -> None:
        """Nobody is waited for."""
        self.successResultOf(self.drain())

    def test_it_ends_with_the_last_connection(self) -> None:
        """Clients that go by themselves are not waited for any longer."""
        peers = [self.peer(), self.peer()]
        drained = self.drain()
        for peer in peers:
            self.assertNoResult(drained)
            peer.transport.lose(ConnectionDone())
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_connections_are_closed_after_a_moment(self) -> None:
        """One that asks in that moment is answered that it was the last time."""
        idle, active = self.peer(), self.peer()
        drained = self.drain()
        self.pass_time(LINGER_SECONDS - 0.5)
        active.send(HEALTH)
        [reply] = active.replies
        self.assertEqual((reply.status, reply.headers["connection"]), (200, "close"))
        self.clock.advance(0)
        self.assertEqual((active.is_open, idle.is_open), (False, True))
        self.pass_time(1)
        self.assertFalse(idle.is_open)
        self.assertEqual(idle.transport.value(), b"")
        self.successResultOf(drained)

    def test_checks_under_way_are_answered(self) -> None:
        """Each answer says that the connection closes, however long it took, and so it does."""
        for seconds in (0.5, LINGER_SECONDS + 1, GRACE - 1):
            self.site = self.make_site(self.verifier)
            peer = self.peer().send(CHECK)
            drained = self.drain()
            self.pass_time(seconds)
            self.assertNoResult(drained)
            self.verifier.waiting.pop().callback(RIGHT)
            [reply] = peer.replies
            self.assertEqual(reply.status, 200)
            if seconds > LINGER_SECONDS:
                self.assertEqual(reply.headers.get("connection"), "close", seconds)
            self.pass_time(LINGER_SECONDS + 1)
            self.assertFalse(peer.is_open)
            self.successResultOf(drained)

    def test_a_request_that_is_coming_in_is_answered(self) -> None:
        """What was sent before the end is read to its end."""
        peer = self.peer().send(CHECK[:-5])
        drained = self.drain()
        self.pass_time(LINGER_SECONDS + 1)
        peer.send(CHECK[-5:])
        self.verifier.waiting[0].callback(RIGHT)
        [reply] = peer.replies
        self.assertEqual((reply.status, reply.headers.get("connection")), (200, "close"))
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_the_grace_has_an_end(self) -> None:
        """What is not done then is cut, whether it is a check or a client that does not listen."""
        slow, deaf = self.peer().send(CHECK), self.peer(deaf=True)
        drained = self.drain()
        self.pass_time(GRACE + LINGER_SECONDS + 1)
        self.successResultOf(drained)
        self.assertEqual((slow.is_open, deaf.is_open), (False, False))
        self.assertEqual(slow.replies, [])
        self.assert_nothing_left()


class SocketTests(TestCase):
    """Ends of connections that only a real socket shows."""

    timeout = 60

    def setUp(self) -> None:
        self.verifier = PendingVerifier()

    async def serve(self, site: BoundedSite) -> int:
        """Serve at a port, until the test ends, and return it."""
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
        self.addCleanup(lambda: Deferred.fromCoroutine(site.drain(PATIENCE)))
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def test_an_abort_is_no_answer(self) -> None:
        """In an outage the connection is cut: no byte of an answer, after earlier ones or not."""
        down = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION)
        site = provider_site(
            FixedVerifier(down),
            Client("mac", drop_on_outage=True),
            clock=reactor,
            readiness=FakeReadiness(Reason.UPSTREAM_CONNECTION),
            drop_on_outage=True,
        )
        port = await self.serve(site)
        discovery = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\n\r\n"
        for last in (CHECK, discovery, CHECK + HEALTH):
            for requests in ([last], [HEALTH, last], [HEALTH, HEALTH, last]):
                said, end = await self.exchange(port, requests)
                self.assertEqual(said.count(b"HTTP/1.1"), len(requests) - 1, requests)
                self.assertEqual(said.count(b"healthy"), len(requests) - 1, requests)
                self.assertEqual(end, ConnectionResetError, requests)

    async def test_a_client_that_is_only_half_there_is_gone(self) -> None:
        """Who closes the sending side of a connection gives up what it has asked."""
        port = await self.serve(provider_site(self.verifier, clock=reactor))
        said, _ = await self.exchange(port, [CHECK], half=True)
        self.assertEqual((said, self.verifier.waiting), (b"", []))
        self.assertEqual(len(self.verifier.asked), 1)

    def exchange(
        self, port: int, requests: list[bytes], *, half: bool = False
    ) -> Coroutine[Deferred[Any], Any, tuple[bytes, type[Exception] | None]]:
        """Send one request after the other; what came back, and the exception at the end.

        ``half``: close the sending side behind the requests.
        """

        def blocking() -> tuple[bytes, type[Exception] | None]:
            said = b""
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                try:
                    for number, request in enumerate(requests):
                        client.sendall(request)
                        while said.count(b"healthy") < min(number + 1, len(requests) - 1):
                            said += client.recv(65536)
                    if half:
                        client.shutdown(socket.SHUT_WR)
                    while data := client.recv(65536):
                        said += data
                except OSError as error:
                    return said, type(error)
            return said, None

        async def threaded() -> tuple[bytes, type[Exception] | None]:
            return await deferToThread(blocking)

        return threaded()
