"""Guesses that meet each other, over real sockets at a site with all guards."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from ropg_twisted.networks import parse_networks
from ropg_twisted.settings import values
from ropg_twisted.settings.model import Client, SecondFactor
from ropg_twisted.settings.table import DEFAULT_LIMITS
from tests.client import FORM, SocketClient, post
from tests.composition import daemon_site
from tests.fakes import RIGHT, PendingVerifier
from tests.guard.fakes import DENIED, WRONG, WRONG_CODE
from tests.guard.guesses import ALLOWED, GUESSES, HOME, STRANGER, reactor


class SameMomentTests(TestCase):
    """Guesses that meet each other, at a site with all guards in front of the test's Authentik."""

    def setUp(self) -> None:
        """Listen, as the daemon does by default, behind a proxy."""
        clock = Clock()
        self.verifier = PendingVerifier()
        client = Client("mac", rates=values.rates(DEFAULT_LIMITS), second_factor=SecondFactor.CODE)
        self.site = daemon_site(
            self.verifier,
            client,
            Client("server"),
            reactor=clock,
            guards=True,
            trusted_proxies=parse_networks(["127.0.0.1"]),
        )
        port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        self.guesses: list[SocketClient] = []

    async def send(
        self, username: str, password: str, address: str = STRANGER, client: str = "mac"
    ) -> SocketClient:
        """A guess that is on its way."""
        fields = {"grant_type": "password", "client_id": client, "username": username}
        headers = f"{FORM}Connection: close\r\nX-Forwarded-For: {address}\r\n"
        guess = SocketClient(post(urlencode({**fields, "password": password}), headers))
        self.guesses.append(guess)
        await connectProtocol(self.endpoint, guess)
        return guess

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everybody go on until something is so."""
        while not condition():
            await deferLater(reactor, 0.002)

    async def come_to(self, walks: int, guess: SocketClient) -> None:
        """Let everybody go on until there are so many walks, or a guess is answered."""
        await self.until(lambda: bool(guess.status) or len(self.verifier.waiting) == walks)

    async def turns(self) -> None:
        """Let everybody go on who can."""
        for _ in range(20):
            await deferLater(reactor, 0)

    async def answered(self, *clients: SocketClient) -> None:
        """Wait until each of these clients has an answer."""
        await self.until(lambda: all(client.status for client in clients))

    async def status(self, username: str, password: str, address: str = STRANGER) -> int:
        """The answer to a guess, which is wrong if Authentik is asked."""
        guess = await self.send(username, password, address)
        await self.come_to(1, guess)
        self.verifier.answer(WRONG)
        await self.come_to(-1, guess)
        return guess.status

    async def hang_up(self, *guesses: SocketClient) -> None:
        """Let clients go away, and the site see it."""
        for guess in guesses:
            guess.hang_up()
        await self.until(lambda: not self.site.connections)

    async def test_guesses_that_hang_up(self) -> None:
        """Fifty guesses that nobody waits for are counted as they come to their ends."""
        guesses = [await self.send("alice", f"guess {number}") for number in range(50)]
        await self.until(lambda: sum(guess.status == 429 for guess in guesses) == 50 - ALLOWED)
        self.assertEqual(len(self.verifier.waiting), ALLOWED)
        await self.hang_up(*guesses)
        self.verifier.answer(WRONG)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_guesses_that_hang_up_one_by_one(self) -> None:
        """It is no way round either to wait until each of them has left."""
        for number in range(ALLOWED):
            guess = await self.send("alice", f"guess {number}")
            await self.until(lambda: bool(self.verifier.waiting))
            await self.hang_up(guess)
            self.verifier.answer(WRONG)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_an_impatient_client(self) -> None:
        """A stale password reaches Authentik once, however often its client gives up."""
        for _ in range(20):
            guess = await self.send("alice", "stale")
            await self.come_to(1, guess)
            await self.hang_up(guess)
            self.verifier.answer(WRONG)
        self.assertEqual(len(self.verifier.asked), 1)

    async def test_twins(self) -> None:
        """A guess that is made twice at once is one, though one of the two hangs up."""
        for number in range(ALLOWED):
            twins = [await self.send("alice", f"guess {number}") for _ in range(2)]
            await self.turns()
            self.assertEqual(len(self.verifier.waiting), 1)
            twins[number % 2].hang_up()
            await self.until(lambda: self.site.connections == 1)
            self.verifier.answer(WRONG)
            await self.answered(twins[1 - number % 2])
            self.assertEqual(twins[1 - number % 2].status, 400)
        self.assertEqual(await self.status("alice", "one more"), 429)

    async def test_twins_of_another_spelling(self) -> None:
        """The first refusal counts, whatever becomes of the same guess under another name."""
        answered = 0
        for number in range(GUESSES // 2):
            first = await self.send("alice", f"guess {number}")
            await self.come_to(1, first)
            second = await self.send("Alice", f"guess {number}")
            await self.come_to(2, second)
            for walk in self.verifier.waiting[:1]:
                self.verifier.waiting.remove(walk)
                walk.callback(WRONG)
            await self.come_to(-1, first)
            answered += first.status == 400
            await self.hang_up(second)
            self.verifier.answer(DENIED)
        self.assertEqual(answered, ALLOWED)

    async def test_codes(self) -> None:
        """The same password with different codes is as many guesses, at the same moment too."""
        passwords = [f"right;{number:06}" for number in range(2 * ALLOWED)]
        guesses = [await self.send("alice", password) for password in passwords]
        await self.until(lambda: sum(guess.status == 429 for guess in guesses) == ALLOWED)
        self.assertEqual(len(self.verifier.waiting), ALLOWED)
        self.verifier.answer(WRONG_CODE)
        await self.until(lambda: not self.site.connections)
        self.assertEqual(await self.status("alice", "right;999999", HOME), 429)

    async def test_nobody_learns_by_joining_another(self) -> None:
        """Strangers who have used up their attempts do not hear what a person at home hears."""
        person = await self.send("alice", "right", HOME)
        await self.until(lambda: bool(self.verifier.waiting))
        self.verifier.answer(RIGHT)
        await self.until(lambda: not self.site.connections)
        for number in range(ALLOWED):
            self.assertEqual(await self.status("alice", f"guess {number}"), 400)
        for place, answer, status in (
            ((HOME, "mac"), RIGHT, 200),
            ((STRANGER, "server"), RIGHT, 200),  # A client without limits.
            ((HOME, "mac"), WRONG, 400),
        ):
            person = await self.send("alice", f"typed there {status}", *place)
            await self.until(lambda: bool(self.verifier.waiting))
            stranger = await self.send("alice", f"typed there {status}")
            await self.turns()
            self.verifier.answer(answer)
            await self.answered(person, stranger)
            self.assertEqual((person.status, stranger.status), (status, 429))
        # Nor from what is remembered of it.
        self.assertEqual(await self.status("alice", "typed there 400"), 429)
        self.assertEqual(await self.status("alice", "typed there 400", HOME), 400)
