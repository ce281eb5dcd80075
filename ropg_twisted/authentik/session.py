"""What is done with the session of a login that is complete: ask whose it is, and remove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ropg_twisted.authentik.flow import Flow
from ropg_twisted.authentik.transport import Browser, in_time
from ropg_twisted.authentik.wire import UID, read_answer, read_json
from ropg_twisted.interfaces import Person
from ropg_twisted.verdict import Reason, Unverifiable

REMOVALS_AT_A_TIME: Final = 8


async def fetch_person(authentik_url: str, browser: Browser) -> Person:
    """Who is logged in, by ``core/users/me/``.

    Raises :exc:`Unverifiable` (``upstream_identity``) if Authentik does not say, or names another
    person than the session cookie: claims are never guessed.
    """
    try:
        body = read_json(await browser.get(f"{authentik_url}/api/v3/core/users/me/"))
        person = _person(body["user"])
    except (Unverifiable, LookupError, TypeError, ValueError):
        raise Unverifiable(Reason.UPSTREAM_IDENTITY) from None
    logged_in = browser.session.sub
    if logged_in is not None and UID.fullmatch(person.sub) and person.sub != logged_in:
        raise Unverifiable(Reason.UPSTREAM_IDENTITY)
    return person


def _person(user: Mapping[str, object]) -> Person:
    sub, username = user["uid"], user["username"]
    name, email, groups = user.get("name"), user.get("email"), user.get("groups")
    if not (isinstance(sub, str) and sub and isinstance(username, str) and username):
        raise ValueError
    if not isinstance(groups, list):
        raise ValueError
    return Person(
        sub=sub,
        username=username,
        name=name if isinstance(name, str) else "",
        email=email if isinstance(email, str) else "",
        groups=tuple(group["name"] for group in groups if isinstance(group["name"], str)),
    )


class SessionRemover:
    """Removes sessions through the invalidation flow, off the way of the person who waits.

    One GET of the flow with the session's cookie deletes its row in Authentik, which would
    otherwise stay for a day. Each removal has ``deadline`` seconds.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, flow: Flow | None, deadline: float, clock: IReactorTime) -> None:
        self.removed = 0
        self.failed = 0
        self._flow = flow
        self._deadline = deadline
        self._clock = clock
        self._turn = DeferredSemaphore(REMOVALS_AT_A_TIME)
        self._under_way: set[Deferred[None]] = set()

    def remove(self, browser: Browser) -> None:
        """Begin to remove the session of ``browser``, if it has a complete one."""
        if self._flow is None or not browser.session.authenticated:
            return
        removal = self._turn.run(self._begin, self._flow, browser)
        self._under_way.add(removal)
        removal.addBoth(lambda _: self._under_way.discard(removal))

    async def finished(self) -> None:
        """Wait until no removal that has begun is under way any more."""
        await DeferredList(list(self._under_way))

    def _begin(self, flow: Flow, browser: Browser) -> Deferred[None]:
        return Deferred.fromCoroutine(self._remove(flow, browser))

    async def _remove(self, flow: Flow, browser: Browser) -> None:
        try:
            answer = await in_time(browser.get(flow.executor), self._deadline, self._clock)
            read_answer(answer, flow.executor)
            if browser.session.authenticated:
                raise Unverifiable(Reason.FLOW_ERROR)
        except Unverifiable as unverifiable:
            self.failed += 1
            reason = unverifiable.reason.value
            self.log.warn("a session was left at Authentik: {reason}", reason=reason)
        else:
            self.removed += 1
