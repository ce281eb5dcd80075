"""A peer that plays Authentik honestly, but for one fault at one request."""

from __future__ import annotations

import gzip
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.authentik.responses import MAX_BODY
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests.certificates import Identity
from tests.client import Connection

SLUG: Final = "inbuilt-only"
"""A flow of the sandbox that takes one request at each of the first five points."""

ENOUGH: Final = 4 * MAX_BODY
"""Bytes after which something that ought to be endless falls silent."""


class Point(StrEnum):
    """The requests of one login, in their order, and the two that fetch Authentik's tokens."""

    OPENING = "first GET"
    NAME = "POST of the name"
    QUESTION = "GET of the password stage"
    PASSWORD = "POST of the password"
    END = "GET behind the password"
    ACCESS = "GET of check_access"
    IDENTITY = "GET of users/me"
    REMOVAL = "GET of the invalidation flow"
    AUTHORIZE = "GET of the authorization code"
    TOKEN = "POST for the tokens"


POINTS: Final = tuple(Point)[:8]
FLOW_POINTS: Final = POINTS[:5]
BEFORE_THE_PASSWORD: Final = POINTS[:3]

_PATHS: Final = {
    b"/check_access/": Point.ACCESS,
    b"/users/me/": Point.IDENTITY,
    b"/default-invalidation-flow/": Point.REMOVAL,
    b"/application/o/authorize/": Point.AUTHORIZE,
    b"/application/o/token/": Point.TOKEN,
}


class FaultyConnection(Protocol):
    """A connection to the faulty Authentik."""

    def __init__(self, peer: FaultyAuthentik) -> None:
        self._peer = peer
        self._received = b""

    def connectionMade(self) -> None:
        """Join the peer, or go wrong at once."""
        self._peer.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """Answer each request that is there whole."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if end and len(rest) >= length:
            self._received = rest[length:]
            self._peer.answer(self, head + end + rest[:length])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the peer."""
        self._peer.closed(self)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._wire.write(data)

    def send_forever(self, piece: bytes) -> None:
        """Send the same bytes again and again."""
        self._wire.registerProducer(EndlessProducer(self, piece), False)

    def fall_silent(self) -> None:
        """Hear and say nothing any more, TLS included: a process that hangs, but lives."""
        self._wire.dataReceived = lambda data: None
        self._peer.fell_silent()

    def hang_up(self) -> None:
        """Close the TCP connection as a dying process does, without a farewell of TLS."""
        getattr(self._wire, "transport", self._wire).loseConnection()

    def reset(self) -> None:
        """Close the connection with a RST."""
        self._wire.abortConnection()

    @property
    def _wire(self) -> Any:
        return self.transport


@implementer(IPullProducer)
class EndlessProducer:
    """The same bytes, until :data:`ENOUGH` have been taken; then silence."""

    def __init__(self, connection: FaultyConnection, piece: bytes) -> None:
        self._connection = connection
        self._piece = piece
        self._left = ENOUGH

    def resumeProducing(self) -> None:
        """See :class:`IPullProducer`."""
        if self._left > 0:
            self._left -= len(self._piece)
            self._connection.send(self._piece)
            if self._left <= 0:
                self._connection.fall_silent()

    def stopProducing(self) -> None:
        """See :class:`IPullProducer`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    ``act``: does it on a connection, given the honest answer. ``early``: as soon as a connection
    is made for the request. ``absent``: nobody listens any more when the request is due.
    """

    act: Callable[[FaultyConnection, bytes], object]
    early: bool = False
    absent: bool = False


class FaultyAuthentik(Factory):
    """Authentik as the sandbox plays it, but for a ``fault`` at ``point``, so many ``times``.

    ``tls``: key and certificate to show. ``seen``: where in a login each request was.
    ``silence``: fires when the peer falls silent next.
    """

    noisy = False

    def __init__(
        self,
        clock: Clock,
        fault: Fault | None = None,
        point: Point | None = None,
        *,
        times: int = 1000,
        tls: Identity | None = None,
    ) -> None:
        self.sandbox = Sandbox(clock)
        self.seen: list[Point] = []
        self.silence: Deferred[None] = Deferred()
        self._site = sandbox_site(self.sandbox)
        self._site.reactor = clock
        self._fault = fault
        self._point = point
        self._times = times
        self._tls = tls
        self._due = fault is not None and fault.early and point is Point.OPENING
        self._connections: set[FaultyConnection] = set()
        self._empty: list[Deferred[None]] = []
        self._last_post = Point.NAME

    def listen(self, reactor: Any) -> int:
        """Listen on loopback and return the port."""
        factory: Any = self
        if self._tls is not None:
            shown = PrivateCertificate.loadPEM((self._tls.key + self._tls.pem).encode())
            factory = TLSMemoryBIOFactory(shown.options(), False, self, reactor)
            factory.noisy = False
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        port: int = self._port.getHost().port
        if self._fault is not None and self._fault.absent and self._due:
            self._port.stopListening()
        return port

    def buildProtocol(self, addr: object) -> FaultyConnection:
        """See :class:`Factory`."""
        return FaultyConnection(self)

    def answer(self, connection: FaultyConnection, request: bytes) -> None:
        """Answer as Authentik would, or wrongly."""
        point = self._place(request)
        self.seen.append(point)
        honest = Connection(self._site, "127.0.0.1").send(request).transport.value()
        fault = self._fault
        if fault is None or not self._times:
            connection.send(honest)
        elif fault.early and point in self._before:
            connection.send(honest.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            self._due = self._before <= set(self.seen)
            if self._due and fault.absent:
                self._port.stopListening()
        elif not fault.early and point is self._point:
            self._times -= 1
            fault.act(connection, honest)
        else:
            connection.send(honest)

    def opened(self, connection: FaultyConnection) -> None:
        """Take a connection in."""
        self._connections.add(connection)
        if self._due and self._times and self._fault is not None:
            self._times -= 1
            self._due = self._times > 0
            self._fault.act(connection, b"")

    def closed(self, connection: FaultyConnection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        while self._empty and not self._connections:
            self._empty.pop().callback(None)

    def fell_silent(self) -> None:
        """Tell that there will be no more."""
        silence, self.silence = self.silence, Deferred()
        silence.callback(None)

    def empty(self) -> Deferred[None]:
        """Wait until there is no connection left."""
        if not self._connections:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._empty.remove)
        self._empty.append(waiter)
        return waiter

    async def stop(self) -> None:
        """Cut what is left and listen no more."""
        await maybeDeferred(self._port.stopListening)
        for connection in self._connections:
            connection.reset()
        await self.empty()

    @property
    def _before(self) -> set[Point]:
        """The points just before the fault. Access and user are asked for at the same time."""
        if self._point is Point.REMOVAL:
            return {Point.ACCESS, Point.IDENTITY}
        return {point for point in POINTS[:-2] if self._follows(point) is self._point}

    @staticmethod
    def _follows(point: Point) -> Point:
        return POINTS[POINTS.index(point) + 1]

    def _place(self, request: bytes) -> Point:
        """Return the point of a login that a request belongs to. GETs are told apart by order."""
        head, _, body = request.partition(b"\r\n\r\n")
        for path, point in _PATHS.items():
            if path in head:
                return point
        if body:
            self._last_post = Point.PASSWORD if "password" in json.loads(body) else Point.NAME
            return self._last_post
        return self._follows(self._last_post) if b"\r\ncookie:" in head.lower() else Point.OPENING


def answer(
    body: bytes | str = b"{}",
    *headers: str,
    status: str = "200 OK",
    kind: str = "application/json",
    length: int | None = None,
) -> bytes:
    """The bytes of an HTTP answer. ``length``: what Content-Length claims."""
    data = body.encode() if isinstance(body, str) else body
    size = len(data) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers, f"Content-Length: {size}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def respond_with(
    data: bytes, *, then: Callable[[FaultyConnection], object] = lambda connection: None
) -> Fault:
    """A fault: these bytes, and ``then`` something else, in place of the honest response."""

    def act(connection: FaultyConnection, honest: bytes) -> None:
        connection.send(data)
        then(connection)

    return Fault(act)


def change_response(edit: Callable[[bytes], bytes]) -> Fault:
    """A fault: the honest response, changed."""
    return Fault(lambda connection, honest: connection.send(edit(honest)))


def redirect_with(status: str, *headers: str) -> Fault:
    """A redirect."""
    return respond_with(answer(b"", *headers, status=status))


def _without_cookie(honest: bytes) -> bytes:
    lines = honest.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"set-cookie:"))


def _with_cookie(value: str) -> Callable[[bytes], bytes]:
    line = f"\r\nSet-Cookie: authentik_session={value}; HttpOnly; Path=/\r\n".encode()
    return lambda honest: _without_cookie(honest).replace(b"\r\n", line, 1)


def cookie(payload: bytes) -> str:
    """A session cookie that says this, signed by nobody."""
    return f"e30.{urlsafe_b64encode(payload).decode().rstrip('=')}.x"


_JSON = '{"component": "ak-stage-password", "pad": "'
_TOO_MUCH = f'{_JSON}{"x" * MAX_BODY}"}}'
_NESTED = '{"component": ' + "[" * 200_000 + "]" * 200_000 + "}"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNK = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
EXECUTOR = f"/api/v3/flows/executor/{SLUG}/?query="

FAULTS: Final[dict[str, Fault]] = {
    # Connections.
    "nobody listens": Fault(lambda connection, _: connection.reset(), early=True, absent=True),
    "reset when connected": Fault(lambda connection, _: connection.reset(), early=True),
    "silence when connected": Fault(lambda connection, _: connection.fall_silent(), early=True),
    "reset": Fault(lambda connection, _: connection.reset()),
    "hang-up": Fault(lambda connection, _: connection.hang_up()),
    "silence": Fault(lambda connection, _: connection.fall_silent()),
    "silence in the headers": respond_with(answer()[:30], then=FaultyConnection.fall_silent),
    "silence in the body": respond_with(answer("{", length=2), then=FaultyConnection.fall_silent),
    "silence behind the headers": respond_with(
        answer("", length=2), then=FaultyConnection.fall_silent
    ),
    # HTTP.
    "no HTTP": respond_with(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a status that is no number": respond_with(b"HTTP/1.1 twohundred OK\r\n\r\n"),
    "two lengths": respond_with(answer("{}", "Content-Length: 3")),
    "an unknown transfer encoding": respond_with(_HEAD + b"Transfer-Encoding: rot13\r\n\r\n{}"),
    "a body that is cut": respond_with(answer("{", length=2), then=FaultyConnection.hang_up),
    "a redirect that is cut": respond_with(
        answer("", f"Location: {EXECUTOR}", status="302 Found", length=9),
        then=FaultyConnection.hang_up,
    ),
    "chunks that are cut": respond_with(
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNK, then=FaultyConnection.hang_up
    ),
    "headers that are cut": respond_with(answer()[:30], then=FaultyConnection.hang_up),
    "a header of 100 kB": respond_with(answer("{}", f"X-Long: {'x' * 100_000}")),
    "endless headers": respond_with(
        b"HTTP/1.1 200 OK\r\n",
        then=lambda connection: connection.send_forever(b"X: " + b"x" * 1000 + b"\r\n"),
    ),
    # Bodies.
    "a body that is too large": respond_with(answer(_TOO_MUCH)),
    "the same without a length": respond_with(
        _HEAD + b"\r\n" + _TOO_MUCH.encode(), then=FaultyConnection.hang_up
    ),
    "an endless body": respond_with(
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        then=lambda connection: connection.send_forever(_CHUNK),
    ),
    "gzip": respond_with(answer(gzip.compress(b"{}"), "Content-Encoding: gzip")),
    "a gzip bomb": respond_with(
        answer(gzip.compress(b" " * 2**20) * 1000, "Content-Encoding: gzip")
    ),
    "an unknown encoding": respond_with(answer("{}", "Content-Encoding: zstd")),
    "HTML": respond_with(answer("<p>Sign in</p>", kind="text/html")),
    "HTML said to be JSON": respond_with(answer("<p>Sign in</p>")),
    "JSON said to be HTML": respond_with(
        answer('{"component": "ak-stage-password"}', kind="text/html")
    ),
    "an array": respond_with(answer("[]")),
    "no component": respond_with(answer("{}")),
    "a component that is a number": respond_with(answer('{"component": 1}')),
    "nothing": respond_with(answer("")),
    "half an object": respond_with(answer('{"component": "ak-st')),
    "no UTF-8": respond_with(answer(b'{"component": "\xff"}')),
    "deep nesting": respond_with(answer(_NESTED)),
    "a number without end": respond_with(answer(f'{{"component": {"9" * 5000}}}')),
    # Statuses.
    "204": respond_with(answer(b"", status="204 No Content")),
    "400": respond_with(answer('{"component": "ak-stage-password"}', status="400 Bad Request")),
    "403": respond_with(answer('{"detail": "no"}', status="403 Forbidden")),
    "404": respond_with(answer("", status="404 Not Found", kind="text/html")),
    "405": respond_with(answer('{"detail": "no"}', "Allow: GET", status="405 Method Not Allowed")),
    "429": respond_with(answer("", "Retry-After: 1", status="429 Too Many Requests")),
    "500": respond_with(
        answer("Server Error", status="500 Internal Server Error", kind="text/plain")
    ),
    "502": respond_with(answer("", status="502 Bad Gateway", kind="text/html")),
    "503": respond_with(
        answer('{"error": "authentik starting"}', "Retry-After: 5", status="503 Unavailable")
    ),
    # Redirects.
    "302 to another host": redirect_with("302 Found", f"Location: http://127.0.0.2{EXECUTOR}"),
    "302 to another path": redirect_with("302 Found", "Location: /if/flow/elsewhere/"),
    "302 to no URL": redirect_with("302 Found", "Location: http://["),
    "302 to nowhere": redirect_with("302 Found"),
    "301": redirect_with("301 Moved Permanently", f"Location: {EXECUTOR}"),
    "307": redirect_with("307 Temporary Redirect", f"Location: {EXECUTOR}"),
}
"""Faults that must be ``unverifiable`` at every point of a flow."""

COOKIE_FAULTS: Final[dict[str, Fault]] = {
    "no cookie": change_response(_without_cookie),
    "garbage": change_response(_with_cookie("garbage")),
    "a cookie of bytes": change_response(_with_cookie(cookie(b"\xff\xfe"))),
    "a cookie without an id": change_response(_with_cookie(cookie(b'{"authenticated": false}'))),
    "another session": change_response(
        _with_cookie(cookie(b'{"sid": "x", "authenticated": false}'))
    ),
}
"""Honest answers whose cookie is not Authentik's."""
