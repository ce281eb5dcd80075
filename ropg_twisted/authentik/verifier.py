"""One password check at Authentik, from the typed name to the person behind it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import Browser, Transport
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.executor import Flow
from ropg_twisted.authentik.id_tokens import TokenReader
from ropg_twisted.authentik.sessions import SessionRemover, fetch_person
from ropg_twisted.interfaces import Check, IPasswordVerifier, Login, Person
from ropg_twisted.verdict import Interrupted, Outcome, Reason, Unverifiable, Verdict

_CANARY_OUTCOMES: Final = {
    Evidence.IN_PLACE: Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS),
    Evidence.RESTARTS: Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_RESTARTS),
    Evidence.UNKNOWN: Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_UNPROVEN),
}


@implementer(IPasswordVerifier)
class AuthentikVerifier:
    """Checks passwords by Authentik's own login flow.

    ``evidence``: of how the flow refuses. A canary brings it, each refusal confirms it, and before
    there is any, no answer of the flow is believed. ``application``: whose tokens a login may ask
    for. ``checks_access``: whether its policies are asked as well. ``typed_claims``: take the typed
    name for the person instead of asking Authentik whose session it is.
    """

    def __init__(
        self,
        flow: Flow,
        evidence: FlowEvidence,
        transport: Transport,
        sessions: SessionRemover,
        application: Application,
        tokens: TokenReader,
        *,
        checks_access: bool,
        typed_claims: bool,
    ) -> None:
        self._application = application
        self._tokens = tokens
        self._checks_access = checks_access
        self._evidence = evidence
        self._flow = flow
        self._transport = transport
        self._sessions = sessions
        self._typed_claims = typed_claims

    async def verify(self, login: Login) -> Check:
        """See :class:`IPasswordVerifier`.

        Before the password has been sent, a blip is worth one fresh try; after it, none is. Only
        the deadline cancels a check here. A canary is told to Authentik with our own address.
        """
        address = self._transport.own_address() if login.canary else login.address
        attempt = self._gather_evidence if login.canary else self._attempt
        try:
            with suppress(Interrupted):
                return await attempt(login, self._transport.browser(address))
            return await attempt(login, self._transport.browser(address, fresh=True))
        except Unverifiable as unverifiable:
            return _unverifiable(unverifiable)
        except CancelledError:
            return _unverifiable(Unverifiable(Reason.UPSTREAM_TIMEOUT))

    async def _gather_evidence(self, canary: Login, browser: Browser) -> Check:
        evidence = await self._flow.probe_refusal(canary, browser)
        self._evidence.gather(evidence)
        return Check(_CANARY_OUTCOMES[evidence])

    async def _walk(self, login: Login, browser: Browser) -> Outcome:
        conversation = self._flow.conversation(login, self._evidence.current or Evidence.RESTARTS)
        try:
            return await self._flow.walk(conversation, browser)
        finally:
            if conversation.refused_in_place:
                self._evidence.confirm()
            elif conversation.restarted:
                self._evidence.contradict()

    async def _attempt(self, login: Login, browser: Browser) -> Check:
        removes_session = True
        try:
            outcome = await self._walk(login, browser)
            if outcome.verdict is not Verdict.VERIFIED:
                return Check(outcome)
            if self._checks_access and not await self._application.admits(browser):
                return Check(Outcome(Verdict.DENIED, Reason.POLICY))
            person = await self._person(login, browser)
            if login.tokens is None:
                return Check(outcome, person)
            granted = await self._application.fetch_tokens(login.tokens, browser)
            tokens = await self._tokens.read(granted, login.tokens.client_id)
            # Authentik's access tokens die with the session that they came from.
            removes_session = False
            return Check(outcome, person, tokens)
        finally:
            if removes_session:
                self._sessions.remove(browser)

    async def _person(self, login: Login, browser: Browser) -> Person:
        if self._typed_claims:
            return Person.typed(login.username)
        return await fetch_person(self._flow.authentik_url, browser)


def _unverifiable(fault: Unverifiable) -> Check:
    return Check(
        Outcome(Verdict.UNVERIFIABLE, fault.reason),
        authentik_down=fault.authentik_down,
        name_sent=fault.name_sent,
    )
