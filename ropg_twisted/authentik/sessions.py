"""Removal of the sessions that complete logins leave at Authentik."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import ClassVar, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ropg_twisted.authentik.challenges import read_executor_response
from ropg_twisted.authentik.client import FlowSession, with_deadline
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.verdict import Reason, UpstreamError

USUAL_WORKERS: Final = 8
"""Concurrent removals while few sessions wait."""

QUEUE_FACTOR: Final = 16
"""Maximum length of the queue, as a multiple of the concurrent checks."""

LOG_SECONDS: Final = 60
"""Minimum time between two log lines about sessions that were left."""


class SessionRemover:
    """Removes sessions through the invalidation flow, in the background.

    One GET of the flow with the session's cookie deletes the session, which would otherwise stay
    in Authentik for a day, unless its cookie says that it ends earlier. Sessions wait in a queue;
    one that finds it full is left.

    Args:
        flow: the invalidation flow, ``None`` to remove nothing.
        deadline: seconds for one removal.
        max_checks: maximum of concurrent removals, reached while many sessions wait.
        shortest: seconds; a session that ends within them is not removed.

    Attributes:
        removed: number of sessions removed.
        failed: number of sessions left, because their removal failed or too many waited.
        left_to_expire: number of sessions not removed because they end soon.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        flow: FlowExecutor | None,
        deadline: float,
        clock: IReactorTime,
        max_checks: int,
        shortest: int = 0,
    ) -> None:
        self.removed = 0
        self.failed = 0
        self.left_to_expire = 0
        self._flow = flow
        self._deadline = deadline
        self._clock = clock
        self._max_checks = max_checks
        self._shortest = shortest
        self._queue: deque[FlowSession] = deque()
        self._workers: set[Deferred[None]] = set()
        self._end = inf
        self._unlogged = 0
        self._next_line = -inf

    @property
    def waiting(self) -> int:
        """The number of sessions in the queue."""
        return len(self._queue)

    def remove(self, session: FlowSession) -> None:
        """Start to remove ``session``, if its login is complete and it does not end soon."""
        cookie = session.cookie
        if self._flow is None or not cookie.authenticated:
            return
        if cookie.max_age is not None and cookie.max_age <= self._shortest:
            self.left_to_expire += 1
            return
        if len(self._queue) >= QUEUE_FACTOR * self._max_checks:
            self._leave(Reason.OVERLOADED)
            return
        self._queue.append(session)
        if len(self._workers) < max(USUAL_WORKERS, min(len(self._queue), self._max_checks)):
            worker = Deferred.fromCoroutine(self._work(self._flow))
            self._workers.add(worker)
            worker.addErrback(lambda failure: self.log.failure("internal_error", failure))
            worker.addBoth(lambda _: self._workers.discard(worker))

    async def finished(self) -> None:
        """Wait for all removals, at most for one deadline. Sessions that still wait are left."""
        self._end = self._clock.seconds() + self._deadline
        await DeferredList(list(self._workers))
        while self._queue:
            self._queue.popleft()
            self._leave(Reason.OVERLOADED)
        self._log_left(Reason.OVERLOADED)

    async def _work(self, flow: FlowExecutor) -> None:
        while self._queue and (left := self._end - self._clock.seconds()) > 0:
            await self._remove(flow, self._queue.popleft(), min(self._deadline, left))

    async def _remove(self, flow: FlowExecutor, session: FlowSession, seconds: float) -> None:
        try:
            response = await with_deadline(
                session.get(flow.url, RequestKind.REMOVAL), seconds, self._clock
            )
            read_executor_response(response, flow.url)
            if session.cookie.authenticated:
                raise UpstreamError(Reason.FLOW_ERROR)
        except UpstreamError as error:
            self._leave(error.reason)
        else:
            self.removed += 1

    def _leave(self, reason: Reason) -> None:
        """Count a session that is left; log it at most once in :data:`LOG_SECONDS`."""
        self.failed += 1
        self._unlogged += 1
        if self._clock.seconds() >= self._next_line:
            self._log_left(reason)

    def _log_left(self, reason: Reason) -> None:
        count, self._unlogged = self._unlogged, 0
        if count:
            self._next_line = self._clock.seconds() + LOG_SECONDS
            self.log.warn(
                "sessions left at Authentik: {count} ({reason})", count=count, reason=reason.value
            )
