"""Identical checks at the same moment share one walk through the flow."""

from __future__ import annotations

from collections.abc import Hashable

from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.singleflight import SingleFlight


@implementer(IPasswordVerifier)
class CoalescedChecks:
    """Lets a check join one that is under way for the same name, password and code.

    Whatever stands inside happens once for each walk, and is not cut short by a client that hangs
    up: the walk is cancelled when nobody waits for it any more, and ends only if it had not begun.
    Both checks must be under the same limits: joining a check from elsewhere would be a guess that
    uses up nobody's attempts.
    """

    def __init__(self, verifier: IPasswordVerifier) -> None:
        self._verifier = verifier
        self._checks: SingleFlight[Hashable, CheckResult] = SingleFlight()

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`. Tokens that are fetched are for one client alone."""
        same: Hashable = (login.username, login.password, login.code, login.network, login.rates)
        key = same if login.tokens is None else object()
        return await self._checks.join(key, lambda: self._verifier.verify(login))
