"""Whose request it is, and whether that network may ask. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

UNIX: Final = "unix"
"""Stands among networks for peers at a UNIX socket, which have no address."""

MAX_HOPS: Final = 32
"""Entries of an X-Forwarded-For header that are looked at, from the right."""


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of networks; ``unix``: peers at a UNIX socket belong to it."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    def __contains__(self, address: Address | None) -> bool:
        if address is None:
            return self.unix
        return any(address in network for network in self.networks)


EVERYWHERE: Final = Networks((ip_network("0.0.0.0/0"), ip_network("::/0")), unix=True)


def parse_networks(words: Iterable[str]) -> Networks:
    """Networks from their usual notation. Raises :exc:`ValueError` for any other word."""
    words = list(words)
    return Networks(
        tuple(ip_network(word) for word in words if word != UNIX),
        unix=UNIX in words,
    )


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Networks
) -> Address | None:
    """The address of the client behind any trusted proxies, or ``None`` if nobody knows it.

    ``peer``: who is connected, ``None`` at a UNIX socket. ``forwarded_for``: the values of all
    X-Forwarded-For headers, in order. The rightmost hop that is not trusted is the client: what
    stands left of it is what that client claims. A hop that is no address ends the search.
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


def network_of(address: str) -> str:
    """What one party is taken to hold: an IPv4 address, or a /64 of IPv6."""
    if ip_address(address).version == 4:
        return address
    return str(ip_network((address, 64), strict=False))


def _parse_hop(hop: str) -> Address | None:
    """An address as proxies write it: bare, or with a port, or in brackets.

    The zone of one (RFC 4007 section 11) means something to its own host only, and is left out.
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
