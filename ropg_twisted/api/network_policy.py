"""The networks that may use the token, userinfo and introspection endpoints."""

from __future__ import annotations

from dataclasses import dataclass

from ropg_twisted.errors import NetworkNotAllowedError
from ropg_twisted.networks import Address, Networks
from ropg_twisted.server.client_address import read_client_address
from ropg_twisted.server.request import BoundedRequest


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The allowed networks, and the proxies whose X-Forwarded-For headers are trusted."""

    allowed: Networks
    trusted_proxies: Networks

    def client_address(self, request: BoundedRequest) -> Address | None:
        """Return the client's address, ``None`` if it is unknown."""
        return read_client_address(request, self.trusted_proxies)

    def check(self, address: Address | None) -> None:
        """Raise :exc:`NetworkNotAllowedError` if the address is in no allowed network."""
        if address not in self.allowed:
            raise NetworkNotAllowedError
