"""Walking one flow of Authentik through its Flow Executor API."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from twisted.internet.defer import CancelledError

from ropg_twisted.authentik.challenges import read_executor_response
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.authentik.conversation import Conversation, FollowRedirect, Progress
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, RetryableError, UnverifiableError


@dataclass(frozen=True, slots=True)
class FlowExecutor:
    """One flow of one Authentik.

    ``authentik_url``: base URL without a slash at its end. ``login_stage``: whether the flow ends
    with a user-login stage.
    """

    authentik_url: str
    slug: str
    login_stage: bool = True

    @property
    def url(self) -> str:
        """The URL of its executor.

        The slash and the empty query are as Authentik itself writes them: another spelling makes
        it answer a POST with a redirect challenge instead of a 302.
        """
        return f"{self.authentik_url}/api/v3/flows/executor/{quote(self.slug)}/?query="

    def conversation(self, login: LoginAttempt, evidence: Evidence) -> Conversation:
        """A conversation with this flow that has not begun."""
        return Conversation(
            login,
            root=f"{self.authentik_url}/",
            evidence=evidence,
            login_stage=self.login_stage,
        )

    async def log_in(self, conversation: Conversation, session: FlowSession) -> Outcome:
        """Log in with a browser that has been nowhere yet.

        Raises :exc:`UnverifiableError` if an answer stays out or cannot be understood, and
        :exc:`RetryableError` for a blip before the password was sent. Cancelled at its deadline, it
        raises the former (``upstream_timeout``).
        """
        try:
            response = await session.get(self.url)
            while True:
                heard = read_executor_response(response, self.url)
                step = conversation.receive(heard, session.cookie)
                if isinstance(step, Outcome):
                    return step
                if isinstance(step, FollowRedirect):
                    response = await session.get(self.url)
                else:
                    response = await session.post(self.url, step.body)
        except CancelledError:
            timeout = Reason.UPSTREAM_TIMEOUT
            raise UnverifiableError(timeout, name_sent=conversation.name_sent) from None
        except UnverifiableError as fault:
            kind = (
                RetryableError
                if fault.transient and not conversation.password_sent
                else UnverifiableError
            )
            raise kind(
                fault.reason, transient=fault.transient, name_sent=conversation.name_sent
            ) from None

    async def probe_refusal(self, login: LoginAttempt, session: FlowSession) -> Evidence:
        """How the flow refuses ``login``, whose password is certainly wrong.

        Nothing that comes behind the answer to the password is asked for. Raises
        :exc:`UnverifiableError` as :meth:`walk` does, and for a flow that asks for no name.
        """
        conversation = self.conversation(login, Evidence.RESTARTS)
        outcome = await self.log_in(conversation, session)
        if conversation.progress is Progress.OPENED:
            raise UnverifiableError(outcome.reason)
        match conversation.refused_in_place:
            case True:
                return Evidence.IN_PLACE
            case False:
                return Evidence.RESTARTS
            case None:
                return Evidence.UNKNOWN

    async def probe(self, session: FlowSession) -> Reason | None:
        """Why no login could begin now, or ``None``: one GET, and nothing is sent."""
        conversation = self.conversation(LoginAttempt("", ""), Evidence.UNKNOWN)
        try:
            heard = read_executor_response(await session.get(self.url), self.url)
        except UnverifiableError as unverifiable:
            return unverifiable.reason
        step = conversation.receive(heard, session.cookie)
        return step.reason if isinstance(step, Outcome) else None
