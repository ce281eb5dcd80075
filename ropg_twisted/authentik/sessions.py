"""What is done with the session of a login that is complete: ask whose it is, and remove it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import ClassVar, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ropg_twisted.authentik.challenges import UID, read_executor_response, read_json
from ropg_twisted.authentik.client import FlowSession, in_time
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.interfaces import User
from ropg_twisted.verdict import Reason, UnverifiableError

USUAL_WORKERS: Final = 8
"""Removals at a time while few sessions wait."""

QUEUE_FACTOR: Final = 16
"""Sessions that may wait, for each check that may be at Authentik."""

LOG_SECONDS: Final = 60
"""Shortest time between two log lines about sessions that were left."""


async def fetch_user(authentik_url: str, session: FlowSession) -> User:
    """Who is logged in, by ``core/users/me/``.

    Raises :exc:`UnverifiableError` (``upstream_identity``) if Authentik does not say, or names
    another user than the session cookie: claims are never guessed.
    """
    try:
        body = read_json(await session.get(f"{authentik_url}/api/v3/core/users/me/"))
        user = _user(body["user"])
    except (UnverifiableError, LookupError, TypeError, ValueError):
        raise UnverifiableError(Reason.UPSTREAM_IDENTITY) from None
    logged_in = session.cookie.sub
    if logged_in is not None and UID.fullmatch(user.sub) and user.sub != logged_in:
        raise UnverifiableError(Reason.UPSTREAM_IDENTITY)
    return user


def _user(user: Mapping[str, object]) -> User:
    sub, username = user["uid"], user["username"]
    name, email, groups = user.get("name"), user.get("email"), user.get("groups")
    if not (isinstance(sub, str) and sub and isinstance(username, str) and username):
        raise ValueError
    if not isinstance(groups, list):
        raise ValueError
    return User(
        sub=sub,
        username=username,
        name=name if isinstance(name, str) else "",
        email=email if isinstance(email, str) else "",
        groups=tuple(group["name"] for group in groups if isinstance(group["name"], str)),
    )


class SessionRemover:
    """Removes sessions through the invalidation flow, off the way of the person who waits.

    One GET of the flow with the session's cookie deletes its row in Authentik, which would
    otherwise stay for a day. Each removal has ``deadline`` seconds. Few are under way at a time, or
    as many as wait, up to ``max_checks``; a session that finds the queue full is left.

    ``removed``: how many are gone. ``failed``: how many were left.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, flow: FlowExecutor | None, deadline: float, clock: IReactorTime, max_checks: int
    ) -> None:
        self.removed = 0
        self.failed = 0
        self._flow = flow
        self._deadline = deadline
        self._clock = clock
        self._max_checks = max_checks
        self._queue: deque[FlowSession] = deque()
        self._workers: set[Deferred[None]] = set()
        self._end = inf
        self._untold = 0
        self._next_line = -inf

    def remove(self, session: FlowSession) -> None:
        """Begin to remove the session of ``session``, if it has a complete one."""
        if self._flow is None or not session.cookie.authenticated:
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
        """Wait for the removals under way and those that wait, one deadline at most.

        What still waits then is left.
        """
        self._end = self._clock.seconds() + self._deadline
        await DeferredList(list(self._workers))
        while self._queue:
            self._queue.popleft()
            self._leave(Reason.OVERLOADED)
        self._tell(Reason.OVERLOADED)

    async def _work(self, flow: FlowExecutor) -> None:
        while self._queue and (left := self._end - self._clock.seconds()) > 0:
            await self._remove(flow, self._queue.popleft(), min(self._deadline, left))

    async def _remove(self, flow: FlowExecutor, session: FlowSession, seconds: float) -> None:
        try:
            answer = await in_time(session.get(flow.url), seconds, self._clock)
            read_executor_response(answer, flow.url)
            if session.cookie.authenticated:
                raise UnverifiableError(Reason.FLOW_ERROR)
        except UnverifiableError as unverifiable:
            self._leave(unverifiable.reason)
        else:
            self.removed += 1

    def _leave(self, reason: Reason) -> None:
        """Count a session that is left, and say so now and then, not once for each."""
        self.failed += 1
        self._untold += 1
        if self._clock.seconds() >= self._next_line:
            self._tell(reason)

    def _tell(self, reason: Reason) -> None:
        count, self._untold = self._untold, 0
        if count:
            self._next_line = self._clock.seconds() + LOG_SECONDS
            self.log.warn(
                "sessions left at Authentik: {count} ({reason})", count=count, reason=reason.value
            )
