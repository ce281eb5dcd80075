"""The agent for Authentik: its requests, and the connections that it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from ropg_twisted.authentik.agent import IDLE_SECONDS, BytesProducer, ConnectionPool, OriginAgent
from ropg_twisted.authentik.connection import ClientConnection, Origin
from ropg_twisted.authentik.responses import CompleteResponse, MalformedResponseError
from ropg_twisted.networks import LOOPBACK
from ropg_twisted.tls_trust import tls_policy
from tests.parametrize import parametrize

URL = b"http://authentik.example.com:9000/api/?a=b"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Wire(StringTransport):
    """The transport of a connection to Authentik."""

    protocol: ClientConnection

    def abortConnection(self) -> None:
        """Close the connection, which its protocol is told later."""
        self.aborting = True
        self.disconnected = True


class MemoryOrigin(Origin):
    """An origin whose connections are in memory. ``wires``: their transports, in order."""

    def __init__(self) -> None:
        reactor: Any = Clock()
        super().__init__(reactor, URL, tls_policy(None))
        self.wires: list[Any] = []

    async def connect(
        self,
        on_idle: Callable[[ClientConnection], object],
        on_lost: Callable[[ClientConnection], object],
    ) -> ClientConnection:
        """See :class:`Origin`."""
        connection, wire = ClientConnection(on_idle, on_lost), Wire()
        connection.makeConnection(wire)
        wire.protocol = connection
        self.wires.append(wire)
        return connection


class AgentTestCase(SynchronousTestCase):
    """An agent on connections in memory."""

    def setUp(self) -> None:
        """Make an agent that keeps connections."""
        self.clock = Clock()
        self.origin = MemoryOrigin()
        self.pool = ConnectionPool(self.clock)
        self.agent = OriginAgent(self.origin, self.pool)

    def request(self, agent: OriginAgent | None = None) -> Deferred[IResponse]:
        """Send a request."""
        return (agent or self.agent).request(b"GET", URL)

    def answer(self, number: int, data: bytes = ANSWER) -> None:
        """Send this from the other end of a connection."""
        self.origin.wires[number].protocol.dataReceived(data)

    def lose(self, number: int, error: Exception) -> None:
        """Lose a connection."""
        self.origin.wires[number].protocol.connectionLost(Failure(error))

    def aborted(self) -> list[bool]:
        """Which connections were closed from here."""
        return [wire.disconnected for wire in self.origin.wires]


class MessageTests(AgentTestCase):
    """Requests as they are sent."""

    def sent(self, agent: OriginAgent, *arguments: Any) -> bytes:
        """The bytes of a request."""
        agent.request(*arguments)
        data: bytes = self.origin.wires[-1].value()
        return data

    def test_get(self) -> None:
        """It has the host, asks for bodies as they are, and then the headers of the caller."""
        headers = Headers({"X-Forwarded-For": ["192.0.2.7"], "Accept-Encoding": ["gzip"]})
        self.assertEqual(
            self.sent(self.agent, b"GET", URL, headers),
            b"GET /api/?a=b HTTP/1.1\r\n"
            b"Host: authentik.example.com:9000\r\n"
            b"Accept-Encoding: identity\r\n"
            b"X-Forwarded-For: 192.0.2.7\r\n\r\n",
        )

    def test_post(self) -> None:
        """It has the length of its body."""
        data = self.sent(self.agent, b"POST", URL, None, BytesProducer(b'{"a": 1}'))
        self.assertTrue(data.endswith(b'\r\nContent-Length: 8\r\n\r\n{"a": 1}'))

    def test_a_connection_for_one_request(self) -> None:
        """It is announced."""
        self.assertIn(
            b"\r\nConnection: close\r\n", self.sent(OriginAgent(self.origin), b"GET", URL)
        )

    @parametrize(
        {
            "scheme": (b"https://authentik.example.com:9000/",),
            "port": (b"http://authentik.example.com/",),
            "longer port": (b"http://authentik.example.com:90001/",),
            "user": (b"http://authentik.example.com:9000@example.org/",),
        }
    )
    def test_another_origin(self, url: bytes) -> None:
        """No request leaves for it, so no cookie does."""
        with self.assertRaises(ValueError):
            self.agent.request(b"GET", url)
        self.assertEqual(self.origin.wires, [])


class ConnectionTests(AgentTestCase):
    """Responses, and connections that break."""

    def test_a_response(self) -> None:
        """It is there when its last byte is."""
        request = self.request()
        self.answer(0, ANSWER[:-1])
        self.assertNoResult(request)
        self.answer(0, ANSWER[-1:])
        response = self.successResultOf(request)
        assert isinstance(response, CompleteResponse)
        self.assertEqual(response.body, b"{}")

    def test_a_broken_connection(self) -> None:
        """It fails the request, unless its end is that of the body."""
        for data, error, body in (
            (b"HTTP/1.1 200 OK\r\n\r\n{}", ConnectionDone(), b"{}"),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", ConnectionLost(), None),
            (ANSWER[:-1], ConnectionDone(), None),
            (b"", ConnectionDone(), None),
        ):
            request = self.request()
            self.answer(-1, data)
            self.lose(-1, error)
            if body is None:
                self.failureResultOf(request, type(error))
            else:
                response = self.successResultOf(request)
                assert isinstance(response, CompleteResponse)
                self.assertEqual(response.body, body)

    def test_a_malformed_response(self) -> None:
        """It fails the request and closes the connection."""
        request = self.request()
        self.answer(0, b"no HTTP\r\n")
        self.failureResultOf(request, MalformedResponseError)
        self.lose(0, ConnectionLost())
        self.assertEqual(self.aborted(), [True])

    def test_cancellation(self) -> None:
        """It closes the connection, and a late response is nobody's."""
        request = self.request()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.answer(0)
        self.assertEqual(self.aborted(), [True])


class PoolTests(AgentTestCase):
    """Connections that are kept."""

    def test_a_connection_carries_many_requests(self) -> None:
        """Requests follow one another; two requests at a time have two."""
        for _ in range(3):
            request = self.request()
            self.answer(0)
            self.successResultOf(request)
        self.assertEqual(len(self.origin.wires), 1)
        self.request()
        self.request()
        self.assertEqual(len(self.origin.wires), 2)

    def test_the_next_request_may_come_from_the_response(self) -> None:
        """The connection is free by then."""
        again = self.request().addCallback(lambda _: self.request())
        self.answer(0)
        self.assertNoResult(again)
        self.answer(0)
        self.successResultOf(again)
        self.assertEqual(len(self.origin.wires), 1)

    @parametrize({"closing": (CLOSING,), "more than a response": (ANSWER + b"HTTP/1.1 200",)})
    def test_some_are_not_kept(self, data: bytes) -> None:
        """The peer closes them, or has sent what nobody has asked for."""
        request = self.request()
        self.answer(0, data)
        self.successResultOf(request)
        self.assertEqual(self.aborted(), [True])
        self.request()
        self.assertEqual(len(self.origin.wires), 2)

    def test_bytes_without_a_request(self) -> None:
        """They close the connection, and it is not used again."""
        request = self.request()
        self.answer(0)
        self.successResultOf(request)
        self.answer(0)
        self.lose(0, ConnectionLost())
        self.assertEqual(self.aborted(), [True])
        self.request()
        self.assertEqual(len(self.origin.wires), 2)

    def test_an_idle_connection_that_breaks(self) -> None:
        """It is not used again."""
        request = self.request()
        self.answer(0)
        self.successResultOf(request)
        self.lose(0, ConnectionDone())
        self.request()
        self.assertEqual(len(self.origin.wires), 2)

    def test_idle_connections_are_closed(self) -> None:
        """Each after its own time; what is used goes on."""
        requests = [self.request(), self.request()]
        self.answer(0)
        self.clock.advance(IDLE_SECONDS / 2)
        self.answer(1)
        self.clock.advance(IDLE_SECONDS / 2)
        self.assertEqual(self.aborted(), [True, False])
        self.request()
        self.clock.advance(IDLE_SECONDS)
        self.assertEqual(self.aborted(), [True, False])
        self.assertEqual(len(self.origin.wires), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for request in requests:
            self.successResultOf(request)

    def test_without_a_pool(self) -> None:
        """Each request has a connection of its own, which is closed after it."""
        agent = OriginAgent(self.origin)
        for number in range(2):
            request = self.request(agent)
            self.answer(number)
            self.successResultOf(request)
        self.assertEqual(self.aborted(), [True, True])

    def test_all_can_be_closed(self) -> None:
        """Nothing is left to do then."""
        request = self.request()
        self.answer(0)
        self.successResultOf(request)
        self.pool.close()
        self.assertEqual((self.aborted(), self.clock.getDelayedCalls()), ([True], []))


class OriginTests(SynchronousTestCase):
    """The origin of a URL."""

    def test_own_address(self) -> None:
        """It is that of loopback before there is a connection."""
        self.assertEqual(MemoryOrigin().own_address, LOOPBACK)
