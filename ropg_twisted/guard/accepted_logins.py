"""Memory of accepted logins: the names and networks of users."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache, TLRUCache
from limits.storage import RedisStorage
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.networks import ClientNetwork

LIFETIME: Final = 30 * 24 * 60 * 60
"""Seconds for which an accepted login is remembered."""

MAX_USERS: Final = 50_000
MAX_NETWORKS: Final = 16
"""Networks remembered for one user."""
MAX_NAMES: Final = 50_000
"""Names remembered that differ from the user name at Authentik."""


class AcceptedLogins:
    """Remembers logins whose password Authentik has accepted in the last 30 days.

    It keeps folded user names and networks, no passwords. In memory, the least recently used are
    dropped when it is full. In the ``store``, if there is one, they expire. Entries found in the
    store are copied to memory, with their remaining lifetime.
    """

    def __init__(self, store: SharedStore | None, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._users: TLRUCache[str, tuple[str, float], float] = TLRUCache(
            MAX_NAMES, lambda _, remembered, now: remembered[1], clock.seconds
        )
        self._networks: LRUCache[str, TLRUCache[ClientNetwork, float, float]] = LRUCache(MAX_USERS)

    async def find(self, name: str, network: ClientNetwork | None) -> tuple[str, bool]:
        """Return the user of ``name``, and whether a login of the user from ``network`` is known.

        The user of an unknown name is the name itself.
        """
        user, known = self._find(name, network)
        if known or self._store is None:
            return user, known
        user, user_left, network_left = await self._store.run(
            lambda redis: _read(redis, name, user, network), otherwise=(user, 0, 0)
        )
        now = self._clock.seconds()
        if user_left > 0:
            self._users[name] = user, now + user_left
        if network is not None and network_left > 0:
            self._keep_network(user, network, now + network_left)
        return user, network_left > 0

    async def remember(self, name: str, user: str, network: ClientNetwork | None) -> None:
        """Remember that the password of ``user`` was accepted, as ``name`` and from ``network``."""
        end = self._clock.seconds() + LIFETIME
        if name != user:
            self._users[name] = user, end
        if network is not None:
            self._keep_network(user, network, end)
        if self._store is not None:
            await self._store.run(lambda redis: _write(redis, name, user, network), otherwise=None)

    def _find(self, name: str, network: ClientNetwork | None) -> tuple[str, bool]:
        user, _ = self._users.get(name, (name, 0))
        return user, network in self._networks.get(user, ())

    def _keep_network(self, user: str, network: ClientNetwork, end: float) -> None:
        if user not in self._networks:
            self._networks[user] = TLRUCache(
                MAX_NETWORKS, lambda _, end, now: end, self._clock.seconds
            )
        self._networks[user][network] = end


def _read(
    redis: RedisStorage, name: str, user: str, network: ClientNetwork | None
) -> tuple[str, int, int]:
    """Return the user of ``name``, and the seconds for which it and ``network`` are remembered."""
    client = redis.get_connection()
    left = 0
    found = client.get(_user_key(name))
    if found is not None:
        user, left = found.decode(), int(client.ttl(_user_key(name)))
    if network is None:
        return user, left, 0
    return user, left, int(client.ttl(_network_key(user, network)))


def _write(redis: RedisStorage, name: str, user: str, network: ClientNetwork | None) -> None:
    client = redis.storage
    if name != user:
        client.set(_user_key(name), user, ex=LIFETIME)
    if network is not None:
        client.set(_network_key(user, network), 1, ex=LIFETIME)


def _user_key(name: str) -> str:
    return f"ropg/user/{name}"


def _network_key(user: str, network: ClientNetwork) -> str:
    return f"ropg/network/{network}/{user}"
