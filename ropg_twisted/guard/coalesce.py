"""Coalescing: identical checks at the same moment share one login at Authentik."""

from __future__ import annotations

from collections.abc import Hashable

from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.singleflight import SingleFlight


@implementer(IPasswordVerifier)
class CoalescedChecks:
    """Lets a check join a running one with the same user name, password and code.

    The inner verifier runs once for all of them. It is cancelled when the last client has hung up,
    which stops it only if it has not begun at Authentik.

    Both checks must come from the same network under the same limits. Otherwise a guess could join
    another client's check and use up none of its own attempts.
    """

    def __init__(self, verifier: IPasswordVerifier) -> None:
        self._verifier = verifier
        self._checks: SingleFlight[Hashable, CheckResult] = SingleFlight()

    @property
    def joined(self) -> int:
        """The number of checks that have joined another."""
        return self._checks.joined

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`. Checks that fetch tokens never join another."""
        key: Hashable = (login.username, login.password, login.code, login.network, login.rates)
        if login.tokens is not None:
            key = object()
        return await self._checks.join(key, lambda: self._verifier.verify(login))
