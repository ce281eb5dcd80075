"""The rate limit of an address: how often it may ask."""

from __future__ import annotations

from limits import parse
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import Rates
from ropg_twisted.verdict import Reason, Verdict
from tests.fakes import RIGHT, FixedVerifier, outcome
from tests.guard.fakes import WRONG
from tests.guard.rate_limits import ADDRESS, ALLOWED, BothRateLimits
from tests.parametrize import parametrize


class AddressRateTests(SynchronousTestCase):
    """Checks of one address."""

    def test_every_check_counts(self) -> None:
        """An address has so many checks, whoever they are about and whatever they come to."""
        for check in (RIGHT, WRONG, outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED)):
            verifier = FixedVerifier(check)
            limits = BothRateLimits(verifier, ADDRESS)
            let_in = [limits.admits(f"user{number}") for number in range(2 * ALLOWED)]
            self.assertEqual(let_in, [True] * ALLOWED + [False] * ALLOWED, check)
            self.assertEqual(len(verifier.asked), ALLOWED)

    @parametrize(
        {
            "one IPv4 address": (["192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.7"], ALLOWED),
            "four IPv4 addresses": (["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], 4),
            "one IPv6 network": (
                ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1:2:3", "2001:db8::"],
                ALLOWED,
            ),
            "four IPv6 networks": (
                ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"],
                4,
            ),
            "unknown addresses": ([None, None, None, None], 4),
        }
    )
    def test_addresses_count_together(self, addresses: list[str | None], expected: int) -> None:
        """IPv4 counts by the address, IPv6 by the /64, and an unknown address not at all."""
        limits = BothRateLimits(FixedVerifier(RIGHT), ADDRESS)
        let_in = [limits.admits(address=address) for address in addresses]
        self.assertEqual(let_in.count(True), expected)

    def test_refused_checks_do_not_touch_the_user(self) -> None:
        """A flood from one address does not use up the attempts of the users that it names."""
        limits = BothRateLimits(
            FixedVerifier(WRONG), Rates(parse("4 per 15 minutes"), ADDRESS.address)
        )
        for _ in range(5 * ALLOWED):
            limits.admits()
        self.assertTrue(limits.admits(address="198.51.100.1"))
        self.assertFalse(limits.admits(address="198.51.100.2"))

    def test_a_minute_later(self) -> None:
        """A rate per minute is full again two minutes later at the latest."""
        limits = BothRateLimits(FixedVerifier(RIGHT), ADDRESS)
        self.assertEqual([limits.admits() for _ in range(ALLOWED + 1)][-1], False)
        limits.clock.advance(120)
        self.assertEqual([limits.admits() for _ in range(ALLOWED)], [True] * ALLOWED)
