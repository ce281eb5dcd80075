"""The client's address, read from a request."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import Request

from ropg_twisted.networks import Address, Networks, client_address


def read_client_address(request: Request, trusted_proxies: Networks) -> Address | None:
    """Return the client's address, from the peer and the X-Forwarded-For headers of a request.

    Returns ``None`` if it is unknown: at a UNIX socket, without a header of a trusted proxy.
    """
    peer = request.getClientAddress()
    host = peer.host if isinstance(peer, IPv4Address | IPv6Address) else None
    headers = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
    forwarded_for = [header.decode("latin-1") for header in headers]
    return client_address(host, forwarded_for, trusted_proxies)
