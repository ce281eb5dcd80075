"""Concurrency limit: bounds concurrent checks at Authentik and the duration of each."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.semaphore import Semaphore
from ropg_twisted.verdict import Outcome, Reason, Verdict

QUEUE_FACTOR: Final = 4
"""Maximum length of the queue, as a multiple of the concurrent checks."""

MAX_WAIT: Final = 0.5
"""Part of the deadline that a check may wait. The rest is for Authentik."""

OVERLOADED: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.OVERLOADED))


@implementer(IPasswordVerifier)
class ConcurrencyLimit:
    """Lets at most ``max_checks`` checks run at a time. More wait in a bounded queue, in order.

    A check that finds the queue full, or waits in it for too long, is ``overloaded``. Authentik was
    not asked.

    Args:
        max_checks: the number of slots.
        deadline: seconds for one check, including its wait.
    """

    def __init__(
        self, verifier: IPasswordVerifier, max_checks: int, deadline: float, clock: IReactorTime
    ) -> None:
        self.max_checks = max_checks
        self._verifier = verifier
        self._deadline = deadline
        self._clock = clock
        self._slots = Semaphore(max_checks)
        self._max_queue = QUEUE_FACTOR * max_checks
        self._begun: set[Deferred[CheckResult]] = set()

    @property
    def running(self) -> int:
        """The number of checks that have a slot."""
        return self._slots.taken

    @property
    def waiting(self) -> int:
        """The number of checks in the queue."""
        return self._slots.waiting

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`.

        A check that is cancelled while it waits leaves the queue. One that has begun runs to its
        end: only its result tells what to count, and which session to remove.
        """
        started = self._clock.seconds()
        if not self._slots.try_acquire() and not await self._wait():
            return OVERLOADED
        waited = self._clock.seconds() - started
        left = self._deadline - waited
        check = Deferred.fromCoroutine(self._verifier.verify(login)).addTimeout(left, self._clock)
        self._begun.add(check)
        check.addBoth(self._end, check)
        result = await _shielded(check)
        if result.trace is not None:
            result.trace.queue_seconds = waited
        return result

    async def finished(self) -> None:
        """Wait for the checks that have begun, also those whose client has hung up."""
        await DeferredList(list(self._begun))

    async def _wait(self) -> bool:
        """Wait in the queue, unless it is full. Return whether a slot came free in time."""
        if self._slots.waiting >= self._max_queue:
            return False
        expires = self._clock.seconds() + MAX_WAIT * self._deadline
        try:
            await self._slots.acquire().addTimeout(MAX_WAIT * self._deadline, self._clock)
        except TimeoutError:
            return False
        if self._clock.seconds() >= expires:
            # The reactor was too busy for the timeout to fire first.
            self._slots.release()
            return False
        return True

    def _end(
        self, result: CheckResult | Failure, check: Deferred[CheckResult]
    ) -> CheckResult | Failure:
        self._begun.discard(check)
        self._slots.release()
        return result


async def _shielded(check: Deferred[CheckResult]) -> CheckResult:
    """Return the result of ``check``, and ignore cancellations until then."""
    results: list[CheckResult | Failure] = []
    check.addBoth(results.append)
    while not results:
        end: Deferred[None] = Deferred()
        check.addBoth(end.callback)
        with suppress(CancelledError):
            await end
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
