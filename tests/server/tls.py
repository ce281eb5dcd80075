"""A site on TLS, and clients of it."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel
from twisted.trial.unittest import TestCase

from ropg_twisted.server.endpoints import listening_endpoint
from ropg_twisted.server.site import BoundedSite
from tests.certificates import Identity, identity
from tests.composition import daemon_site
from tests.fakes import RIGHT, CapturedLog, FixedVerifier
from tests.server.sites import HEALTH

T = TypeVar("T")

reactor: Any = global_reactor

HEALTHY = b'{"status":"healthy"}'
PATIENCE = 15
"""Seconds for which a client waits for what should come at once."""

LEAF, OTHER = identity("localhost"), identity("localhost")
ROOT = identity("Root", authority=True)
MIDDLE = identity("Middle", ROOT, authority=True)
CHAINED = identity("localhost", MIDDLE)
WITH_RSA = identity("localhost", rsa_key=True)


def key_and_certificate(one: Identity) -> str:
    """A file that holds the key and the certificate."""
    return one.key + one.pem


def client_context(*authorities: Identity) -> ssl.SSLContext:
    """A client's context, which trusts these authorities and checks the name."""
    return ssl.create_default_context(cadata="".join(each.pem for each in authorities))


class BlockingClient:
    """A client that keeps its connection. To be used in a thread: it blocks."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str = "localhost") -> None:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=name)

    @property
    def seen(self) -> x509.Certificate:
        """The certificate of the server."""
        encoded = self.socket.getpeercert(binary_form=True)
        assert encoded is not None
        return x509.load_der_x509_certificate(encoded)

    def ask(self) -> int:
        """Send a request on the same connection, and return the status of the response."""
        self.socket.sendall(HEALTH)
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        answer.read()
        return answer.status

    def close(self) -> None:
        """Go."""
        self.socket.close()


class TLSTestCase(TestCase):
    """A site behind an endpoint string, and files of the test's own."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.file = self.folder / "both.pem"
        self.events = CapturedLog(self).events

    def write(self, text: str, name: str = "both.pem") -> Path:
        """A file in the folder, put there as a whole; never with the time of the one before."""
        path, draft = self.folder / name, self.folder / f".{name}"
        draft.write_text(text)
        draft.replace(path)
        return path

    @property
    def ssl(self) -> str:
        """An ``ssl:`` endpoint on that file."""
        return f"ssl:0:privateKey={self.file}:certKey={self.file}:interface=127.0.0.1"

    @property
    def tls(self) -> str:
        """A ``tls:`` endpoint on the folder."""
        return f"tls:{self.folder}:0:interface=127.0.0.1"

    async def serve(self, where: str, site: BoundedSite | None = None) -> int:
        """Serve at an endpoint, until the test ends, and return its port."""
        site = site or daemon_site(FixedVerifier(RIGHT), reactor=reactor)
        port: Any = await listening_endpoint(reactor, where).listen(site)
        self.addCleanup(lambda: Deferred.fromCoroutine(site.drain(PATIENCE)))
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def blocking(self, work: Callable[[], T]) -> T:
        """Do what blocks in a thread, as the server is in this one."""
        found: T = await deferToThread(work)
        return found

    async def visit(
        self, port: int, *trusted: Identity, name: str = "localhost"
    ) -> x509.Certificate:
        """Ask once, on a new connection; the certificate that was shown."""

        def work() -> x509.Certificate:
            visitor = BlockingClient(port, client_context(*trusted), name)
            try:
                assert visitor.ask() == 200
                return visitor.seen
            finally:
                visitor.close()

        return await self.blocking(work)

    def said(self, words: str) -> int:
        """The number of our log lines that hold these words."""
        return sum(
            words in str(event.get("log_format"))
            for event in self.events
            if str(event["log_namespace"]).startswith("ropg_twisted")
        )

    def assert_quiet(self) -> None:
        """Nothing has been logged that an operator would have to look into."""
        self.assertEqual(self.flushLoggedErrors(), [])
        loud = [event for event in self.events if event["log_level"] >= LogLevel.error]
        self.assertEqual(loud, [])
