"""One password check at Authentik, from the typed name to the person behind it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import AuthentikClient, FlowSession
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.sessions import SessionRemover, fetch_user
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt, User
from ropg_twisted.verdict import Outcome, Reason, RetryableError, UnverifiableError, Verdict

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
    for. ``checks_access``: whether its policies are asked as well. ``claims_from_username``: make
    the claims from the typed name instead of asking Authentik whose session it is.
    """

    def __init__(
        self,
        flow: FlowExecutor,
        evidence: FlowEvidence,
        client: AuthentikClient,
        sessions: SessionRemover,
        application: Application,
        tokens: IDTokenVerifier,
        *,
        checks_access: bool,
        claims_from_username: bool,
    ) -> None:
        self._application = application
        self._tokens = tokens
        self._checks_access = checks_access
        self._evidence = evidence
        self._flow = flow
        self._client = client
        self._sessions = sessions
        self._typed_claims = claims_from_username

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`.

        Before the password has been sent, a blip is worth one fresh try; after it, none is. Only
        the deadline cancels a check here. A canary is told to Authentik with our own address.
        """
        address = self._client.own_address() if login.canary else login.address
        attempt = self._gather_evidence if login.canary else self._attempt
        try:
            with suppress(RetryableError):
                return await attempt(login, self._client.session(address))
            return await attempt(login, self._client.session(address, fresh=True))
        except UnverifiableError as unverifiable:
            return _unverifiable(unverifiable)
        except CancelledError:
            return _unverifiable(UnverifiableError(Reason.UPSTREAM_TIMEOUT))

    async def _gather_evidence(self, canary: LoginAttempt, session: FlowSession) -> CheckResult:
        evidence = await self._flow.probe_refusal(canary, session)
        self._evidence.gather(evidence)
        return CheckResult(_CANARY_OUTCOMES[evidence])

    async def _log_in(self, login: LoginAttempt, session: FlowSession) -> Outcome:
        conversation = self._flow.conversation(login, self._evidence.current or Evidence.RESTARTS)
        try:
            return await self._flow.log_in(conversation, session)
        finally:
            if conversation.refused_in_place:
                self._evidence.confirm()
            elif conversation.restarted:
                self._evidence.contradict()

    async def _attempt(self, login: LoginAttempt, session: FlowSession) -> CheckResult:
        removes_session = True
        try:
            outcome = await self._log_in(login, session)
            if outcome.verdict is not Verdict.VERIFIED:
                return CheckResult(outcome)
            if self._checks_access and not await self._application.admits(session):
                return CheckResult(Outcome(Verdict.DENIED, Reason.POLICY))
            user = await self._user(login, session)
            if login.tokens is None:
                return CheckResult(outcome, user)
            granted = await self._application.fetch_tokens(login.tokens, session)
            tokens = await self._tokens.read(granted, login.tokens.client_id)
            # Authentik's access tokens die with the session that they came from.
            removes_session = False
            return CheckResult(outcome, user, tokens)
        finally:
            if removes_session:
                self._sessions.remove(session)

    async def _user(self, login: LoginAttempt, session: FlowSession) -> User:
        if self._typed_claims:
            return User.from_username(login.username)
        return await fetch_user(self._flow.authentik_url, session)


def _unverifiable(fault: UnverifiableError) -> CheckResult:
    return CheckResult(
        Outcome(Verdict.UNVERIFIABLE, fault.reason),
        authentik_down=fault.authentik_down,
        name_sent=fault.name_sent,
    )
