"""Agents and connections for Authentik, with bounded responses and immediate closing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from ropg_twisted.networks import LOOPBACK, Address
from ropg_twisted.types import IReactor

MAX_RESPONSE: Final = 2 * 1024 * 1024
"""Bytes of one response, headers and body."""

IDLE_SECONDS: Final = 30
"""Seconds. Authentik keeps idle connections for longer, so no POST meets one that it closes."""


def make_agents(
    reactor: IReactor, endpoints: Endpoints, max_persistent: int
) -> tuple[IAgent, IAgent]:
    """Return an agent that keeps connections alive, and one that does not.

    ``max_persistent``: idle connections to keep.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = max_persistent
    pool.cachedConnectionTimeout = IDLE_SECONDS
    # The caller retries where it is safe. After a password it is not, not even for a GET.
    pool.retryAutomatically = False
    return (
        Agent.usingEndpointFactory(reactor, endpoints, pool),
        Agent.usingEndpointFactory(reactor, endpoints),
    )


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Makes endpoints for URLs; ``policy`` verifies those of https.

    Attributes:
        own_address: our address on the newest connection, that of loopback before the first.
    """

    def __init__(self, reactor: IReactor, policy: IPolicyForHTTPS) -> None:
        self.own_address: Address = LOOPBACK
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See :class:`IAgentEndpointFactory`."""
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, host, uri.port)
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        return BoundedEndpoint(endpoint, self._note_own_address)

    def _note_own_address(self, host: object) -> None:
        if isinstance(host, IPv4Address | IPv6Address):
            self.own_address = ip_address(host.host.partition("%")[0])


@implementer(IStreamClientEndpoint)
class BoundedEndpoint:
    """Wraps the connections of another endpoint in :class:`BoundedConnection`.

    ``connected`` is called with our address on each connection.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, connected: Callable[[object], object]
    ) -> None:
        self._endpoint = endpoint
        self._connected = connected

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :class:`IStreamClientEndpoint`."""
        wrapping = WrappingFactory(factory)
        wrapping.protocol = BoundedConnection
        wrapping.noisy = False
        connecting: Deferred[IProtocol] = self._endpoint.connect(wrapping)
        return connecting.addCallback(self._unwrap)

    def _unwrap(self, wrapper: IProtocol) -> IProtocol:
        assert isinstance(wrapper, BoundedConnection)
        self._connected(wrapper.transport.getHost())
        return wrapper.wrappedProtocol


class BoundedConnection(ProtocolWrapper):
    """A connection that aborts when it is closed, and when a response is too large.

    A normal close of TLS waits for the peer's close_notify, which a hung peer never sends.
    """

    transport: ITCPTransport
    _received = 0

    def write(self, data: bytes) -> None:
        """Send a request, and count the bytes of its response from zero."""
        self._received = 0
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See :meth:`write`."""
        self._received = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Receive a part of a response; abort if it is too much."""
        self._received += len(data)
        if self._received > MAX_RESPONSE:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Abort the connection."""
        self.disconnecting = 1
        self.transport.abortConnection()
