"""Connections to Authentik: kept alive or fresh, with bounded answers, and gone when closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

MAX_ANSWER: Final = 2 * 1024 * 1024
"""Bytes of one answer, its head and its body."""

IDLE_SECONDS: Final = 30
"""Shorter than Authentik keeps an idle connection, or a POST could meet a closed one."""


def make_agents(reactor: Any, endpoints: Endpoints, max_persistent: int) -> tuple[IAgent, IAgent]:
    """An agent that keeps connections alive, and one that makes a new one for each request.

    ``max_persistent``: idle connections to keep.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = max_persistent
    pool.cachedConnectionTimeout = IDLE_SECONDS
    # Who asks knows what may be asked again; behind a password nothing may, not even a GET.
    pool.retryAutomatically = False
    return (
        Agent.usingEndpointFactory(reactor, endpoints, pool),
        Agent.usingEndpointFactory(reactor, endpoints),
    )


@implementer(IAgentEndpointFactory)
class Endpoints:
    """The endpoints of URLs, verified by ``policy`` where they are https.

    ``own_address``: our side of the newest connection, that of loopback before there is one.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS) -> None:
        self.own_address = "127.0.0.1"
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
            self.own_address = host.host.partition("%")[0]


@implementer(IStreamClientEndpoint)
class BoundedEndpoint:
    """Connects by another endpoint, with a :class:`BoundedConnection` in between.

    ``connected``: told the address of our side of each connection.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, connected: Callable[[object], object]
    ) -> None:
        self._endpoint = endpoint
        self._connected = connected

    def connect(self, factory: Any) -> Deferred[Any]:
        """See :class:`IStreamClientEndpoint`."""
        wrapping = WrappingFactory(factory)
        wrapping.protocol = BoundedConnection
        wrapping.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(wrapping)
        return connecting.addCallback(self._unwrap)

    def _unwrap(self, wrapper: BoundedConnection) -> IProtocol:
        self._connected(wrapper.transport.getHost())
        return wrapper.wrappedProtocol


class BoundedConnection(ProtocolWrapper):
    """A connection that is cut when it is closed, and when an answer takes too many bytes.

    A farewell of TLS waits for that of the other side, which one that hangs never says.
    """

    transport: Any
    _received = 0

    def write(self, data: bytes) -> None:
        """Send a request, and count its answer."""
        self._received = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        """See :meth:`write`."""
        self._received = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._received += len(data)
        if self._received > MAX_ANSWER:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Cut the connection."""
        self.disconnecting = 1
        self.transport.abortConnection()
