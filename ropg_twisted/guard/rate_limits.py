"""Rate limits of addresses and of users."""

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
    """Limits the checks of one address, with any verdict. IPv6 addresses are counted by /64.

    ``throttled``: the number of checks above the limit.
    """

    def __init__(self, verifier: IPasswordVerifier, limiter: RateLimiter) -> None:
        self.throttled = 0
        self._verifier = verifier
        self._limiter = limiter

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        rate = login.rates.address
        if rate is not None and login.network is not None:
            key = ("address", str(login.network))
            if not await self._limiter.hit(rate, key):
                self.throttled += 1
                return _throttled(await self._limiter.seconds_left(rate, key))
        return await self._verifier.verify(login)


@implementer(IPasswordVerifier)
class UserRateLimit:
    """Limits wrong passwords and wrong codes of one user.

    A network from which the user's password was accepted recently has a budget of its own for this
    user. All other networks share one, so strangers use up the strangers' budget only. Wrong codes
    are counted over all networks as well: a right password makes any network a known one.

    A running check counts as refused until it has ended, so concurrent guesses do not exceed the
    limit. When a budget is used up, the right password has to wait too. A password that was last
    accepted for the user is no guess, and is not counted.

    Attributes:
        throttled: the number of checks above the limit of wrong passwords.
        throttled_codes: the number of checks above the limit of wrong codes.
    """

    def __init__(
        self, verifier: IPasswordVerifier, limiter: RateLimiter, accepted: AcceptedLogins
    ) -> None:
        self.throttled = 0
        self.throttled_codes = 0
        self._verifier = verifier
        self._limiter = limiter
        self._accepted = accepted
        self._running: Counter[Key] = Counter()

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        rate = login.rates.user
        if rate is None:
            return await self._verifier.verify(login)
        name = fold(login.username)
        user, is_known = await self._accepted.find(name, login.network)
        budget: Key = ("strangers", user)
        if is_known and login.network is not None:
            budget = ("network", str(login.network), user)
        codes: Key = ("codes", user)
        with ExitStack() as reserved:
            for key in [budget] if login.code is None else [budget, codes]:
                cost = reserved.enter_context(self._reserve(key))
                if not await self._limiter.has_room(rate, key, cost=cost):
                    if key is codes:
                        self.throttled_codes += 1
                    else:
                        self.throttled += 1
                    return _throttled(await self._limiter.seconds_left(rate, key))
            check = await self._verifier.verify(login)
        # No await before these are counted locally, or a reservation would be free too early.
        if check.outcome.refuses_password and not check.was_accepted:
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
        """Count one running check during the block. Yields the number of running checks."""
        self._running[key] += 1
        try:
            yield self._running[key]
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]


def _throttled(seconds: int) -> CheckResult:
    return CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.THROTTLED), retry_after=seconds)
