"""Clients of the daemon, in memory and over a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response as it came over the wire. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class AbortableTransport(StringTransport):
    """A transport that sends nothing after an abort."""

    protocol: Any

    def write(self, data: bytes) -> None:
        """Send, unless the connection was aborted."""
        if self.connected and not self.disconnected:
            super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Send, likewise."""
        self.write(b"".join(data))


class Connection:
    """A connection to a site, without a socket."""

    transport: AbortableTransport

    def __init__(self, site: Site, peer: str = "192.0.2.7") -> None:
        address = IPv4Address("TCP", peer, 49152)
        self._connect(site, AbortableTransport(peerAddress=address, lenient=True))

    def _connect(self, site: Site, transport: AbortableTransport) -> None:
        self.transport = transport
        self.protocol: Any = site.buildProtocol(transport.getPeer())
        transport.protocol = self.protocol
        self.protocol.makeConnection(transport)

    def send(self, data: bytes) -> Connection:
        """Send bytes, as a client would."""
        self.protocol.dataReceived(data)
        return self

    @property
    def replies(self) -> list[Reply]:
        """All responses so far."""
        rest, found = self.transport.value(), []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            length = int(headers.get("content-length", 0))
            found.append(Reply(int(status.split()[1]), headers, rest[:length]))
            rest = rest[length:]
        return found


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
GOOD = {"grant_type": "password", "client_id": "mac", "username": "alice", "password": "secret"}
"""The form of a password grant that succeeds."""


def post(body: str | bytes, headers: str = FORM, target: str = "/oauth/token") -> bytes:
    """The bytes of a token request."""
    data = body.encode() if isinstance(body, str) else body
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


class SocketClient(Protocol):
    """A client that sends one request over a socket.

    ``received``: all bytes so far. ``closed``: fires with them at the end of the connection.
    """

    def __init__(self, request: bytes) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._request = request

    @property
    def status(self) -> int:
        """The status of the response, 0 until there is one."""
        return int(self.received[9:12] or 0)

    def connectionMade(self) -> None:
        """Send the request."""
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fire ``closed``."""
        self.closed.callback(self.received)

    def hang_up(self) -> None:
        """Abort the connection."""
        transport: Any = self.transport
        transport.abortConnection()
