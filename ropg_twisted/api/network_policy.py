"""Which networks may ask, and whose word about addresses is taken."""

from __future__ import annotations

from dataclasses import dataclass

from ropg_twisted.errors import NetworkNotAllowedError
from ropg_twisted.networks import Address, Networks, client_address
from ropg_twisted.server.request import BoundedRequest


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Who may come in, and whose word about addresses is taken."""

    allowed: Networks
    trusted_proxies: Networks

    def client_address(self, request: BoundedRequest) -> Address | None:
        """The client's address, ``None`` if nobody knows it."""
        peer = getattr(request.getClientAddress(), "host", None)
        hops = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
        forwarded_for = [value.decode("latin-1") for value in hops]
        return client_address(peer, forwarded_for, self.trusted_proxies)

    def check(self, address: Address | None) -> None:
        """Raise :exc:`NetworkNotAllowedError` for a client that may not ask."""
        if address not in self.allowed:
            raise NetworkNotAllowedError
