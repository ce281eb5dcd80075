"""How often one user's password may be wrong, and how often one address may ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from zope.interface import implementer

from ropg_twisted.guard.accepted_logins import AcceptedLogins
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.sliding_windows import Key
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import Outcome, Reason, Verdict


@implementer(IPasswordVerifier)
class AddressRateLimit:
    """Limits the checks of one address, whatever comes of them. IPv6 counts by the /64."""

    def __init__(self, verifier: IPasswordVerifier, limiter: RateLimiter) -> None:
        self._verifier = verifier
        self._limiter = limiter

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        rate = login.rates.address
        if rate is not None and login.network is not None:
            key = ("address", login.network)
            if not await self._limiter.hit(rate, key):
                return _throttled(await self._limiter.seconds_left(rate, key))
        return await self._verifier.verify(login)


@implementer(IPasswordVerifier)
class UserRateLimit:
    """Limits how often Authentik may refuse a password or a code of one user.

    A network from which the user's password was accepted lately has a budget of its own for this
    user, all others share one: strangers use up the strangers' budget. Wrong codes are counted over
    all networks as well, because whoever has the password can make any network an accepted one.

    A check under way counts as refused until it has ended, so many guesses at the same moment are
    no way round. Once a budget is used up, the right password has to wait as well.
    """

    def __init__(
        self, verifier: IPasswordVerifier, limiter: RateLimiter, accepted: AcceptedLogins
    ) -> None:
        self._verifier = verifier
        self._limiter = limiter
        self._accepted = accepted
        self._under_way: Counter[Key] = Counter()

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        rate = login.rates.user
        if rate is None:
            return await self._verifier.verify(login)
        name = fold(login.username)
        user, is_known = await self._accepted.find(name, login.network)
        budget: Key = ("strangers", user)
        if is_known and login.network is not None:
            budget = ("network", login.network, user)
        codes: Key = ("codes", user)
        with ExitStack() as reserved:
            for key in [budget] if login.code is None else [budget, codes]:
                cost = reserved.enter_context(self._reserve(key))
                if not await self._limiter.has_room(rate, key, cost=cost):
                    return _throttled(await self._limiter.seconds_left(rate, key))
            check = await self._verifier.verify(login)
        # Nothing is waited for until these are counted here: no reservation is free too early.
        if check.outcome.reason is Reason.WRONG_CREDENTIALS:
            await self._limiter.count(rate, budget)
        elif check.outcome.reason is Reason.WRONG_CODE:
            await self._limiter.count(rate, budget, codes)
        if check.outcome.accepts_password:
            if check.user is not None:
                user = fold(check.user.username)
            await self._accepted.remember(name, user, login.network)
        return check

    @contextmanager
    def _reserve(self, key: Key) -> Iterator[int]:
        """Have one more under way for a while; the number of all that are."""
        self._under_way[key] += 1
        try:
            yield self._under_way[key]
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]


def _throttled(seconds: int) -> CheckResult:
    return CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.THROTTLED), retry_after=seconds)
