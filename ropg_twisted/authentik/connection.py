"""HTTP/1.1 connections to Authentik."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IPolicyForHTTPS, IResponse

from ropg_twisted.authentik.responses import (
    MalformedResponseError,
    ResponseParser,
)
from ropg_twisted.networks import LOOPBACK, Address
from ropg_twisted.types import IReactor
from ropg_twisted.verdict import UpstreamError


class ClientConnection(Protocol):
    """A connection that carries one request at a time.

    It is closed by aborting it: a normal close of TLS waits for the peer's close_notify, which a
    hung peer never sends.

    ``on_idle``: called with the connection before a response, if it can carry another request.
    ``on_lost``: called with the connection at its end.
    """

    transport: ITCPTransport

    def __init__(
        self,
        on_idle: Callable[[ClientConnection], object],
        on_lost: Callable[[ClientConnection], object],
    ) -> None:
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._parser = ResponseParser()
        self._result: Deferred[IResponse] | None = None

    def send(self, request: bytes) -> Deferred[IResponse]:
        """Send ``request`` and return its response. To cancel closes the connection.

        Fails as :meth:`ResponseParser.feed` raises, or with the reason of a lost connection.
        """
        self._parser.expect()
        self._result = Deferred(lambda _: self.close())
        self.transport.write(request)
        return self._result

    def close(self) -> None:
        """Close the connection at once."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Receive a part of a response. Anything else closes the connection."""
        if self._result is None:
            self.close()
            return
        try:
            self._parser.feed(data)
        except (UpstreamError, MalformedResponseError) as error:
            self.close()
            self._end(Failure(error))
            return
        if self._parser.response is not None:
            if self._parser.reusable:
                self._on_idle(self)
            else:
                self.close()
            self._end(self._parser.response)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End a response that was being received."""
        self._on_lost(self)
        if reason.check(ConnectionDone):
            self._parser.end()
        self._end(self._parser.response or reason)

    def _end(self, response: IResponse | Failure) -> None:
        result, self._result = self._result, None
        if result is None or result.called:
            return
        if isinstance(response, Failure):
            result.errback(response)
        else:
            result.callback(response)


class Origin:
    """The origin of Authentik's URL (RFC 9110 section 4.3.1): scheme, host and port.

    Args:
        url: any URL of the origin, as treq requests it.
        policy: verifies the certificate of an https origin.

    Attributes:
        own_address: our address on the newest connection, that of loopback before the first.
    """

    def __init__(self, reactor: IReactor, url: bytes, policy: IPolicyForHTTPS) -> None:
        uri = URI.fromBytes(url)
        self.own_address: Address = LOOPBACK
        self.netloc = uri.netloc
        self.prefix = b"%b://%b" % (uri.scheme, uri.netloc)
        self._reactor = reactor
        self._uri = uri
        self._policy = policy

    async def connect(
        self,
        on_idle: Callable[[ClientConnection], object],
        on_lost: Callable[[ClientConnection], object],
    ) -> ClientConnection:
        """Return a new connection. For its callbacks see :class:`ClientConnection`."""
        factory = Factory.forProtocol(partial(ClientConnection, on_idle, on_lost))
        factory.noisy = False
        connection = await self._endpoint().connect(factory)
        assert isinstance(connection, ClientConnection)
        host = connection.transport.getHost()
        if isinstance(host, IPv4Address | IPv6Address):
            self.own_address = ip_address(host.host.partition("%")[0])
        return connection

    def _endpoint(self) -> IStreamClientEndpoint:
        host, port = self._uri.host, self._uri.port
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host.decode("ascii"), port
        )
        if self._uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(host, port), endpoint)
        return endpoint
