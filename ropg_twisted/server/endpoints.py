"""Endpoint strings: those of Twisted, with certificates that are reloaded."""

from __future__ import annotations

import os
import re
import socket
from functools import partial
from typing import Final

from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import IStreamServerEndpoint

from ropg_twisted.server.tls import (
    CertificateFiles,
    CertificateFolder,
    ReloadingConnectionCreator,
    TLSEndpoint,
)
from ropg_twisted.types import IReactor


def listening_endpoint(reactor: IReactor, description: str) -> IStreamServerEndpoint:
    """Return the endpoint for a Twisted endpoint string.

    ``ssl:`` and ``tls:`` have Twisted's meaning, but check their files for changes at each new
    connection. The file of a ``certKey`` may include the chain. In both, a ``systemd:`` endpoint
    may take the place of the port.

    Raises :data:`CERTIFICATE_ERRORS` for unusable files, and the exceptions of
    :func:`serverFromString` for an invalid string.
    """
    kind, *parts = re.split(_COLON, description)
    if kind == "ssl":
        return _files_endpoint(reactor, parts)
    if kind == "tls":
        return _folder_endpoint(reactor, parts)
    return _plain_endpoint(reactor, description)


def _files_endpoint(reactor: IReactor, parts: list[str]) -> TLSEndpoint:
    """Return an ``ssl:`` endpoint. The parameters are those of Twisted's."""
    files = dict(_named(part) for part in parts if part.startswith(_FILES))
    others = [part for part in parts if not part.startswith(_FILES)]
    kind = [] if others[:1] == [_ACTIVATED] else ["tcp"]
    plain = _plain_endpoint(reactor, ":".join(kind + others))
    creator = ReloadingConnectionCreator(partial(CertificateFiles, **files), files.values)
    return TLSEndpoint(creator, plain)


def _folder_endpoint(reactor: IReactor, parts: list[str]) -> TLSEndpoint:
    """Return a ``tls:`` endpoint. The parameters and defaults are those of Twisted's."""
    if parts[1:2] == [_ACTIVATED]:
        path = _unescaped(parts[0].removeprefix("path="))
        plain = _plain_endpoint(reactor, ":".join(parts[1:]))
    else:
        positional = [_unescaped(part) for part in parts if not _NAMED.search(part)]
        named = dict(_named(part) for part in parts if _NAMED.search(part))
        path, plain = _folder_and_port(reactor, *positional, **named)
    creator = ReloadingConnectionCreator(
        lambda: CertificateFolder(path),
        lambda: (entry.path for entry in os.scandir(path)),
    )
    return TLSEndpoint(creator, plain)


def _folder_and_port(
    reactor: IReactor, path: str, port: str = "443", backlog: str = "50", interface: str = "::"
) -> tuple[str, IStreamServerEndpoint]:
    return path, TCP6ServerEndpoint(reactor, int(port), int(backlog), interface)


def _plain_endpoint(reactor: IReactor, description: str) -> IStreamServerEndpoint:
    """Return an endpoint of Twisted's own, after a look at the socket if systemd has opened it."""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except LookupError:
        if description.startswith(f"{_ACTIVATED}:"):
            raise ValueError("systemd has passed no such socket") from None
        raise
    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        _check_socket(endpoint)
    return endpoint


def _check_socket(endpoint: AdoptedStreamServerEndpoint) -> None:
    """Raise :exc:`ValueError` if the socket is not of the domain that the endpoint string names."""
    with socket.socket(fileno=os.dup(endpoint.fileno)) as passed:
        family = passed.family.name.removeprefix("AF_")
    if family != endpoint.addressFamily.name.removeprefix("AF_"):
        raise ValueError(f"the socket that systemd has passed needs domain={family}")


_ACTIVATED: Final = "systemd"
_FILES: Final = ("privateKey=", "certKey=", "extraCertChain=")
_COLON: Final = re.compile(r"(?<!\\):")
_NAMED: Final = re.compile(r"(?<!\\)=")


def _named(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, _unescaped(value)


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value)
