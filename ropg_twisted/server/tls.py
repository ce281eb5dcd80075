"""TLS endpoints that take up renewed certificates by themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final, Protocol, cast

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.crypto import Error as CryptoError
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as TLSError
from twisted.internet.endpoints import serverFromString, wrapServerTLS
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IStreamServerEndpoint
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, PrivateCertificate
from twisted.logger import Logger
from twisted.protocols._sni import PEMObjects, SNIConnectionCreator
from twisted.python.filepath import FilePath
from zope.interface import implementer

CERTIFICATE_ERRORS: Final = (OSError, ValueError, CryptoError, TLSError, VerifyError)
"""What certificate files that do not fit are told by."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, forward secrecy and authenticated encryption only, in OpenSSL's notation."""


def listening_endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """The endpoint of a Twisted endpoint string.

    ``ssl:`` and ``tls:`` mean what they mean to Twisted, but their files are looked at for each
    new connection. A ``certKey`` may hold its chain. Raises whatever Twisted does for a string
    that it cannot read, and :data:`CERTIFICATE_ERRORS` for files that do not fit.
    """
    kind, *parts = re.split(r"(?<!\\):", description)
    if kind == "ssl":
        files = dict(_file(part) for part in parts if part.startswith(_FILES))
        plain = ":".join(["tcp", *(part for part in parts if not part.startswith(_FILES))])
        creator = ReloadingConnectionCreator(partial(CertificateFiles, **files), files.values)
        return wrapServerTLS(creator, serverFromString(reactor, plain))
    endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    if kind == "tls":
        cast(Any, endpoint).connectionCreator = ReloadingConnectionCreator(
            lambda: certificate_folder(_unquoted(parts[0])),
            lambda: (entry.path for entry in os.scandir(_unquoted(parts[0]))),
        )
    return endpoint


_FILES: Final = ("privateKey=", "certKey=", "extraCertChain=")


def _file(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, _unquoted(value)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value)


def certificate_folder(path: str) -> ConnectionCreator:
    """The ``*.pem`` files of a folder, each name with its own certificate.

    Raises :data:`CERTIFICATE_ERRORS` if there is none with its key.
    """
    names = PEMObjects.fromDirectory(FilePath(path)).inferDomainMapping()
    contexts = {name.encode("ascii"): options.getContext() for name, options in names.items()}
    if not contexts:
        raise ValueError("no certificate with its key")
    for context in contexts.values():
        context.set_cipher_list(CIPHERS.encode("ascii"))
    default = next(iter(contexts.values()))
    return SNIConnectionCreator(lambda name: contexts.get(name) if name else default)


class ConnectionCreator(Protocol):
    """The method of :class:`IOpenSSLServerConnectionCreator`."""

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """A connection for the server's side of TLS."""


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFiles:
    """A key, its certificate and the chain of that, from PEM files.

    Raises :data:`CERTIFICATE_ERRORS` if they are not there or do not fit together.
    """

    def __init__(
        self, privateKey: str, certKey: str | None = None, extraCertChain: str | None = None
    ) -> None:
        certificates = _read(certKey or privateKey)
        pair = PrivateCertificate.loadPEM(certificates + b"\n" + _read(privateKey))
        chain = load_pem_x509_certificates(certificates)[1:]
        if extraCertChain is not None:
            chain += load_pem_x509_certificates(_read(extraCertChain))
        self._context: Context = CertificateOptions(
            privateKey=pair.privateKey.original,
            acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
            certificate=pair.original,
            extraCertChain=[X509.from_cryptography(certificate) for certificate in chain],
        ).getContext()

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        return Connection(self._context, None)


@implementer(IOpenSSLServerConnectionCreator)
class ReloadingConnectionCreator:
    """What ``make`` makes of certificate files, made again when one of the ``files`` has changed.

    Files that do not fit leave the old ones in use. Open connections are not touched.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, make: Callable[[], ConnectionCreator], files: Callable[[], Iterable[str]]
    ) -> None:
        self._make = make
        self._files = files
        self._seen = self._stamps()
        self._current = make()

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """See :class:`IOpenSSLServerConnectionCreator`."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._current = self._make()
                self.log.info("renewed certificate: in use from now on")
            except CERTIFICATE_ERRORS as error:
                kind = type(error).__name__
                self.log.error("renewed certificate: unusable ({kind}), old one kept", kind=kind)
        return self._current.serverConnectionForTLS(protocol)

    def _stamps(self) -> tuple[object, ...]:
        """What tells that a file has changed; nothing while one of them is not there."""
        try:
            return tuple(
                (path, stat.st_mtime_ns, stat.st_ino)
                for path in sorted(self._files())
                for stat in [os.stat(path)]
            )
        except OSError:
            return ()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
