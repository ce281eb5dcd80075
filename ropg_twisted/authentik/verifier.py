"""One password check at Authentik, from the typed name to the person behind it."""

from __future__ import annotations

from zope.interface import implementer

from ropg_twisted.authentik.flow import Flow
from ropg_twisted.authentik.session import SessionRemover, fetch_person
from ropg_twisted.authentik.transport import Browser, Transport
from ropg_twisted.interfaces import Check, IPasswordVerifier, Login, Person
from ropg_twisted.verdict import Outcome, Unverifiable, Verdict


@implementer(IPasswordVerifier)
class AuthentikVerifier:
    """Checks passwords by Authentik's own login flow.

    ``typed_claims``: take the typed name for the person instead of asking Authentik whose session
    it is.
    """

    def __init__(
        self, flow: Flow, transport: Transport, sessions: SessionRemover, *, typed_claims: bool
    ) -> None:
        self._flow = flow
        self._transport = transport
        self._sessions = sessions
        self._typed_claims = typed_claims

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`.

        Before the password has been sent, a blip is worth one fresh try; after it, none is.
        """
        try:
            try:
                return await self._attempt(login, self._transport.browser(login.address))
            except Unverifiable as unverifiable:
                if not unverifiable.blip:
                    raise
            return await self._attempt(login, self._transport.browser(login.address, fresh=True))
        except Unverifiable as unverifiable:
            return Check(Outcome(Verdict.UNVERIFIABLE, unverifiable.reason))

    async def _attempt(self, login: Login, browser: Browser) -> Check:
        try:
            outcome = await self._flow.walk(login, browser)
            if outcome.verdict is not Verdict.VERIFIED:
                return Check(outcome)
            if self._typed_claims:
                return Check(outcome, _typed_person(login.username))
            return Check(outcome, await fetch_person(self._flow.authentik_url, browser))
        finally:
            self._sessions.remove(browser)


def _typed_person(username: str) -> Person:
    email = username if "@" in username else ""
    return Person(sub=username, username=username, name=username, email=email)
