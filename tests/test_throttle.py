"""How often a password may be wrong, how often an address may ask, and what both are told."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from limits import parse, strategies
from limits.storage import memory
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.errors import SlowDown
from ropg_twisted.guard import counts
from ropg_twisted.guard.counts import Counts
from ropg_twisted.guard.stale import fold
from ropg_twisted.guard.throttle import Throttle
from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.settings.model import Client, Rates
from ropg_twisted.verdict import Reason, Verdict
from ropg_twisted.web.site import BoundedSite
from tests.fakes import (
    RIGHT,
    Breaks,
    Listens,
    Ponders,
    Reply,
    Says,
    Wire,
    outcome,
    post,
    provider_site,
)

WRONG = outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)

USER = Rates(user=parse("3 per 15 minutes"))
ADDRESS = Rates(address=parse("3 per minute"))
BOTH = Rates(USER.user, ADDRESS.address)
OFF = Rates()

ALLOWED = 3


class Calendar:
    """Stands for the module ``time`` where attempts are counted."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.5

    def time(self) -> float:
        """Seconds since 1970, as many as the test says."""
        return self.now


class ThrottleTestCase(SynchronousTestCase):
    """Throttles whose windows pass when the test says so."""

    def setUp(self) -> None:
        """Take the time of day from a calendar."""
        self.calendar = Calendar()
        for module in (memory, strategies, counts):
            self.patch(module, "time", self.calendar)


class Gate:
    """A throttle on its own, and its answers to one login after the other."""

    def __init__(self, verifier: IPasswordVerifier, rates: Rates) -> None:
        self._throttle = Throttle(verifier, Counts(None, Clock()))
        self._rates = rates

    def ask(
        self,
        username: str = "alice",
        address: str | None = "192.0.2.7",
        password: str = "typed",
    ) -> Deferred[Check | SlowDown]:
        """What a login comes to, a refusal as well as a check."""
        return Deferred.fromCoroutine(self._ask(Login(username, password, address)))

    def lets_in(self, username: str = "alice", address: str | None = "192.0.2.7") -> bool:
        """Whether a login is let in; it is answered at once."""
        answers: list[object] = []
        self.ask(username, address).addBoth(answers.append)
        [answer] = answers
        return not isinstance(answer, SlowDown)

    async def _ask(self, login: Login) -> Check | SlowDown:
        try:
            return await self._throttle.verify(login, self._rates)
        except SlowDown as refusal:
            return refusal


class UserRateTests(ThrottleTestCase):
    """Failed checks of one user name."""

    def test_only_wrong_credentials_count(self) -> None:
        """No other answer than a refusal by Authentik uses up any of a user's attempts."""
        for check, counted in (
            (WRONG, True),
            (outcome(Verdict.REJECTED, Reason.WRONG_CODE), True),
            (RIGHT, False),
            (outcome(Verdict.REJECTED, Reason.STALE_PASSWORD), False),
            (outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA), False),
            (outcome(Verdict.DENIED, Reason.POLICY), False),
            (outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_TIMEOUT), False),
            (outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN), False),
        ):
            verifier = Says(check)
            gate = Gate(verifier, USER)
            let_in = [gate.lets_in() for _ in range(3 * ALLOWED)]
            expected = ALLOWED if counted else len(let_in)
            self.assertEqual(let_in.count(True), expected, check)
            self.assertEqual(len(verifier.asked), expected, check)
            self.assertEqual(all(let_in[:expected]), True, check)

    def test_a_mistake_of_ours_does_not_count(self) -> None:
        """A check that breaks inside leaves a user's attempts as they were."""
        gate = Gate(Breaks(RIGHT), USER)
        for _ in range(3 * ALLOWED):
            self.failureResultOf(gate.ask(), ZeroDivisionError)

    def test_after_the_limit_a_right_password_waits_as_well(self) -> None:
        """Nobody learns by a success which of many guesses was right."""
        verifier = Says(WRONG)
        gate = Gate(verifier, USER)
        for _ in range(ALLOWED):
            self.assertTrue(gate.lets_in())
        verifier.check = RIGHT
        self.assertFalse(gate.lets_in())
        self.assertTrue(gate.lets_in("bob"))

    def test_an_address_is_no_way_round(self) -> None:
        """Guesses at one user count from wherever they come."""
        gate = Gate(Says(WRONG), USER)
        let_in = [gate.lets_in(address=f"192.0.2.{host}") for host in range(2 * ALLOWED)]
        self.assertEqual(let_in.count(True), ALLOWED)

    def test_spellings_of_a_name_are_one_name(self) -> None:
        """Whatever Authentik may take for the same user has the same attempts."""
        for name, *others in (
            ("alice", "ALICE", "Alice", "\uff41lice", "ⒶLICE"),
            ("josé", "jose\u0301", "JOSÉ"),
            ("straße", "STRASSE", "strasse", "STRAẞE"),
            ("οδυσσευς", "ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("kim", "\u212aim"),
        ):
            for other in others:
                gate = Gate(Says(WRONG), USER)
                for _ in range(ALLOWED):
                    self.assertTrue(gate.lets_in(name), other)
                self.assertFalse(gate.lets_in(other), other)

    def test_names_that_are_the_same_in_capitals_are_one_name(self) -> None:
        """Authentik compares names in capitals, where a dotless i is an I."""
        for name in ("ALICE", "al\u0131ce", "al\u0131CE"):
            self.assertEqual(fold(name), fold("alice"), name)

    @given(st.text())
    def test_no_spelling_leads_further(self, name: str) -> None:
        """A name that is folded, composed or decomposed once more stays the same user."""
        for spelling in (
            fold(name),
            unicodedata.normalize("NFC", name),
            unicodedata.normalize("NFD", name),
            unicodedata.normalize("NFKC", name),
        ):
            self.assertEqual(fold(spelling), fold(name))

    def test_parallel_guesses_are_no_way_round(self) -> None:
        """What is under way counts as failed, until it turns out to be something else."""
        verifier = Ponders()
        gate = Gate(verifier, USER)
        checks = [gate.ask(password=f"guess {n}") for n in range(3 * ALLOWED)]
        self.assertEqual(len(verifier.asked), ALLOWED)
        for check in checks[ALLOWED:]:
            self.assertIsInstance(self.successResultOf(check), SlowDown)
        verifier.waiting.pop().callback(RIGHT)
        verifier.waiting.pop().callback(WRONG)
        checks[0].addErrback(lambda _: None).cancel()
        self.assertEqual(verifier.waiting, [])
        more = [gate.ask(password=f"more {n}") for n in range(ALLOWED)]
        self.assertEqual(len(verifier.waiting), ALLOWED - 1)
        self.assertIsInstance(self.successResultOf(more[-1]), SlowDown)

    def test_the_same_guess_at_the_same_moment_is_one(self) -> None:
        """Many Macs of one person that wake together do not shut each other out."""
        verifier = Ponders()
        gate = Gate(verifier, USER)
        checks = [gate.ask() for _ in range(3 * ALLOWED)]
        self.assertEqual(len(verifier.asked), 3 * ALLOWED)
        while verifier.waiting:
            verifier.waiting.pop().callback(WRONG)
        self.assertEqual({self.successResultOf(check) for check in checks}, {WRONG})
        for _ in range(ALLOWED - 1):
            checks.append(gate.ask())
            verifier.waiting.pop().callback(WRONG)
        self.assertIsInstance(self.successResultOf(gate.ask()), SlowDown)

    def test_attempts_come_back(self) -> None:
        """Who waits as long as the answer says, as often as it says so, is let in in the end."""
        start = self.calendar.now
        gate = Gate(Says(WRONG), USER)
        for _ in range(ALLOWED):
            self.assertTrue(gate.lets_in())
        while isinstance(answer := self.successResultOf(gate.ask()), SlowDown):
            self.assertGreaterEqual(answer.retry_after, 1)
            self.calendar.now += answer.retry_after
            self.assertLess(self.calendar.now - start, 2 * 900)
        self.assertGreater(self.calendar.now - start, 800)

    def test_a_window_that_slides_leaves_no_gap(self) -> None:
        """Attempts at the end of one quarter of an hour count in the next."""
        gate = Gate(Says(WRONG), USER)
        self.calendar.now += 895
        for _ in range(ALLOWED):
            self.assertTrue(gate.lets_in())
        self.calendar.now += 10
        self.assertEqual([gate.lets_in() for _ in range(ALLOWED)], [True, False, False])


class AddressRateTests(ThrottleTestCase):
    """Checks of one address."""

    def test_every_check_counts(self) -> None:
        """An address has so many checks, whoever they are about and whatever they come to."""
        for check in (RIGHT, WRONG, outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED)):
            verifier = Says(check)
            gate = Gate(verifier, ADDRESS)
            let_in = [gate.lets_in(f"user{number}") for number in range(2 * ALLOWED)]
            self.assertEqual(let_in, [True] * ALLOWED + [False] * ALLOWED, check)
            self.assertEqual(len(verifier.asked), ALLOWED)

    def test_who_is_one_party(self) -> None:
        """IPv4 counts by the address, IPv6 by the /64, and an unknown address not at all."""
        for addresses, expected in (
            (["192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.7"], ALLOWED),
            (["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], 4),
            (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1:2:3", "2001:db8::"], ALLOWED),
            (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"], 4),
            ([None, None, None, None], 4),
        ):
            gate = Gate(Says(RIGHT), ADDRESS)
            let_in = [gate.lets_in(address=address) for address in addresses]
            self.assertEqual(let_in.count(True), expected, addresses)

    def test_refused_checks_do_not_touch_the_user(self) -> None:
        """A flood from one address does not use up the attempts of the users that it names."""
        gate = Gate(Says(WRONG), Rates(parse("4 per 15 minutes"), ADDRESS.address))
        for _ in range(5 * ALLOWED):
            gate.lets_in()
        self.assertTrue(gate.lets_in(address="198.51.100.1"))
        self.assertFalse(gate.lets_in(address="198.51.100.2"))

    def test_a_minute_later(self) -> None:
        """A rate per minute is full again two minutes later at the latest."""
        gate = Gate(Says(RIGHT), ADDRESS)
        self.assertEqual([gate.lets_in() for _ in range(ALLOWED + 1)][-1], False)
        self.calendar.now += 120
        self.assertEqual([gate.lets_in() for _ in range(ALLOWED)], [True] * ALLOWED)


class WebTests(ThrottleTestCase):
    """The same, as clients see it."""

    def ask(self, site: BoundedSite, client: str = "mac", username: str = "alice") -> Reply:
        """What a token request is answered."""
        fields = {"grant_type": "password", "username": username, "password": "canary"}
        [reply] = Wire(site).send(post(urlencode({**fields, "client_id": client}))).replies
        return reply

    def test_the_answer(self) -> None:
        """Too many attempts: 429, when to come again, bytes that never change, and a log line."""
        events = Listens(self).events
        for rates, wait in ((USER, 900), (ADDRESS, 60)):
            site = provider_site(Says(WRONG), Client("mac", rates=rates))
            for _ in range(ALLOWED):
                self.assertEqual(self.ask(site).status, 400)
            for later in (0, wait / 3):
                self.calendar.now += later
                reply = self.ask(site)
                self.assertEqual(reply.status, 429)
                self.assertEqual(
                    reply.body,
                    b'{"error":"slow_down","error_description":"Too many attempts"}',
                )
                self.assertEqual(reply.headers["retry-after"], str(round(wait - 0.5 - later)))
                self.assertEqual(reply.headers["cache-control"], "no-store")
            self.calendar.now = Calendar().now
        lines = [event for event in events if event.get("reason") == "throttled"]
        self.assertEqual([event["verdict"] for event in lines], ["unverifiable"] * 4)
        self.assertNotIn("canary", repr(events))

    def test_each_client_has_its_own_rates(self) -> None:
        """Rates are those of the client that asks; one without any is never told to wait."""
        site = provider_site(
            Says(WRONG),
            Client("mac", rates=BOTH),
            Client("server", rates=OFF),
            Client("xcreds", rates=USER),
        )
        for client, username, expected in (
            ("mac", "alice", [400] * ALLOWED + [429] * ALLOWED),
            ("server", "alice", [400] * 2 * ALLOWED),
            ("mac", "bob", [429] * 2 * ALLOWED),
            ("xcreds", "bob", [400] * ALLOWED + [429] * ALLOWED),
        ):
            statuses = [self.ask(site, client, username).status for _ in expected]
            self.assertEqual(statuses, expected, (client, username))

    def test_a_user_has_the_same_attempts_everywhere(self) -> None:
        """What a user has failed through one client counts through another of the same rate."""
        site = provider_site(Says(WRONG), Client("mac", rates=USER), Client("linux", rates=USER))
        clients = ["mac", "linux"] * ALLOWED
        statuses = [self.ask(site, client).status for client in clients]
        self.assertEqual(statuses, [400] * ALLOWED + [429] * ALLOWED)
