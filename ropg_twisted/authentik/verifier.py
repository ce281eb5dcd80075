"""Password verifier: one login at Authentik, from the user name to the user and the tokens."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure
from zope.interface import implementer

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import AuthentikClient, FlowSession
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.users import fetch_user
from ropg_twisted.interfaces import CheckResult, CheckTrace, IPasswordVerifier, LoginAttempt, User
from ropg_twisted.verdict import Outcome, Reason, RetryableError, UpstreamError, Verdict

_CANARY_OUTCOMES: Final = {
    Evidence.IN_PLACE: Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS),
    Evidence.RESTARTS: Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_RESTARTS),
    Evidence.UNKNOWN: Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_UNPROVEN),
}


@implementer(IPasswordVerifier)
class AuthentikVerifier:
    """Checks passwords through Authentik's own login flow.

    Args:
        evidence: of how the flow refuses a password. A canary gathers it, each refusal confirms it.
            Without any, no verdict is given.
        application: its tokens are fetched if a login attempt asks for them.
        checks_access: whether the policies of the application apply.
        claims_from_username: take the user from the typed name instead of from Authentik.
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
        self._claims_from_username = claims_from_username

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`.

        A transient error before the password was sent is retried once, on a new connection. Only
        the deadline cancels a check here. A canary has our own address as that of its client.
        """
        trace = CheckTrace(context=login.trace_context)
        return replace(await self._verify(login, trace), trace=trace)

    async def _verify(self, login: LoginAttempt, trace: CheckTrace) -> CheckResult:
        address = self._client.own_address() if login.canary else login.address
        session = partial(self._client.session, address, trace=trace)
        attempt = self._gather_evidence if login.canary else self._attempt
        try:
            try:
                return await attempt(login, session(), trace)
            except RetryableError:
                return await attempt(login, session(fresh=True), trace)
        except UpstreamError as error:
            return _unverifiable(error)
        except CancelledError:
            return _unverifiable(UpstreamError(Reason.UPSTREAM_TIMEOUT))

    async def _gather_evidence(
        self, canary: LoginAttempt, session: FlowSession, trace: CheckTrace
    ) -> CheckResult:
        evidence = await self._flow.probe_refusal(canary, session)
        self._evidence.gather(evidence)
        return CheckResult(_CANARY_OUTCOMES[evidence])

    async def _log_in(
        self, login: LoginAttempt, session: FlowSession, trace: CheckTrace
    ) -> Outcome:
        conversation = self._flow.conversation(login, self._evidence.current or Evidence.RESTARTS)
        try:
            return await self._flow.log_in(conversation, session)
        finally:
            trace.stages += conversation.stages
            if conversation.refused_in_place:
                self._evidence.confirm()
            elif conversation.restarted:
                self._evidence.contradict()

    async def _attempt(
        self, login: LoginAttempt, session: FlowSession, trace: CheckTrace
    ) -> CheckResult:
        removes_session = True
        try:
            outcome = await self._log_in(login, session, trace)
            if outcome.verdict is not Verdict.VERIFIED:
                return CheckResult(outcome)
            user = await self._authorized_user(login, session)
            if user is None:
                return CheckResult(Outcome(Verdict.DENIED, Reason.POLICY))
            if login.tokens is None:
                return CheckResult(outcome, user)
            granted = await self._application.fetch_tokens(login.tokens, session)
            tokens = await self._tokens.read(granted, login.tokens.client_id)
            # Authentik's access tokens expire with the session that they came from.
            removes_session = False
            return CheckResult(outcome, user, tokens)
        finally:
            if removes_session:
                self._sessions.remove(session)

    async def _authorized_user(self, login: LoginAttempt, session: FlowSession) -> User | None:
        """Return the user, ``None`` if the policies of the application deny access.

        Authentik is asked for both at the same time.
        """
        if not self._checks_access:
            return await self._user(login, session)
        requests = (self._application.check_access(session), self._user(login, session))
        (_, allowed), (_, user) = await DeferredList(
            map(Deferred.fromCoroutine, requests), consumeErrors=True
        )
        if isinstance(allowed, Failure):
            allowed.raiseException()
        if not allowed:
            return None
        if isinstance(user, Failure):
            user.raiseException()
        assert isinstance(user, User)
        return user

    async def _user(self, login: LoginAttempt, session: FlowSession) -> User:
        if self._claims_from_username:
            return User.from_username(login.username)
        return await fetch_user(self._flow.authentik_url, session)


def _unverifiable(error: UpstreamError) -> CheckResult:
    return CheckResult(
        Outcome(Verdict.UNVERIFIABLE, error.reason),
        authentik_down=error.authentik_down,
        name_sent=error.name_sent,
    )
