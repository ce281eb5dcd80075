"""Networks, and the address of a client behind proxies. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
ClientNetwork: TypeAlias = IPv4Address | IPv6Network

LOOPBACK: Final = IPv4Address("127.0.0.1")

UNIX: Final = "unix"
"""The word for peers at a UNIX socket, which have no address, in a list of networks."""

MAX_HOPS: Final = 32
"""Entries of X-Forwarded-For that are read, from the right."""


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of networks. ``unix``: it includes peers at a UNIX socket."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    def __contains__(self, address: Address | None) -> bool:
        if address is None:
            return self.unix
        return any(address in network for network in self.networks)


EVERYWHERE: Final = Networks((ip_network("0.0.0.0/0"), ip_network("::/0")), unix=True)


def parse_networks(words: Iterable[str]) -> Networks:
    """Parse networks in CIDR notation, and :data:`UNIX`. Raises :exc:`ValueError`."""
    words = list(words)
    return Networks(
        tuple(ip_network(word) for word in words if word != UNIX),
        unix=UNIX in words,
    )


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Networks
) -> Address | None:
    """Return the address of the client behind trusted proxies, ``None`` if it is unknown.

    The client is the rightmost hop that is not trusted: the entries left of it are its own claims.
    The search ends at a hop that is not an address.

    Args:
        peer: the address of the connection, ``None`` at a UNIX socket.
        forwarded_for: the values of all X-Forwarded-For headers, in order.
        trusted: the proxies.
    """
    address = _parse_hop(peer or "")
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops[-MAX_HOPS:]):
        if address not in trusted:
            break
        before = _parse_hop(hop)
        if before is None:
            break
        address = before
    return address


def network_of(address: Address) -> ClientNetwork:
    """Return the network that one client may control: an IPv4 address, or an IPv6 /64."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Network((address, 64), strict=False)


def _parse_hop(hop: str) -> Address | None:
    """Parse an address as proxies write it: bare, with a port, or in brackets.

    An IPv6 zone (RFC 4007 section 11) has a meaning on its own host only, and is dropped.
    """
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        address = ip_address(hop)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
