"""Checks of the listeners: whether the daemon can listen, and the certificates that it shows."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from ropg_twisted.authentik.challenges import parse_json
from ropg_twisted.authentik.client import make_client
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.diagnostics.certificates import certificate_problems, mac_problems
from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.diagnostics.handshake import Handshake, connect_tls, handshake_in_memory
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, ok, warning
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.server.endpoints import listening_endpoint
from ropg_twisted.server.tls import TLSEndpoint
from ropg_twisted.verdict import UpstreamError

_ENDPOINTS: Final = "settings.md#endpoint-strings"
_TLS: Final = "operations.md#tls"

_ACTIVATED: Final = re.compile(r"(?<=:)systemd(:(domain|index|name)=[^:]*)+")
"""The part of a TLS endpoint string that names a socket which only the daemon is passed."""


async def check_listeners(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether the daemon can listen, or does, and what its certificates are."""
    settings = installation.settings
    for where in settings.listen:
        async for finding in _listener(installation, "ROPG_LISTEN", where):
            yield finding
    if settings.admin_listen is not None:
        async for finding in _listener(installation, "ROPG_ADMIN_LISTEN", settings.admin_listen):
            yield finding


async def _listener(installation: Installation, setting: str, where: str) -> AsyncIterator[Finding]:
    kind = where.partition(":")[0]
    if kind == "systemd":
        yield ok("listen", f"{where}: systemd holds this socket.")
        return
    try:
        endpoint = listening_endpoint(installation.reactor, _ACTIVATED.sub("0", where))
    except Exception as error:  # Endpoint strings and certificate files fail in many ways.
        cause = getattr(error, "strerror", None) or error
        text = f"{setting}: {where} cannot work ({cause}): correct it, or the files that it names."
        yield failure("listen", text, _ENDPOINTS)
        return
    shown = None
    if isinstance(endpoint, TLSEndpoint):
        try:
            host = urlsplit(installation.settings.issuer).hostname or ""
            shown = handshake_in_memory(endpoint.creator, host, None)
        except TLSError:
            text = f"{where}: a Mac cannot connect with this key and certificate."
            yield failure("certificate", text, _TLS)
            return
        if setting == "ROPG_LISTEN":  # Macs do not connect to the admin listener.
            for finding in own_certificate(shown, host, installation.now()):
                yield finding
    if _ACTIVATED.search(where):
        yield ok("listen", f"{where}: systemd holds this socket.")
    elif kind == "unix":
        yield _unix_socket(where)
    else:
        yield await _port(installation, setting, where, endpoint, shown)


def own_certificate(handshake: Handshake, host: str, now: float) -> Iterator[Finding]:
    """Yield the findings about a certificate of the daemon, for clients that ask for ``host``."""
    problems = [*certificate_problems(handshake.chain[0], host, now), *mac_problems(handshake)]
    for state, text in problems:
        yield Finding(
            "certificate", state, f"The daemon's certificate: {text}", DOCUMENTATION + _TLS
        )
    if not problems:
        ends = handshake.chain[0].not_valid_after_utc
        yield ok(
            "certificate", f"The daemon's, for {host}, until {ends:%Y-%m-%d}; a Mac accepts it."
        )


def _unix_socket(where: str) -> Finding:
    path = Path(re.sub(r"\\(.)", r"\1", re.split(r"(?<!\\):", where)[1]).removeprefix("address="))
    if os.access(path.parent, os.W_OK):
        return ok("listen", f"{where}: its folder can be written.")
    text = (
        f"{where}: this user cannot write the folder {path.parent}: create it, or change its owner."
    )
    return failure("listen", text, _ENDPOINTS)


async def _port(
    installation: Installation,
    setting: str,
    where: str,
    endpoint: IStreamServerEndpoint,
    shown: Handshake | None,
) -> Finding:
    """Return whether the port is free or the daemon's. It is opened for a moment."""
    try:
        port = await endpoint.listen(Factory.forProtocol(Protocol))
    except CannotListenError as error:
        if isinstance(error.socketError, PermissionError):
            text = (
                f"{where}: this user may not listen there. The daemon needs the right to ports "
                "below 1024, or a socket of systemd."
            )
            return warning("listen", text, "operations.md#systemd")
        if where.startswith("haproxy:"):
            text = (
                f"{where}: in use, by the daemon or by something else. Only HAProxy can tell: look "
                "at the state of the backend there."
            )
            return warning("listen", text, "operations.md#behind-nginx-or-haproxy")
        if await _is_ours(installation, where, shown):
            return ok("listen", f"{where}: the daemon listens there.")
        text = (
            f"{setting}: cannot listen at {where} ({error.socketError}): stop what listens there, "
            "or choose another port or address."
        )
        return failure("listen", text, _ENDPOINTS)
    await maybeDeferred(port.stopListening)
    return ok("listen", f"{where}: free for the daemon.")


async def _is_ours(installation: Installation, where: str, shown: Handshake | None) -> bool:
    """Return whether a daemon listens at an endpoint: it answers, or shows our certificate."""
    number = re.search(r"(?<=[:=])[0-9]+(?=:|$)", where)
    interface = re.search(r":interface=((?:\\.|[^:])+)", where)
    host = re.sub(r"\\(.)", r"\1", interface[1]) if interface else "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if number is None:
        return False
    try:
        if shown is not None:
            name = urlsplit(installation.settings.issuer).hostname
            shaking = connect_tls(host, int(number[0]), None, installation.reactor, name)
            return (await installation.ask(shaking)).chain[0] == shown.chain[0]
        netloc = f"[{host}]" if ":" in host else host
        url = f"http://{netloc}:{number[0]}"
        client = make_client(installation.reactor, url, None, ClientIPHeaders())
        for path in ("/health", "/ready"):  # The admin listener has only the latter.
            session = client.session(None, fresh=True)
            answer = await installation.ask(session.get(url + path, RequestKind.PROBE))
            if answer.status != 404:
                return "status" in parse_json(answer)
    except UpstreamError:
        return False
    except Exception:  # A handshake with something else fails in many ways.
        return False
    return False
