"""Memory of accepted passwords: a keyed hash of the last one of each user."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import token_bytes
from typing import Final

from cachetools import TTLCache
from limits.storage import RedisStorage
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.usernames import fold

LIFETIME: Final = 30 * 24 * 60 * 60
"""Seconds for which an accepted password is remembered."""

MAX_USERS: Final = 50_000


@dataclass(frozen=True, slots=True)
class AcceptedPassword:
    """The last accepted password of a user: its keyed hash, and the user's name at Authentik."""

    digest: bytes = field(repr=False)
    user: str


class AcceptedPasswords:
    """Remembers the last accepted password of each user for 30 days, as a keyed hash.

    Args:
        store: shares the hashes with other daemons, if there is one.
        key: the key of the hashes, the same for all daemons that share the store. By default a
            random one, so the hashes are of use to this process alone.
    """

    def __init__(
        self, clock: IReactorTime, store: SharedStore | None = None, key: bytes | None = None
    ) -> None:
        self._store = store
        self._key = key or token_bytes(32)
        self._passwords: TTLCache[str, AcceptedPassword] = TTLCache(
            MAX_USERS, LIFETIME, timer=clock.seconds
        )

    def __len__(self) -> int:
        """Return the number of user names."""
        return len(self._passwords)

    def digest(self, login: LoginAttempt) -> bytes:
        """Return the keyed hash of a password. It is another one for each user name."""
        text = f"{fold(login.username)}\0{login.password}"
        return blake2b(text.encode(), key=self._key, digest_size=32).digest()

    async def find(self, username: str) -> AcceptedPassword | None:
        """Return the last accepted password of a user. The store prevails: it may have a later."""
        name = fold(username)
        last = self._passwords.get(name)
        if self._store is None:
            return last
        return await self._store.run(lambda redis: _read(redis, name) or last, otherwise=last)

    async def remember(self, login: LoginAttempt, user: str) -> bool:
        """Remember the accepted password of ``user``. Return whether it differs from the last."""
        name = fold(login.username)
        last = self._passwords.get(name)
        password = AcceptedPassword(self.digest(login), user)
        self._passwords[name] = password
        if self._store is not None:
            await self._store.run(lambda redis: _write(redis, name, password), otherwise=None)
        return last is None or last.digest != password.digest


def _read(redis: RedisStorage, name: str) -> AcceptedPassword | None:
    found = redis.get_connection().get(_key(name))
    if found is None:
        return None
    digest, _, user = found.decode().partition(" ")
    return AcceptedPassword(bytes.fromhex(digest), user)


def _write(redis: RedisStorage, name: str, password: AcceptedPassword) -> None:
    redis.storage.set(_key(name), f"{password.digest.hex()} {password.user}", ex=LIFETIME)


def _key(name: str) -> str:
    return f"ropg/accepted/{name}"
