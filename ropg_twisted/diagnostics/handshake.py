"""TLS handshakes as a Mac makes them, over a connection or with a listener that is not open yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.SSL import (
    TLS1_2_VERSION,
    TLS_CLIENT_METHOD,
    VERIFY_PEER,
    Connection,
    Context,
    WantReadError,
)
from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.server.tls import ReloadingConnectionCreator
from ropg_twisted.types import IReactor

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:@SECLEVEL=0"
"""Cipher suites that a Mac offers for TLS 1.2: forward secrecy only. Weak keys are let through, so
that they can be named."""

MAX_ROUNDS: Final = 20
"""Flights of a handshake in memory. A handshake of TLS 1.2 has four."""

_UNTRUSTED: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself",
    19: "its authority is not known here",
    20: "its authority is not known here, or an intermediate certificate is missing",
    21: "its authority is not known here, or an intermediate certificate is missing",
}
"""Words for the errors of a chain (X509_V_ERR of OpenSSL)."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """A completed handshake.

    Attributes:
        chain: the certificates that the server sent, its own first.
        protocol: the version of TLS.
        untrusted: why the chain is not trusted, ``None`` if it is.
    """

    chain: tuple[Certificate, ...]
    protocol: str
    untrusted: str | None = None


@implementer(IOpenSSLClientConnectionCreator)
@dataclass(slots=True)
class _Inspector:
    """Makes client connections that accept any certificate, and keeps what is wrong with it."""

    host: str
    ca_pem: bytes | None
    errors: list[int] = field(default_factory=list)

    def clientConnectionForTLS(self, protocol: object) -> Connection:
        """See :class:`IOpenSSLClientConnectionCreator`."""
        context = Context(TLS_CLIENT_METHOD)
        context.set_min_proto_version(TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS.encode("ascii"))
        context.set_verify(VERIFY_PEER, self._note)
        if self.ca_pem is None:
            context.set_default_verify_paths()
        else:
            store = context.get_cert_store()
            assert store is not None
            for certificate in load_pem_x509_certificates(self.ca_pem):
                store.add_cert(X509.from_cryptography(certificate))
        connection = Connection(context, None)
        if not is_ip_address(self.host):
            connection.set_tlsext_host_name(self.host.encode("ascii"))
        return connection

    def read(self, connection: Connection) -> Handshake:
        """Return the handshake of a connection that this object has made."""
        chain = connection.get_peer_cert_chain() or []
        untrusted = None
        if self.errors:
            untrusted = _UNTRUSTED.get(self.errors[0], f"OpenSSL's error {self.errors[0]}")
        return Handshake(
            tuple(certificate.to_cryptography() for certificate in chain),
            connection.get_protocol_version_name(),
            untrusted,
        )

    def _note(
        self, connection: Connection, certificate: X509, error: int, depth: int, is_fine: int
    ) -> bool:
        if not is_fine:
            self.errors.append(error)
        return True


@implementer(IHandshakeListener)
class _HandshakeProtocol(Protocol):
    """Waits for the end of the handshake. ``completed``: fires then, or fails."""

    def __init__(self) -> None:
        self.completed: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        """See :class:`IHandshakeListener`."""
        self.completed.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail if the connection breaks before the handshake is complete."""
        if not self.completed.called:
            self.completed.errback(reason)


async def connect_tls(
    host: str, port: int, ca_pem: bytes | None, reactor: IReactor, name: str | None = None
) -> Handshake:
    """Connect to a server and return the handshake. The caller sets a deadline.

    ``ca_pem``: certificates to trust instead of the system's. ``name``: the name to ask for, if it
    is not ``host``. Raises any error of the connection.
    """
    inspector = _Inspector(name or host, ca_pem)
    endpoint = wrapClientTLS(inspector, HostnameEndpoint(reactor, host, port))
    protocol = await endpoint.connect(Factory.forProtocol(_HandshakeProtocol))
    assert isinstance(protocol, _HandshakeProtocol)
    transport: Any = protocol.transport  # Twisted declares only what all transports have.
    try:
        await protocol.completed
        return inspector.read(transport.getHandle())
    finally:
        transport.abortConnection()


def handshake_in_memory(
    listener: ReloadingConnectionCreator, host: str, ca_pem: bytes | None
) -> Handshake:
    """Return the handshake of a client that asks a listener for ``host``. No I/O.

    Raises :exc:`OpenSSL.SSL.Error` if a Mac could not connect.
    """
    inspector = _Inspector(host, ca_pem)
    client = inspector.clientConnectionForTLS(None)
    server = listener.serverConnectionForTLS(None)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(MAX_ROUNDS):
        done = [_go_on(client, server), _go_on(server, client)]
        if all(done):
            return inspector.read(client)
    raise TLSError([("", "", "the handshake does not end")])


def _go_on(own: Connection, peer: Connection) -> bool:
    """Continue the handshake of ``own``, pass its bytes to ``peer``; return whether it is done."""
    try:
        own.do_handshake()
        is_done = True
    except WantReadError:
        is_done = False
    with suppress(WantReadError):
        while data := own.bio_read(65536):
            peer.bio_write(data)
    return is_done


def is_ip_address(host: str) -> bool:
    """Return whether ``host`` is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
