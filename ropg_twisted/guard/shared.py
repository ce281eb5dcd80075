"""Identical checks at the same moment share one walk through the flow."""

from __future__ import annotations

from zope.interface import implementer

from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.sharing import Shared


@implementer(IPasswordVerifier)
class SharedChecks:
    """Lets a check join one that is under way for the same name and password."""

    def __init__(self, verifier: IPasswordVerifier) -> None:
        self._verifier = verifier
        self._checks: Shared[tuple[str, str], Check] = Shared()

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        same = (login.username, login.password)
        return await self._checks.join(same, lambda: self._verifier.verify(login))
