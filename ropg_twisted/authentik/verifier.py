"""One password check at Authentik, from the typed name to the person behind it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ropg_twisted.authentik.flow import Flow
from ropg_twisted.authentik.session import SessionRemover, fetch_person
from ropg_twisted.authentik.transport import Browser, Transport
from ropg_twisted.interfaces import Check, Credentials, IPasswordVerifier, Person
from ropg_twisted.verdict import Outcome, Reason, Unverifiable, Verdict


@implementer(IPasswordVerifier)
class AuthentikVerifier:
    """Checks passwords by Authentik's own login flow.

    ``typed_claims``: take the typed name for the person instead of asking Authentik whose session
    it is. ``deadline``: seconds for one whole check.
    """

    def __init__(
        self,
        flow: Flow,
        transport: Transport,
        sessions: SessionRemover,
        clock: IReactorTime,
        *,
        typed_claims: bool,
        deadline: float,
    ) -> None:
        self._flow = flow
        self._transport = transport
        self._sessions = sessions
        self._clock = clock
        self._typed_claims = typed_claims
        self._deadline = deadline
        self._lookout = transport.browser()

    async def verify(self, credentials: Credentials) -> Check:
        """See :class:`IPasswordVerifier`."""
        check = Deferred.fromCoroutine(self._verify(credentials))
        try:
            return await check.addTimeout(self._deadline, self._clock)
        except Unverifiable as unverifiable:
            reason = unverifiable.reason
        except TimeoutError:
            reason = Reason.UPSTREAM_TIMEOUT
        return Check(Outcome(Verdict.UNVERIFIABLE, reason))

    async def _verify(self, credentials: Credentials) -> Check:
        """Before the password has been sent, a blip is worth one fresh try; after it, none is."""
        try:
            return await self._attempt(credentials, self._transport.browser())
        except Unverifiable as unverifiable:
            if not unverifiable.blip:
                raise
        return await self._attempt(credentials, self._transport.browser(fresh=True))

    async def _attempt(self, credentials: Credentials, browser: Browser) -> Check:
        try:
            outcome = await self._flow.walk(credentials, browser)
            if outcome.verdict is not Verdict.VERIFIED:
                return Check(outcome)
            if self._typed_claims:
                return Check(outcome, _typed_person(credentials.username))
            return Check(outcome, await fetch_person(self._flow.authentik_url, browser))
        finally:
            self._sessions.remove(browser)

    async def readiness(self) -> Reason | None:
        """See :class:`IPasswordVerifier`.

        One browser, which never logs in, serves all these looks: each new one would leave a
        session of a day in Authentik.
        """
        look = Deferred.fromCoroutine(self._flow.obstacle(self._lookout))
        try:
            return await look.addTimeout(self._deadline, self._clock)
        except TimeoutError:
            return Reason.UPSTREAM_TIMEOUT


def _typed_person(username: str) -> Person:
    email = username if "@" in username else ""
    return Person(sub=username, username=username, name=username, email=email)
