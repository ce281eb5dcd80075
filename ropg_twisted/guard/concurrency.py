"""A limit on concurrent checks at Authentik and on the duration of each."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict

QUEUE_FACTOR: Final = 4
"""Checks that may wait, for each that may be at Authentik."""

MAX_WAIT: Final = 0.5
"""Share of the deadline that a check may wait. The rest is left for Authentik."""

_OVERLOADED: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED))


@implementer(IPasswordVerifier)
class ConcurrencyLimit:
    """Lets ``max_checks`` checks be at Authentik at a time; more wait in order, in a bounded queue.

    ``deadline``: seconds for one whole check, its wait included. A check that is refused for want
    of room is ``overloaded``, and Authentik was not asked.
    """

    def __init__(
        self, verifier: IPasswordVerifier, max_checks: int, deadline: float, clock: IReactorTime
    ) -> None:
        self._verifier = verifier
        self._deadline = deadline
        self._clock = clock
        self._free = max_checks
        self._max_queue = QUEUE_FACTOR * max_checks
        self._queue: deque[Deferred[None]] = deque()
        self._admitting = False

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`.

        A check that is cancelled while it waits leaves the queue. One that has begun comes to its
        end all the same: only its end knows what counts, and which session has to be removed.
        """
        arrived = self._clock.seconds()
        if self._free and not self._queue:
            self._free -= 1
        elif len(self._queue) >= self._max_queue or not await self._wait():
            return _OVERLOADED
        left = self._deadline - (self._clock.seconds() - arrived)
        walk = Deferred.fromCoroutine(self._verifier.verify(login)).addTimeout(left, self._clock)
        walk.addBoth(self._release)
        return await _shielded(walk)

    async def _wait(self) -> bool:
        """Wait for a place in the queue's order, and say whether one came in time."""
        expires = self._clock.seconds() + MAX_WAIT * self._deadline
        place: Deferred[None] = Deferred(self._queue.remove)
        self._queue.append(place)
        try:
            await place.addTimeout(MAX_WAIT * self._deadline, self._clock)
        except TimeoutError:
            return False
        if self._clock.seconds() >= expires:
            # The reactor was too busy to say so in time.
            self._release(None)
            return False
        return True

    def _release(self, result: CheckResult | Failure | None) -> CheckResult | Failure | None:
        """Free a place, and hand out all that are free.

        A check may end at once and free its place in here: the loop goes on with it, so that a
        long queue is no deep recursion.
        """
        self._free += 1
        if not self._admitting:
            self._admitting = True
            while self._free and self._queue:
                self._free -= 1
                self._queue.popleft().callback(None)
            self._admitting = False
        return result


async def _shielded(walk: Deferred[CheckResult]) -> CheckResult:
    """The result of ``walk``, whatever is cancelled meanwhile."""
    results: list[CheckResult | Failure] = []
    walk.addBoth(results.append)
    while not results:
        end: Deferred[None] = Deferred()
        walk.addBoth(end.callback)
        with suppress(CancelledError):
            await end
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
