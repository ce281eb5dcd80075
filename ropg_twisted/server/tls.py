"""TLS with certificates that are reloaded when their files change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, Protocol

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.crypto import Error as CryptoError
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapServerTLS
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, PrivateCertificate
from twisted.logger import Logger

# Twisted's reader of a tls: folder, which has no public name. test_tls checks what is used of it.
from twisted.protocols._sni import PEMObjects
from twisted.python.filepath import FilePath
from zope.interface import implementer

CERTIFICATE_ERRORS: Final = (OSError, ValueError, CryptoError, TLSError, VerifyError)
"""Errors that unreadable or mismatched certificate files raise."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Cipher suites for TLS 1.2: forward secrecy and authenticated encryption only."""


class ConnectionCreator(Protocol):
    """The type of an :class:`IOpenSSLServerConnectionCreator` with certificates.

    ``expires``: the earliest end of its certificates, in seconds since the epoch.
    """

    expires: float

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        """Return a connection for the server side of TLS."""


@implementer(IStreamServerEndpoint)
class TLSEndpoint:
    """TLS with the certificates of ``creator`` over the connections of ``endpoint``."""

    def __init__(
        self, creator: ReloadingConnectionCreator, endpoint: IStreamServerEndpoint
    ) -> None:
        self.creator = creator
        self._endpoint = wrapServerTLS(creator, endpoint)

    @property
    def expires(self) -> float:
        """The end of the certificate for the next connection, in seconds since the epoch."""
        return self.creator.expires

    def reload(self) -> None:
        """Read the certificates now, if their files have changed."""
        self.creator.reload()

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See :class:`IStreamServerEndpoint`."""
        listening: Deferred[IListeningPort] = self._endpoint.listen(factory)
        return listening


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFolder:
    """The keys and certificates in the ``*.pem`` files of a folder, chosen by server name (SNI).

    Raises :data:`CERTIFICATE_ERRORS` if there is no certificate with its key.
    """

    def __init__(self, path: str) -> None:
        options = PEMObjects.fromDirectory(FilePath(path)).inferDomainMapping()
        contexts = [option.getContext() for option in options.values()]
        if not contexts:
            raise ValueError("no certificate with its key")
        for context in contexts:
            context.set_cipher_list(CIPHERS.encode("ascii"))
        certificates = [option.certificate for option in options.values()]
        self.expires = min(_end(each) for each in certificates if each is not None)
        # Each context switches to the right one when the client sends its server name.
        self._context: Context = contexts[0]

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        return Connection(self._context, None)


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFiles:
    """A key, its certificate and its chain, from PEM files.

    The parameters are named as in a Twisted ``ssl:`` endpoint string.

    Raises :data:`CERTIFICATE_ERRORS` if the files are missing or do not fit together.
    """

    def __init__(
        self, privateKey: str, certKey: str | None = None, extraCertChain: str | None = None
    ) -> None:
        certificates = _read(certKey or privateKey)
        pair = PrivateCertificate.loadPEM(certificates + b"\n" + _read(privateKey))
        chain = load_pem_x509_certificates(certificates)[1:]
        if extraCertChain is not None:
            chain += load_pem_x509_certificates(_read(extraCertChain))
        self.expires = _end(pair.original)
        self._context: Context = CertificateOptions(
            privateKey=pair.privateKey.original,
            acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
            certificate=pair.original,
            extraCertChain=[X509.from_cryptography(certificate) for certificate in chain],
        ).getContext()

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        return Connection(self._context, None)


@implementer(IOpenSSLServerConnectionCreator)
class ReloadingConnectionCreator:
    """A connection creator that is made again when one of its files has changed.

    If the new files are unusable, the old certificates stay in use. Open connections are not
    affected. ``make``: makes a connection creator from the files; may raise
    :data:`CERTIFICATE_ERRORS`. ``files``: returns the paths to watch.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, make: Callable[[], ConnectionCreator], files: Callable[[], Iterable[str]]
    ) -> None:
        self._make = make
        self._files = files
        self._loaded = self._stamps()
        self._current = make()

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        self.reload()
        return self._current.serverConnectionForTLS(protocol)

    @property
    def expires(self) -> float:
        """The end of the certificate for the next connection, in seconds since the epoch."""
        self.reload()
        return self._current.expires

    def reload(self) -> None:
        """Make the connection creator again if a file has changed.

        If the files are unusable, the log says so, and the old one stays.
        """
        stamps = self._stamps()
        if stamps != self._loaded:
            self._loaded = stamps
            try:
                self._current = self._make()
                self.log.info("renewed certificate: in use from now on")
            except CERTIFICATE_ERRORS as error:
                kind = type(error).__name__
                self.log.error("renewed certificate: unusable ({kind}), old one kept", kind=kind)

    def _stamps(self) -> list[tuple[str, int, int]]:
        """Return a value that changes with the files; an empty one while a file is missing."""
        stamps = []
        try:
            for path in sorted(self._files()):
                stat = os.stat(path)
                stamps.append((path, stat.st_mtime_ns, stat.st_ino))
        except OSError:
            return []
        return stamps


def _end(certificate: X509) -> float:
    return certificate.to_cryptography().not_valid_after_utc.timestamp()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
