"""Checks of the way to Authentik: name, connection, certificate and health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as TLSError
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from ropg_twisted.diagnostics.certificates import certificate_problems
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.handshake import connect_tls, is_ip_address
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, from_reason, ok, warning
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.types import IReactor
from ropg_twisted.verdict import Reason, UpstreamError

_PAGE: Final = "answers.md#upstream_connection"


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses of a name. ``complete``: fires with them."""

    def __init__(self) -> None:
        self.complete: Deferred[list[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See :class:`IResolutionReceiver`."""

    def addressResolved(self, address: object) -> None:
        """See :class:`IResolutionReceiver`."""
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        """See :class:`IResolutionReceiver`."""
        self.complete.callback(list(dict.fromkeys(self._found)))


async def resolve(host: str, reactor: IReactor, seconds: float) -> list[str]:
    """Return the addresses of a host, none if it has none or the resolver is too slow."""
    addresses = _Addresses()
    reactor.nameResolver.resolveHostName(addresses, host)
    try:
        return await addresses.complete.addTimeout(seconds, reactor)
    except TimeoutError:
        return []


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL that the settings have accepted."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def check_upstream(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about the way to Authentik, up to the first failure."""
    for check in (_name, _connection, _certificate, _answers):
        failed = False
        async for finding in check(installation):
            yield finding
            failed = failed or finding.state is State.FAILURE
        if failed:
            return


async def _name(installation: Installation) -> AsyncIterator[Finding]:
    host, _ = host_and_port(installation.settings.authentik_url)
    if is_ip_address(host):
        return
    deadline = installation.settings.deadline
    addresses = await resolve(host, installation.reactor, deadline)
    if addresses:
        yield ok("authentik-name", f"{host} is {', '.join(addresses)}.")
    else:
        text = f"{host} has no address here: correct AUTHENTIK_URL, or the name server."
        yield failure("authentik-name", text, _PAGE)


async def _connection(installation: Installation) -> AsyncIterator[Finding]:
    host, port = host_and_port(installation.settings.authentik_url)
    problem = await connection_problem(
        host, port, installation.reactor, installation.settings.deadline
    )
    if problem is None:
        yield ok("authentik-connection", f"{host} accepts connections at port {port}.")
        return
    if installation.settings.sandbox_port is not None:
        problem += " The sandbox runs inside the daemon: start the daemon first."
    yield failure("authentik-connection", problem, _PAGE)


async def connection_problem(host: str, port: int, reactor: IReactor, seconds: float) -> str | None:
    """Return why no connection can be made, in words, or ``None``."""
    connecting = HostnameEndpoint(reactor, host, port).connect(Factory.forProtocol(Protocol))
    try:
        protocol = await connecting.addTimeout(seconds, reactor)
    except ConnectionRefusedError:
        return f"{host} refuses connections at port {port}: see that it runs, and check the port."
    except (TimeoutError, DNSLookupError):
        return f"{host} does not answer at port {port}: check the address and the firewall."
    except Exception as error:  # Systems have many names for a missing route.
        kind = type(error).__name__
        return f"{host} cannot be reached at port {port} ({kind}): check route and firewall."
    connected: Any = protocol  # IProtocol does not declare the transport.
    connected.transport.abortConnection()
    return None


async def _certificate(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about Authentik's certificate, with the daemon's own trust."""
    url = installation.settings.authentik_url
    host, port = host_and_port(url)
    if urlsplit(url).scheme != "https":
        return
    shaking = Deferred.fromCoroutine(
        connect_tls(host, port, installation.ca_pem, installation.reactor)
    )
    try:
        handshake = await shaking.addTimeout(installation.settings.deadline, installation.reactor)
    except Exception as error:
        lead = f"{host} does not speak TLS 1.2 at port {port} ({tls_words(error)})."
        yield from_reason("authentik-certificate", Reason.UPSTREAM_TLS, lead=lead)
        return
    problems = list(certificate_problems(handshake.chain[0], host, installation.now()))
    fails = any(state is State.FAILURE for state, _ in problems)
    if handshake.untrusted is not None and not fails:
        text = f"It is not trusted: {handshake.untrusted}. {_trust(installation)}"
        problems.append((State.FAILURE, text))
    for state, text in problems:
        message = f"The certificate of {host}: {text}"
        yield Finding(
            "authentik-certificate", state, message, f"{DOCUMENTATION}answers.md#upstream_tls"
        )
    if not problems:
        ends = handshake.chain[0].not_valid_after_utc
        text = f"{handshake.protocol}, trusted, for {host}, until {ends:%Y-%m-%d}."
        yield ok("authentik-certificate", text)


def _trust(installation: Installation) -> str:
    if installation.settings.ca_file is None:
        return "Set ROPG_CA_FILE to the certificate that signed it."
    return f"The certificates in {installation.settings.ca_file} did not sign it."


def tls_words(error: BaseException) -> str:
    """Return the words of OpenSSL in an error, or the kind of another error."""
    if isinstance(error, TLSError) and error.args and error.args[0]:
        return " ".join(part[-1] for part in error.args[0] if part)
    return type(error).__name__


async def _answers(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether Authentik is ready."""
    url = f"{installation.settings.authentik_url}/-/health/ready/"
    session = installation.session()
    try:
        response = await installation.ask(session.get(url, RequestKind.PROBE))
    except UpstreamError as error:
        yield from_reason("authentik-ready", error.reason)
        return
    if response.status >= 500:
        lead = f"HTTP {response.status}."
        yield from_reason("authentik-ready", Reason.UPSTREAM_STATUS, lead=lead)
        return
    if response.status < 300:
        yield ok("authentik-ready", "Authentik is ready.")
    else:
        text = (
            f"{url} answers HTTP {response.status}: see that AUTHENTIK_URL is the "
            "URL of Authentik, with its path."
        )
        yield warning("authentik-ready", text, "settings.md#authentik")
