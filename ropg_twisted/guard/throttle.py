"""How often one user's password may be wrong, and how often one address may ask."""

from __future__ import annotations

from collections import Counter
from typing import Final

from limits import RateLimitItem

from ropg_twisted.errors import SlowDown
from ropg_twisted.guard.counts import Counts
from ropg_twisted.guard.stale import fold
from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.networks import network_of
from ropg_twisted.settings.model import Rates
from ropg_twisted.verdict import Reason

WRONG: Final = (Reason.WRONG_CREDENTIALS, Reason.WRONG_CODE)


class Throttle:
    """The way to a verifier, for those who have not tried too often.

    Both rates are looked at before Authentik is asked. Checks under way count as failures until
    they have ended, so that many guesses at the same moment are no way round.
    """

    def __init__(self, verifier: IPasswordVerifier, counts: Counts) -> None:
        self._verifier = verifier
        self._counts = counts
        self._under_way: dict[str, Counter[tuple[str, str | None]]] = {}

    async def verify(self, login: Login, rates: Rates) -> Check:
        """Check one password. Raises :exc:`SlowDown` for an attempt too many."""
        if rates.address is not None and login.address is not None:
            network = network_of(login.address)
            if not await self._counts.hit(rates.address, "address", network):
                raise await self._slow_down(rates.address, "address", network)
        if rates.user is None:
            return await self._verifier.verify(login)
        user = fold(login.username)
        guesses = self._under_way.setdefault(user, Counter())
        guess = (login.password, login.code)
        guesses[guess] += 1
        try:
            if not await self._counts.has_room(rates.user, "user", user, cost=len(guesses)):
                raise await self._slow_down(rates.user, "user", user)
            check = await self._verifier.verify(login)
            # Checks that were the same are one guess, and the last of them counts.
            if check.outcome.reason in WRONG and guesses[guess] == 1:
                await self._counts.hit(rates.user, "user", user)
            return check
        finally:
            guesses[guess] -= 1
            if not guesses[guess]:
                del guesses[guess]
            if not guesses:
                self._under_way.pop(user, None)

    async def _slow_down(self, rate: RateLimitItem, *key: str) -> SlowDown:
        return SlowDown(await self._counts.seconds_left(rate, *key))
