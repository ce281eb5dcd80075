"""Bulkhead: checks that are likely to hang do not take the slots of all others."""

from __future__ import annotations

from typing import Final

from cachetools import TTLCache
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ropg_twisted.guard.concurrency import OVERLOADED
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import Reason

PART: Final = 4
"""The checks likely to hang may take one in this many slots."""

LIFETIME: Final = 600
"""Seconds for which a check that hung is remembered."""

MAX_USERS: Final = 10_000


@implementer(IPasswordVerifier)
class Bulkhead:
    """Limits the concurrent checks of users whose last check has hung.

    A directory that hangs holds each check of its users until the deadline. The checks of other
    users must find free slots meanwhile. ``max_checks``: all slots, of which those users together
    have a quarter. When it is full, their checks are ``overloaded`` immediately.
    """

    def __init__(self, verifier: IPasswordVerifier, max_checks: int, clock: IReactorTime) -> None:
        self._verifier = verifier
        self._free = max(1, max_checks // PART)
        self._hung: TTLCache[str, bool] = TTLCache(MAX_USERS, LIFETIME, timer=clock.seconds)

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        user = fold(login.username)
        if user not in self._hung:
            return await self._verify(user, login)
        if not self._free:
            return OVERLOADED
        self._free -= 1
        try:
            return await self._verify(user, login)
        finally:
            self._free += 1

    async def _verify(self, user: str, login: LoginAttempt) -> CheckResult:
        check = await self._verifier.verify(login)
        reason = check.outcome.reason
        timed_out = reason is Reason.UPSTREAM_TIMEOUT and check.name_sent
        if timed_out or reason is Reason.REFUSAL_TOO_SLOW:
            self._hung[user] = True
        elif reason is not Reason.OVERLOADED:
            self._hung.pop(user, None)
        return check
