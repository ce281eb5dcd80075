"""Identical checks at the same moment share one walk through the flow."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.interfaces import Check, IPasswordVerifier, Login


@implementer(IPasswordVerifier)
class SharedChecks:
    """Lets a check join one that is under way for the same name and password."""

    def __init__(self, verifier: IPasswordVerifier) -> None:
        self._verifier = verifier
        self._walks: dict[tuple[str, str], _Walk] = {}

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`."""
        key = (login.username, login.password)
        if key in self._walks:
            return await self._walks[key].join()
        walk = self._walks[key] = _Walk(lambda: self._walks.pop(key))
        waiter = walk.join()
        walk.begin(Deferred.fromCoroutine(self._verifier.verify(login)))
        return await waiter


class _Walk:
    """One walk and all who wait for it; ``over`` is called at its end.

    It is given up when the last who waits for it has given up.
    """

    def __init__(self, over: Callable[[], object]) -> None:
        self._over = over
        self._waiting: list[Deferred[Check]] = []

    def join(self) -> Deferred[Check]:
        """What the walk comes to."""
        waiter: Deferred[Check] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def begin(self, check: Deferred[Check]) -> None:
        """Walk, and tell everybody."""
        self._check = check.addBoth(self._tell)

    def _tell(self, result: Check | Failure) -> None:
        self._over()
        for waiter in self._waiting:
            waiter.callback(result)

    def _leave(self, waiter: Deferred[Check]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting:
            self._check.cancel()
