"""Bounds on connections, and their ends."""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ropg_twisted.server import site as site_module
from ropg_twisted.server.site import IDLE_SECONDS, LINGER_SECONDS, BoundedSite
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Verdict
from tests.client import FORM
from tests.composition import daemon_site
from tests.fakes import RIGHT, FakeReadiness, FixedVerifier, PendingVerifier, outcome
from tests.server.sites import CHECK, HEALTH, LAST, SiteClient, SiteTestCase

GRACE = 20
PATIENCE = 15
"""Seconds for which a real socket waits for what should come at once."""


class BoundTests(SiteTestCase):
    """No more connections than there is room for."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(site_module, "MAX_CONNECTIONS", 3)

    def peers(self, number: int) -> list[SiteClient]:
        """New connections, a moment apart."""
        found = []
        for _ in range(number):
            found.append(self.connect())
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
        third = self.connect().send(CHECK)
        self.clock.advance(0.01)
        self.assertEqual([peer.is_open for peer in peers], [True, True, False])
        newcomer = self.connect()
        self.clock.advance(0.01)
        self.assertFalse(newcomer.is_open)
        for waiter in list(self.verifier.waiting):
            waiter.callback(RIGHT)
        self.assertEqual([p.statuses for p in (first, second, third)], [[200]] * 3)

    def test_many_at_the_same_moment_keep_the_bound(self) -> None:
        """A reactor takes in a burst of connections before it tells of the end of any."""
        peers = [self.connect() for _ in range(20)]
        self.clock.advance(0.01)
        self.assertEqual(sum(peer.is_open for peer in peers), 3)

    def test_those_that_went_are_not_counted(self) -> None:
        """A connection that has ended makes room."""
        peers = self.peers(3)
        peers[1].transport.lose(ConnectionDone())
        newcomer = self.connect()
        self.clock.advance(0.01)
        self.assertTrue(all(peer.is_open for peer in (peers[0], peers[2], newcomer)))


class TimeTests(SiteTestCase):
    """Time limits of a connection."""

    def test_trickling_buys_no_time(self) -> None:
        """A request has to be whole in its time, whether its head or its body is late."""
        for request in (HEALTH, CHECK):
            peer = self.connect()
            whole = len(request)
            for byte in request:
                self.pass_time(2 * IDLE_SECONDS / whole)
                peer.send(bytes([byte]))
            self.assertFalse(peer.is_open, request)
            self.assertEqual(peer.replies, [])
        self.assert_nothing_left()

    def test_each_request_has_its_own_time(self) -> None:
        """A kept-alive connection goes on for as long as it asks now and then."""
        peer = self.connect()
        for _ in range(5):
            self.pass_time(IDLE_SECONDS - 1)
            peer.send(HEALTH)
        self.assertEqual(peer.statuses, [200] * 5)
        self.pass_time(IDLE_SECONDS)
        self.assertFalse(peer.is_open)
        self.assert_nothing_left()

    def test_an_answer_may_take_longer(self) -> None:
        """The time of a check is not that of its connection."""
        peer = self.connect().send(CHECK)
        self.pass_time(3 * IDLE_SECONDS)
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(peer.statuses, [200])

    def test_a_close_that_is_not_answered_becomes_a_cut(self) -> None:
        """TLS waits for the peer's word at the end; a peer that never gives it is cut off."""
        for case in (b"", b"GET", HEALTH, LAST, b"GARBAGE\r\n", LAST.replace(b"1.1", b"1.0")):
            peer = self.connect(deaf=True).send(case)
            self.pass_time(2 * IDLE_SECONDS)
            self.assertFalse(peer.is_open, case)
            self.assert_nothing_left(case)


class PipelineTests(SiteTestCase):
    """Several requests at once on one connection."""

    def test_answers_come_in_order(self) -> None:
        """A request behind a check waits for it."""
        peer = self.connect().send(CHECK + HEALTH + CHECK + HEALTH)
        self.assertEqual((peer.replies, len(self.verifier.waiting)), ([], 1))
        self.verifier.waiting[0].callback(RIGHT)
        self.assertEqual(peer.statuses, [200, 200])
        self.verifier.waiting[1].callback(outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS))
        self.assertEqual(peer.statuses, [200, 200, 400, 200])
        self.assertEqual(peer.replies[1].json, {"status": "healthy"})

    def test_nothing_is_read_behind_a_close(self) -> None:
        """``Connection: close`` and HTTP/1.0 make a request the last one."""
        for last in (LAST, LAST.replace(b"1.1", b"1.0")):
            peer = self.connect().send(HEALTH + last + HEALTH)
            self.assertEqual(peer.statuses, [200, 200], last)
            self.clock.advance(0)
            self.assertFalse(peer.is_open)

    def test_a_flood_has_to_wait(self) -> None:
        """Of what comes in during a check only so much is kept."""
        peer = self.connect().send(CHECK)
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
                peer = self.connect().send(case)
                peer.transport.lose(reason)
                self.clock.advance(0)
                self.assert_nothing_left(case)
                self.assert_quiet(case)

    def test_a_check_that_ends_after_its_client_has_gone_harms_nobody(self) -> None:
        """An answer that nobody waits for any more is dropped without a word."""
        stubborn: Deferred[Any] = Deferred(lambda _: None)
        self.patch(self.verifier, "verify", lambda login: stubborn)
        peer = self.connect().send(CHECK)
        peer.transport.lose(ConnectionLost())
        if not stubborn.called:
            stubborn.callback(RIGHT)
        self.assert_nothing_left()
        self.assert_quiet("late answer")


class DrainTests(SiteTestCase):
    """Draining."""

    def drain(self) -> Deferred[None]:
        """Begin to drain."""
        return Deferred.fromCoroutine(self.site.drain(GRACE))

    def test_an_empty_site_is_drained_at_once(self) -> None:
        """The drain does not wait."""
        self.successResultOf(self.drain())

    def test_it_ends_with_the_last_connection(self) -> None:
        """Clients that go by themselves are not waited for any longer."""
        peers = [self.connect(), self.connect()]
        drained = self.drain()
        for peer in peers:
            self.assertNoResult(drained)
            peer.transport.lose(ConnectionDone())
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_connections_are_closed_after_a_moment(self) -> None:
        """A request in that moment is answered, and told that it was the last."""
        idle, active = self.connect(), self.connect()
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
            peer = self.connect().send(CHECK)
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
        """A request that was sent before the end is read to its end."""
        peer = self.connect().send(CHECK[:-5])
        drained = self.drain()
        self.pass_time(LINGER_SECONDS + 1)
        peer.send(CHECK[-5:])
        self.verifier.waiting[0].callback(RIGHT)
        [reply] = peer.replies
        self.assertEqual((reply.status, reply.headers.get("connection")), (200, "close"))
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_the_grace_has_an_end(self) -> None:
        """A check, or a client that does not listen, is cut off then."""
        slow, deaf = self.connect().send(CHECK), self.connect(deaf=True)
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
        site = daemon_site(
            FixedVerifier(down),
            Client("mac", drop_on_outage=True),
            reactor=reactor,
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
        """A client that closes the sending side of a connection gives up its request."""
        port = await self.serve(daemon_site(self.verifier, reactor=reactor))
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
