"""The client's address: a trusted proxy is believed, and the client itself is not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.networks import (
    EVERYWHERE,
    MAX_HOPS,
    Networks,
    client_address,
    network_of,
    parse_networks,
)
from tests.client import FORM, Connection, post
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize

NOBODY = Networks()
PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8"])
SOCKET = parse_networks(["unix"])

TRUSTED_HOPS = st.lists(
    st.sampled_from(["10.0.0.2", "fd00::2", "[fd00::2]:443", "::ffff:10.1.1.1"]),
    max_size=MAX_HOPS - 1,
)
STRANGERS = st.ip_addresses().filter(
    lambda address: address not in PROXIES and not getattr(address, "ipv4_mapped", None)
)


class ClientAddressTests(SynchronousTestCase):
    """The rightmost hop that is not trusted."""

    @parametrize(
        {
            "no header": ("203.0.113.9", [], PROXIES, "203.0.113.9"),
            "nobody is trusted": ("10.0.0.1", ["203.0.113.9"], NOBODY, "10.0.0.1"),
            "an untrusted peer": ("198.51.100.1", ["203.0.113.9"], PROXIES, "198.51.100.1"),
            "one proxy": ("10.0.0.1", ["203.0.113.9"], PROXIES, "203.0.113.9"),
            "a spoofed left": ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], PROXIES, "203.0.113.9"),
            "a trusted left": ("10.0.0.1", ["10.0.0.3, 203.0.113.9"], PROXIES, "203.0.113.9"),
            "two proxies": ("10.0.0.1", ["1.2.3.4, 203.0.113.9,10.0.0.2"], PROXIES, "203.0.113.9"),
            "two headers": ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], PROXIES, "203.0.113.9"),
            "the last counts": ("10.0.0.1", ["1.2.3.4", "203.0.113.9"], PROXIES, "203.0.113.9"),
            "all trusted": ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], PROXIES, "10.0.0.3"),
            "IPv6": ("fd00::1", ["2001:DB8:0::9"], PROXIES, "2001:db8::9"),
            "IPv6 in brackets": ("fd00::1", ["[2001:db8::9]"], PROXIES, "2001:db8::9"),
            "IPv6 with a port": ("fd00::1", ["[2001:db8::9]:4711"], PROXIES, "2001:db8::9"),
            "IPv4 with a port": ("10.0.0.1", ["203.0.113.9:4711"], PROXIES, "203.0.113.9"),
            "blanks": ("10.0.0.1", [" \t203.0.113.9 "], PROXIES, "203.0.113.9"),
            "a mapped peer": ("::ffff:10.0.0.1", ["203.0.113.9"], PROXIES, "203.0.113.9"),
            "a mapped client": ("10.0.0.1", ["::ffff:203.0.113.9"], PROXIES, "203.0.113.9"),
            "a mapped proxy": (
                "10.0.0.1",
                ["203.0.113.9, ::ffff:10.0.0.2"],
                PROXIES,
                "203.0.113.9",
            ),
            "a mapped client alone": ("::ffff:203.0.113.9", [], PROXIES, "203.0.113.9"),
            "UNIX socket": (None, ["203.0.113.9"], SOCKET, "203.0.113.9"),
            "UNIX socket, untrusted": (None, ["203.0.113.9"], PROXIES, None),
            "UNIX socket, no header": (None, [], SOCKET, None),
            "junk": ("10.0.0.1", ["203.0.113.9, unknown"], PROXIES, "10.0.0.1"),
            "junk further left": ("10.0.0.1", ["1.2.3.4, _x, 10.0.0.2"], PROXIES, "10.0.0.2"),
            "junk at the left": ("10.0.0.1", ["&%$, 203.0.113.9"], PROXIES, "203.0.113.9"),
            "an empty header": ("10.0.0.1", [""], PROXIES, "10.0.0.1"),
            "an empty hop": ("10.0.0.1", ["203.0.113.9,"], PROXIES, "10.0.0.1"),
            "foreign digits": ("10.0.0.1", ["20\uff13.0.113.9"], PROXIES, "10.0.0.1"),
            "a network": ("10.0.0.1", ["203.0.113.0/24"], PROXIES, "10.0.0.1"),
            "a number": ("10.0.0.1", ["3405803785"], PROXIES, "10.0.0.1"),
            "a peer with a zone": ("fe80::1%eth0", [], NOBODY, "fe80::1"),
            "a zone": ("fd00::1%eth0", ["fe80::1%eth0"], PROXIES, "fe80::1"),
            "a zone and a port": ("10.0.0.1", ["[fe80::1%25eth0]:80"], PROXIES, "fe80::1"),
            "a proxy with a zone": ("10.0.0.1", ["2001:db8::9, fd00::2%x"], PROXIES, "2001:db8::9"),
            "a mapped client with a zone": ("::ffff:192.0.2.9%x", [], NOBODY, "192.0.2.9"),
            "a zone that is none": ("10.0.0.1", ["fe80::1%"], PROXIES, "10.0.0.1"),
            "a zone of IPv4": ("10.0.0.1", ["203.0.113.9%eth0"], PROXIES, "10.0.0.1"),
            "as many hops as are looked at": (
                "10.0.0.1",
                [", ".join(["203.0.113.9", *["10.0.0.2"] * (MAX_HOPS - 1)])],
                PROXIES,
                "203.0.113.9",
            ),
            "one hop more": (
                "10.0.0.1",
                [", ".join(["203.0.113.9", *["10.0.0.2"] * MAX_HOPS])],
                PROXIES,
                "10.0.0.2",
            ),
        }
    )
    def test_client_address(
        self, peer: str | None, forwarded_for: list[str], trusted: Networks, expected: str | None
    ) -> None:
        """Each peer with its headers, under each trust, is one client or an unknown one."""
        address = client_address(peer, forwarded_for, trusted)
        self.assertEqual(None if address is None else str(address), expected)

    @given(
        st.lists(st.text()), st.text(), STRANGERS, TRUSTED_HOPS, st.sampled_from([",", ", ", "\n"])
    )
    def test_what_a_client_writes_never_counts(
        self,
        headers: list[str],
        left: str,
        client: IPv4Address | IPv6Address,
        proxies: list[str],
        separator: str,
    ) -> None:
        """Hops to the left of the one that a trusted proxy has added change nothing."""
        last = separator.join([left, str(client), *proxies])
        forwarded_for = [*headers, *last.split("\n")]
        self.assertEqual(client_address("10.0.0.1", forwarded_for, PROXIES), client)

    @given(
        st.none() | st.text() | st.ip_addresses().map(str),
        st.lists(
            st.text()
            | st.text("0123456789abcdef:.,[]% \t")
            | st.builds("{}%{}".format, st.ip_addresses(), st.text())
        ),
        st.sampled_from([NOBODY, PROXIES, SOCKET, EVERYWHERE]),
    )
    def test_no_text_is_an_error(
        self, peer: str | None, forwarded_for: list[str], trusted: Networks
    ) -> None:
        """Any text at all leads to an address that can be counted, or to an unknown one."""
        address = client_address(peer, forwarded_for, trusted)
        if address is not None:
            network_of(address)
            self.assertNotIn("%", str(address))

    def test_bytes_that_are_no_text(self) -> None:
        """A header that is not even UTF-8 is answered like any other."""
        verifier = FixedVerifier(RIGHT)
        site = daemon_site(verifier, trusted_proxies=parse_networks(["192.0.2.7"]))
        body = "grant_type=password&client_id=mac&username=alice&password=secret"
        for hops, address in (("{}, 203.0.113.9", "203.0.113.9"), ("203.0.113.9, {}", "192.0.2.7")):
            request = post(body, f"{FORM}X-Forwarded-For: {hops}\r\n")
            [reply] = Connection(site).send(request.replace(b"{}", b"\xff\xfe")).replies
            self.assertEqual((reply.status, str(verifier.asked[-1].address)), (200, address), hops)


class NetworkTests(SynchronousTestCase):
    """Sets of networks, and what one party holds."""

    def test_notation(self) -> None:
        """Networks and addresses are taken in their usual notation, and ``unix`` beside them."""
        self.assertEqual(
            parse_networks(iter(["10.0.0.0/8", "unix", "192.0.2.1", "2001:db8::/32"])),
            Networks(
                (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"), ip_network("2001:db8::/32")),
                unix=True,
            ),
        )
        self.assertEqual(parse_networks([]), NOBODY)

    def test_what_is_no_network(self) -> None:
        """Names, bits beyond the mask and other words are refused."""
        for word in ("localhost", "10.0.0.1/8", "10.0.0.0/33", "", "UNIX", "10.0.0.0-10.0.0.9"):
            with self.assertRaises(ValueError, msg=word):
                parse_networks(["192.0.2.0/24", word])

    @parametrize(
        {
            "IPv4": (PROXIES, "10.255.0.1", True),
            "IPv4 outside": (PROXIES, "11.0.0.1", False),
            "IPv6": (PROXIES, "fd12::1", True),
            "IPv6 outside": (PROXIES, "::a00:1", False),
            "UNIX socket unlisted": (PROXIES, None, False),
            "UNIX socket": (SOCKET, None, True),
            "IPv4 in a set of a UNIX socket": (SOCKET, "10.0.0.1", False),
            "UNIX socket everywhere": (EVERYWHERE, None, True),
            "IPv6 everywhere": (EVERYWHERE, "2001:db8::1", True),
            "IPv4 everywhere": (EVERYWHERE, "192.0.2.1", True),
            "IPv4 nowhere": (NOBODY, "192.0.2.1", False),
        }
    )
    def test_belonging(self, networks: Networks, address: str | None, expected: bool) -> None:
        """An address belongs to a set by one of its networks; a UNIX socket only by name."""
        found = (None if address is None else ip_address(address)) in networks
        self.assertEqual(found, expected)

    @parametrize(
        {
            "IPv4": ("192.0.2.7", "192.0.2.7"),
            "IPv6": ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            "IPv6 in capitals": ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
            "the next /64": ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            "a zone": ("fe80::1%eth0", "fe80::/64"),
        }
    )
    def test_one_party(self, address: str, expected: str) -> None:
        """A party is an IPv4 address, or a /64 of IPv6 in one spelling."""
        self.assertEqual(str(network_of(ip_address(address))), expected)
