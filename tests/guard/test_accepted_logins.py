"""Accepted logins, shared by daemons in a Redis."""

from __future__ import annotations

import signal

from ropg_twisted.guard.accepted_logins import LIFETIME, AcceptedLogins
from tests.guard.redis import HOME, LOCAL, MAIL, OFFICE, RedisTestCase


class AcceptedLoginsTests(RedisTestCase):
    """Daemons that tell each other from where passwords were accepted."""

    def accepted(self) -> AcceptedLogins:
        """The accepted logins of one daemon."""
        return AcceptedLogins(self.store(self.url), self.clock)

    async def test_daemons_tell_each_other(self) -> None:
        """A login that one daemon has seen is known to the others for as long as to itself."""
        first, second = self.accepted(), self.accepted()
        await first.remember(MAIL, "alice", HOME)
        await first.remember("bob", "bob", HOME)
        await first.remember("carol", "carol", None)
        for name, network, expected in (
            (MAIL, HOME, ("alice", True)),
            (MAIL, OFFICE, ("alice", False)),
            (MAIL, None, ("alice", False)),
            ("alice", HOME, ("alice", True)),
            ("bob", HOME, ("bob", True)),
            ("bob", None, ("bob", False)),
            ("carol", HOME, ("carol", False)),
            ("dave", HOME, ("dave", False)),
        ):
            for accepted in (first, second, self.accepted()):
                self.assertEqual(await accepted.find(name, network), expected, (name, network))
        self.clock.advance(LIFETIME)
        await self.flush()
        for accepted in (first, second):
            self.assertEqual(await accepted.find(MAIL, HOME), (MAIL, False))

    async def test_it_expires_in_redis(self) -> None:
        """After thirty days there is nothing left; each accepted password begins them anew."""
        await self.accepted().remember(MAIL, "alice", HOME)
        client = self.store(self.url).redis.storage
        keys = client.keys("*")
        self.assertEqual(len(keys), 2)
        for key in keys:
            self.assertAlmostEqual(client.ttl(key), LIFETIME, delta=60)
            client.expire(key, 100)
        late = self.accepted()
        self.assertEqual(await late.find(MAIL, HOME), ("alice", True))
        await self.accepted().remember(MAIL, "alice", HOME)
        for key in keys:
            self.assertAlmostEqual(client.ttl(key), LIFETIME, delta=60)
        await self.flush()
        self.clock.advance(99)
        self.assertEqual(await late.find(MAIL, HOME), ("alice", True))
        self.clock.advance(2)
        self.assertEqual(await late.find(MAIL, HOME), (MAIL, False))
        self.assertEqual(await late.find("alice", HOME), ("alice", False))

    async def test_a_redis_that_dies_or_is_emptied(self) -> None:
        """Each daemon keeps what it has seen, and what it has learned from the others."""
        first, second, third = self.accepted(), self.accepted(), self.accepted()
        await first.remember(MAIL, "alice", HOME)
        self.assertEqual(await second.find(MAIL, HOME), ("alice", True))
        await self.flush()
        for accepted in (first, second):
            self.assertEqual(await accepted.find(MAIL, HOME), ("alice", True))
        self.assertEqual(await third.find(MAIL, HOME), (MAIL, False))
        self.redis.end(signal.SIGKILL)
        await third.remember(MAIL, "alice", HOME)
        for accepted in (first, second, third):
            self.assertEqual(await accepted.find(MAIL, HOME), ("alice", True))
            self.assertEqual(await accepted.find("bob", HOME), ("bob", False))
        self.assertEqual(self.said(LOCAL), 3)
