"""Room at Authentik for so many checks at a time, and so long a time for each."""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.interfaces import Check, IPasswordVerifier, Login
from ropg_twisted.verdict import Outcome, Reason, Verdict


@implementer(IPasswordVerifier)
class Room:
    """Lets ``places`` checks go on at a time; the others wait in order.

    ``deadline``: seconds for one whole check, the wait for a place with it.
    """

    def __init__(
        self, verifier: IPasswordVerifier, places: int, deadline: float, clock: IReactorTime
    ) -> None:
        self._verifier = verifier
        self._places = DeferredSemaphore(places)
        self._deadline = deadline
        self._clock = clock

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`. Who gives up while waiting gives the place back.

        Who gives up later leaves the check to its end: it may complete a login all the same, and
        only its end knows the session that has to be removed.
        """
        end = self._clock.seconds() + self._deadline
        try:
            await self._places.acquire().addTimeout(self._deadline, self._clock)
        except TimeoutError:
            return _late(Reason.OVERLOADED)
        left = end - self._clock.seconds()
        if left <= 0:
            self._places.release()
            return _late(Reason.OVERLOADED)
        check = Deferred.fromCoroutine(self._verifier.verify(login)).addTimeout(left, self._clock)
        ended: Deferred[Check] = Deferred()
        check.addBoth(self._leave, ended)
        try:
            return await ended
        except TimeoutError:
            return _late(Reason.UPSTREAM_TIMEOUT)

    def _leave(self, result: Check | Failure, ended: Deferred[Check]) -> None:
        self._places.release()
        ended.callback(result)


def _late(reason: Reason) -> Check:
    return Check(Outcome(Verdict.UNVERIFIABLE, reason))
