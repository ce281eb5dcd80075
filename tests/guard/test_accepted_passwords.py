"""The memory of accepted passwords that daemons share in a Redis."""

from __future__ import annotations

import signal

from twisted.internet.threads import deferToThread

from ropg_twisted.guard.accepted_passwords import LIFETIME, AcceptedPassword, AcceptedPasswords
from ropg_twisted.interfaces import LoginAttempt
from tests.guard.redis import RedisTestCase

KEY = b"k" * 32
ALICE = LoginAttempt("Alice@example.com", "hush-1")


class SharedPasswordsTests(RedisTestCase):
    """Daemons with the same key, and daemons with another."""

    def passwords(self, key: bytes = KEY) -> AcceptedPasswords:
        """Return the memory of one daemon."""
        return AcceptedPasswords(self.clock, self.store(self.url), key)

    async def test_a_daemon_knows_what_another_accepted(self) -> None:
        """Also one that was started since."""
        first = self.passwords()
        await first.remember(ALICE, "alice")
        last = await self.passwords().find("alice@EXAMPLE.com")
        self.assertEqual(last, AcceptedPassword(first.digest(ALICE), "alice"))

    async def test_the_latest_counts(self) -> None:
        """A daemon that accepted an older password learns of the newer one."""
        first, second = self.passwords(), self.passwords()
        await first.remember(ALICE, "alice")
        newer = LoginAttempt("alice@example.com", "hush-2")
        await second.remember(newer, "alice")
        last = await first.find("alice@example.com")
        assert last is not None
        self.assertEqual(last.digest, second.digest(newer))

    async def test_another_key_is_of_no_use(self) -> None:
        """The hashes of one daemon do not fit those of another."""
        first, second = self.passwords(), self.passwords(b"o" * 32)
        await first.remember(ALICE, "alice")
        last = await second.find(ALICE.username)
        assert last is not None
        self.assertNotEqual(last.digest, second.digest(ALICE))

    async def test_a_user_of_whom_nothing_is_known(self) -> None:
        """The store has nothing, and the memory neither."""
        self.assertIsNone(await self.passwords().find("nobody"))

    async def test_what_the_store_holds(self) -> None:
        """A hash and names, for thirty days, and no password."""
        await self.passwords().remember(ALICE, "alice")
        redis = self.store(self.url).redis.storage
        [key] = await deferToThread(redis.keys)
        value, left = await deferToThread(lambda: (redis.get(key), redis.ttl(key)))
        self.assertNotIn(b"hush", key + value)
        self.assertTrue(LIFETIME - 60 < left <= LIFETIME, left)

    async def test_a_redis_that_dies(self) -> None:
        """Each daemon goes on with what it has accepted itself."""
        passwords = self.passwords()
        await passwords.remember(ALICE, "alice")
        self.redis.end(signal.SIGKILL)
        last = await passwords.find(ALICE.username)
        self.assertEqual(last, AcceptedPassword(passwords.digest(ALICE), "alice"))
