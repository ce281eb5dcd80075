"""A connection of a client to a server under test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httptools

from tests.bench.flow import PREFIX

PATIENCE: Final = 20.0
"""Seconds for which a client waits for its answer."""

TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE
TLS.options |= ssl.OP_NO_TICKET


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a user of its own. ``right``: with the right password."""

    number: int
    right: bool = True

    @property
    def username(self) -> str:
        """The name of the user."""
        return f"user{self.number:07d}"

    def request(self) -> bytes:
        """Return the request, which a proxy has forwarded for an address of the user's own."""
        password = PREFIX if self.right else "wrong-"
        body = urlencode(
            {
                "grant_type": "password",
                "client_id": "jamf-connect",
                "scope": "openid profile email groups",
                "username": self.username,
                "password": password + self.username,
            }
        ).encode()
        number = self.number
        address = b"10.%d.%d.%d" % (number >> 16 & 255, number >> 8 & 255, number & 255)
        return (
            b"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nX-Forwarded-For: %s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (address, len(body), body)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a check; status 0 without one.

    ``seconds``: until its last byte. ``ended``: when it came, on the clock of the loop.
    """

    check: Check
    status: int
    seconds: float
    ended: float
    headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_told_later(self) -> bool:
        """True if the client was told to ask again."""
        return self.status in (429, 502, 503, 504)

    @property
    def is_false(self) -> bool:
        """True if it is a verdict, and not the one that is true."""
        return not self.is_told_later and self.status != (200 if self.check.right else 400)


class Connection(asyncio.Protocol):
    """Sends one request at a time. Its methods are those that httptools calls."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_open = False
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._transport = transport
        self.is_open = True

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the request that waits without an answer."""
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(0)

    async def ask(self, check: Check) -> Answer:
        """Send a check and wait for its answer."""
        loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._answered = loop.create_future()
        begun = loop.time()
        self._transport.write(check.request())
        timeout = loop.call_later(PATIENCE, self._give_up)
        try:
            status = await self._answered
        finally:
            timeout.cancel()
        ended = loop.time()
        return Answer(check, status, ended - begun, ended, self._headers, self._body)

    def close(self) -> None:
        """Close it."""
        self.is_open = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse a part of the answer."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer whoever waits."""
        if not self._parser.should_keep_alive():
            self.is_open = False
            self._transport.close()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())

    def _give_up(self) -> None:
        self.close()


async def connect(port: int, *, tls: bool = False) -> Connection:
    """Open a connection. Raises :exc:`OSError`."""
    loop = asyncio.get_running_loop()
    context = TLS if tls else None
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port, ssl=context)
    return connection
