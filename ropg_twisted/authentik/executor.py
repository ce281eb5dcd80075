"""Client of Authentik's Flow Executor API: logs in through one flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from urllib.parse import quote

from twisted.internet.defer import CancelledError

from ropg_twisted.authentik.challenges import Redirect, read_executor_response
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.authentik.components import reason_not_to_start
from ropg_twisted.authentik.conversation import Conversation, FollowRedirect, Progress
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt, RequestKind
from ropg_twisted.verdict import Outcome, Reason, RetryableError, UpstreamError


@dataclass(frozen=True)
class FlowExecutor:
    """Logs in through one flow.

    Attributes:
        authentik_url: base URL without a trailing slash.
        slug: names the flow in Authentik.
        login_stage: whether the flow has a user-login stage.
        slow_refusal: seconds after which a refusal of a password is not believed.
    """

    authentik_url: str
    slug: str
    login_stage: bool = True
    slow_refusal: float = inf

    @cached_property
    def url(self) -> str:
        """The URL of the flow's executor.

        The slash and the empty query are Authentik's own spelling. With another one it responds to
        a POST with a redirect challenge instead of a 302.
        """
        return f"{self.authentik_url}/api/v3/flows/executor/{quote(self.slug)}/?query="

    def conversation(self, login: LoginAttempt, evidence: Evidence) -> Conversation:
        """Return a new conversation with this flow."""
        return Conversation(
            login,
            root=f"{self.authentik_url}/",
            evidence=evidence,
            login_stage=self.login_stage,
            slow_refusal=self.slow_refusal,
        )

    async def log_in(self, conversation: Conversation, session: FlowSession) -> Outcome:
        """Log in with a new session.

        Raises :exc:`UpstreamError` if a response is missing or not understood, also when cancelled
        at the deadline (``upstream_timeout``). Raises :exc:`RetryableError` for a transient error
        before the password was sent.
        """
        try:
            response = await session.get(self.url, RequestKind.FLOW)
            while True:
                received = read_executor_response(response, self.url)
                step = conversation.receive(received, session.cookie, response.seconds)
                if isinstance(step, Outcome):
                    return step
                if isinstance(step, FollowRedirect):
                    response = await session.get(self.url, RequestKind.FLOW)
                else:
                    sends_password = conversation.progress is Progress.SENT
                    kind = RequestKind.PASSWORD if sends_password else RequestKind.FLOW
                    response = await session.post(self.url, kind, step.body)
        except CancelledError:
            timeout = Reason.UPSTREAM_TIMEOUT
            raise UpstreamError(timeout, name_sent=conversation.name_sent) from None
        except UpstreamError as error:
            is_retryable = error.transient and not conversation.password_sent
            error_type = RetryableError if is_retryable else UpstreamError
            raise error_type(
                error.reason, transient=error.transient, name_sent=conversation.name_sent
            ) from None

    async def probe_refusal(self, login: LoginAttempt, session: FlowSession) -> Evidence:
        """Find out how the flow refuses ``login``, whose password is certainly wrong.

        Stops at the response to the password. Raises :exc:`UpstreamError` as :meth:`log_in` does,
        and if the flow does not ask for a user name.
        """
        conversation = self.conversation(login, Evidence.RESTARTS)
        outcome = await self.log_in(conversation, session)
        if conversation.progress is Progress.OPENED:
            raise UpstreamError(outcome.reason)
        match conversation.refused_in_place:
            case True:
                return Evidence.IN_PLACE
            case False:
                return Evidence.RESTARTS
            case None:
                return Evidence.UNKNOWN

    async def probe(self, session: FlowSession) -> Reason | None:
        """Return why no login can start now, or ``None``. Makes one GET, and sends no name."""
        try:
            received = read_executor_response(
                await session.get(self.url, RequestKind.PROBE), self.url
            )
        except UpstreamError as error:
            return error.reason
        return None if isinstance(received, Redirect) else reason_not_to_start(received)
