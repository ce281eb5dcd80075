"""The fake Authentik as a process: ``python -m tests.bench.authentik``.

It prints its port, and ends when its standard input does. ``/bench/reset?latency=SECONDS`` begins
to count anew; from then on each response is that late. ``/bench/counts`` has the counts, and
``/bench/logins`` the seconds in which the requests of each login were answered, by user name.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httptools
import uvloop

from tests.bench import wire
from tests.bench.flow import FakeAuthentik


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of the fake Authentik.

    Attributes:
        requests: by kind.
        connections: that were opened.
        cpu_seconds: of its process, since its start.
    """

    requests: dict[str, int]
    connections: int
    cpu_seconds: float


class Server:
    """What all connections share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.authentik = FakeAuthentik()
        self.latency = 0.0
        self.connections = 0

    def control(self, path: bytes) -> bytes:
        """Answer a request of the benchmark itself."""
        url = urlsplit(path.decode())
        if url.path == "/bench/reset":
            self.latency = float(parse_qs(url.query)["latency"][0])
            self.connections = 0
            self.authentik.reset()
        if url.path == "/bench/logins":
            logins = {name: login.seconds for name, login in self.authentik.logins.items()}
            return wire.response(200, json.dumps(logins).encode(), allow=None)
        counts = Counts(dict(self.authentik.requests), self.connections, time.process_time())
        return wire.response(200, json.dumps(asdict(counts)).encode(), allow=None)


class Connection(asyncio.Protocol):
    """A connection. Its methods are those that httptools calls."""

    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: Any) -> None:
        """Count it, unless it is the benchmark's own."""
        self._transport = transport
        self._is_counted = False

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._begun = time.perf_counter()
        self._path = self._cookie = self._body = b""

    def on_url(self, url: bytes) -> None:
        """Receive the path, with its query."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header; only cookies are read."""
        if name.lower() == b"cookie":
            _, found, rest = value.partition(b"authentik_session=")
            if found:
                self._cookie = rest.partition(b";")[0]

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer, now or later."""
        server = self._server
        if self._path.startswith(b"/bench/"):
            self._transport.write(server.control(self._path))
            return
        if not self._is_counted:
            self._is_counted = True
            server.connections += 1
        method = self._parser.get_method()
        path, begun = self._path, self._begun
        answer, session = server.authentik.answer(method, path, self._cookie, self._body)

        def send() -> None:
            if not self._transport.is_closing():
                self._transport.write(answer)
            if b"invalidation" not in path:
                session.answered(begun, time.perf_counter())

        if server.latency:
            server.loop.call_later(server.latency, send)
        else:
            send()


async def serve() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    server = Server(loop)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve())
