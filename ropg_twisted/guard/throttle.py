"""How often one user's password may be wrong, and how often one address may ask."""

from __future__ import annotations

from collections import Counter

from limits import RateLimitItem

from ropg_twisted.errors import SlowDown
from ropg_twisted.guard.counts import Counts
from ropg_twisted.guard.stale import fold
from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.networks import network_of
from ropg_twisted.settings.model import Rates
from ropg_twisted.verdict import Reason


class Throttle:
    """The way to a verifier, for those who have not tried too often.

    Both rates are looked at before Authentik is asked. Checks under way count as failures until
    they have ended, so that many guesses at the same moment are no way round.
    """

    def __init__(self, verifier: IPasswordVerifier, counts: Counts) -> None:
        self._verifier = verifier
        self._counts = counts
        self._under_way: Counter[str] = Counter()

    async def verify(self, login: Login, rates: Rates) -> Check:
        """Check one password. Raises :exc:`SlowDown` for an attempt too many."""
        if rates.address is not None and login.address is not None:
            network = network_of(login.address)
            if not await self._counts.hit(rates.address, "address", network):
                raise await self._slow_down(rates.address, "address", network)
        if rates.user is None:
            return await self._verifier.verify(login)
        user = fold(login.username)
        self._under_way[user] += 1
        try:
            return await self._verify(login, rates.user, user)
        finally:
            self._under_way[user] -= 1
            if not self._under_way[user]:
                del self._under_way[user]

    async def _verify(self, login: Login, rate: RateLimitItem, user: str) -> Check:
        if not await self._counts.has_room(rate, "user", user, cost=self._under_way[user]):
            raise await self._slow_down(rate, "user", user)
        check = await self._verifier.verify(login)
        if check.outcome.reason in (Reason.WRONG_CREDENTIALS, Reason.WRONG_CODE):
            await self._counts.hit(rate, "user", user)
        return check

    async def _slow_down(self, rate: RateLimitItem, *key: str) -> SlowDown:
        return SlowDown(await self._counts.seconds_left(rate, *key))
