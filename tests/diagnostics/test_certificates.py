"""The rules for certificates, and handshakes as a Mac makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import CertificateBuilder, Name, random_serial_number
from hypothesis import given
from hypothesis.strategies import integers
from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import (
    TLS1_1_VERSION,
    TLS1_2_VERSION,
    TLS_SERVER_METHOD,
    Connection,
    Context,
)
from OpenSSL.SSL import Error as TLSError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.certificates import certificate_problems, mac_problems
from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.handshake import Handshake, connect_tls, handshake_in_memory
from ropg_twisted.server.endpoints import listening_endpoint
from ropg_twisted.server.tls import TLSEndpoint
from tests.certificates import Identity, identity
from tests.diagnostics.examining import ExaminationTestCase, reactor
from tests.parametrize import parametrize

HOST = "ropg.example.com"
DAY = 86400
NOW = time.time()

AUTHORITY = cache(lambda: identity("authority.test", authority=True))
LEAF = cache(lambda: identity(HOST, AUTHORITY(), days=90))


class CertificateTests(SynchronousTestCase):
    """What no client accepts."""

    @parametrize(
        {
            "fine": (HOST, 0, []),
            "another name": ("ropg.example.org", 0, [(State.FAILURE, "is not for the name")]),
            "an address": ("192.0.2.1", 0, [(State.FAILURE, "is not for the name 192.0.2.1")]),
            "soon at its end": (HOST, 80, [(State.WARNING, "It ends on ")]),
            "past its end": (HOST, 91, [(State.FAILURE, "It ended on ")]),
            "before its beginning": (HOST, -2, [(State.FAILURE, "valid only from ")]),
        }
    )
    def test_certificate(self, host: str, days: int, expected: list[tuple[State, str]]) -> None:
        """Name and time."""
        problems = list(certificate_problems(LEAF().certificate, host, NOW + days * DAY))
        self.assertEqual([state for state, _ in problems], [state for state, _ in expected])
        for (_, text), (_, words) in zip(problems, expected, strict=True):
            self.assertIn(words, text)

    @given(integers(-400, 400))
    def test_time(self, days: int) -> None:
        """A certificate within its time is never a failure, one outside always is."""
        problems = certificate_problems(LEAF().certificate, HOST, NOW + days * DAY)
        fails = any(state is State.FAILURE for state, _ in problems)
        self.assertEqual(fails, not -1 <= days < 90)


MACS = {
    "fine": (lambda: LEAF(), None, ""),
    "RSA": (lambda: identity(HOST, AUTHORITY(), rsa_key=True), None, ""),
    "a short RSA key": (
        lambda: identity(HOST, AUTHORITY(), rsa_key=True, bits=1024),
        State.FAILURE,
        "RSA key of 1024 bits",
    ),
    "a weak signature": (
        lambda: identity(HOST, AUTHORITY(), algorithm=hashes.SHA224()),
        State.FAILURE,
        "signed with sha224",
    ),
    "a long validity": (
        lambda: identity(HOST, AUTHORITY(), days=400),
        State.WARNING,
        "if a public authority",
    ),
    "a year and its spare days": (lambda: identity(HOST, AUTHORITY(), days=397), None, ""),
    "too long a validity": (
        lambda: identity(HOST, AUTHORITY(), days=826),
        State.FAILURE,
        "at most 825",
    ),
    "another usage": (
        lambda: identity(HOST, AUTHORITY(), server_auth=False),
        State.FAILURE,
        "serverAuth",
    ),
}


class MacTests(SynchronousTestCase):
    """What a Mac refuses."""

    @parametrize(MACS)
    def test_certificate(
        self, make: Callable[[], Identity], state: State | None, words: str
    ) -> None:
        """Key, signature, validity and usage of the server's own certificate."""
        shown = make()
        problems = list(mac_problems(Handshake((shown.certificate,), "TLSv1.3")))
        self.assertEqual([each for each, _ in problems], [] if state is None else [state])
        for _, text in problems:
            self.assertIn(words, text)

    def test_authorities(self) -> None:
        """A weak key of an authority in the chain is named with it."""
        weak = identity("weak.test", authority=True, rsa_key=True, bits=1024)
        chain = (LEAF().certificate, weak.certificate)
        [(state, text)] = mac_problems(Handshake(chain, "TLSv1.3"))
        self.assertEqual(state, State.FAILURE)
        self.assertIn("(CN=weak.test) has an RSA key of 1024 bits", text)

    def test_other_keys(self) -> None:
        """A Mac knows RSA and elliptic curves of NIST only, and extensions may be missing."""
        key = Ed25519PrivateKey.generate()
        certificate = (
            CertificateBuilder(Name([]), Name([]), key.public_key(), random_serial_number())
            .not_valid_before(datetime.fromtimestamp(NOW, UTC))
            .not_valid_after(datetime.fromtimestamp(NOW + DAY, UTC))
            .sign(key, None)
        )
        problems = [text for _, text in mac_problems(Handshake((certificate,), "TLSv1.3"))]
        self.assertIn("neither an RSA nor an EC key", problems[0])
        self.assertIn("serverAuth", problems[-1])


class FixedListener:
    """Makes connections of one version and with one list of ciphers."""

    def __init__(self, shown: Identity, version: int, ciphers: bytes) -> None:
        self._context = Context(TLS_SERVER_METHOD)
        self._context.set_max_proto_version(version)
        self._context.set_cipher_list(ciphers)
        self._context.use_privatekey(PKey.from_cryptography_key(shown.private))
        self._context.use_certificate(X509.from_cryptography(shown.certificate))

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        return Connection(self._context, None)


class HandshakeTests(ExaminationTestCase):
    """Handshakes with a server that presents a certificate."""

    def files(self, shown: Identity, *chain: Identity) -> str:
        """The endpoint of a server with this certificate."""
        path = Path(self.mktemp())
        path.write_text(shown.key + shown.pem + "".join(each.pem for each in chain))
        return f"ssl:0:interface=127.0.0.1:privateKey={path}"

    async def test_over_a_connection_and_in_memory(self) -> None:
        """Both see the chain, and whether it is trusted, alike."""
        authority = AUTHORITY()
        where = self.files(LEAF(), authority)
        port = await self.serve(Factory.forProtocol(Protocol), where)
        endpoint = listening_endpoint(reactor, where)
        assert isinstance(endpoint, TLSEndpoint)
        trusts = {
            authority.pem: None,
            identity("other.test", authority=True).pem: "its authority is not known here",
        }
        for pem, untrusted in trusts.items():
            near = handshake_in_memory(endpoint.creator, HOST, pem.encode())
            far = await connect_tls("127.0.0.1", port, pem.encode(), reactor)
            for seen in (near, far):
                self.assertEqual(seen.chain, (LEAF().certificate, authority.certificate))
                self.assertEqual((seen.protocol, seen.untrusted), ("TLSv1.3", untrusted))

    async def test_a_server_without_tls(self) -> None:
        """The handshake fails, and so does one with a server that hangs up."""

        class Speaks(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()

        class HangsUp(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        for protocol in (Speaks, HangsUp):
            port = await self.serve(Factory.forProtocol(protocol))
            with self.assertRaises(Exception) as caught:
                await connect_tls("127.0.0.1", port, None, reactor)
            self.assertNotIsInstance(caught.exception, AssertionError)

    def test_a_short_key_is_seen(self) -> None:
        """OpenSSL alone would end the handshake, and nobody would know why."""
        weak = identity("localhost", rsa_key=True, bits=1024)
        listener: Any = FixedListener(weak, TLS1_2_VERSION, b"DEFAULT:@SECLEVEL=0")
        seen = handshake_in_memory(listener, "localhost", None)
        self.assertEqual(seen.chain, (weak.certificate,))
        self.assertIsNotNone(seen.untrusted)

    def test_an_old_server(self) -> None:
        """A server without TLS 1.2, or without forward secrecy, is one that no Mac talks to."""
        shown = identity("localhost", rsa_key=True)
        old = {
            "protocol": (TLS1_1_VERSION, b"DEFAULT:@SECLEVEL=0"),
            "cipher": (TLS1_2_VERSION, b"AES128-GCM-SHA256"),
        }
        for what, (version, ciphers) in old.items():
            listener: Any = FixedListener(shown, version, ciphers)
            with self.assertRaises(TLSError, msg=what):
                handshake_in_memory(listener, "localhost", None)
