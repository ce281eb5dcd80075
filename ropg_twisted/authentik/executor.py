"""Walking one flow of Authentik through its Flow Executor API."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from twisted.internet.defer import CancelledError

from ropg_twisted.authentik.challenges import read_answer
from ropg_twisted.authentik.client import Browser
from ropg_twisted.authentik.conversation import Conversation, Follow, Progress
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import Login
from ropg_twisted.verdict import Interrupted, Outcome, Reason, Unverifiable


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow of one Authentik.

    ``authentik_url``: base URL without a slash at its end. ``login_stage``: whether the flow ends
    with a user-login stage.
    """

    authentik_url: str
    slug: str
    login_stage: bool = True

    @property
    def executor(self) -> str:
        """The URL of its executor.

        The slash and the empty query are as Authentik itself writes them: another spelling makes
        it answer a POST with a redirect challenge instead of a 302.
        """
        return f"{self.authentik_url}/api/v3/flows/executor/{quote(self.slug)}/?query="

    def conversation(self, login: Login, evidence: Evidence) -> Conversation:
        """A conversation with this flow that has not begun."""
        return Conversation(
            login,
            root=f"{self.authentik_url}/",
            evidence=evidence,
            login_stage=self.login_stage,
        )

    async def walk(self, conversation: Conversation, browser: Browser) -> Outcome:
        """Log in with a browser that has been nowhere yet.

        Raises :exc:`Unverifiable` if an answer stays out or cannot be understood, and
        :exc:`Interrupted` for a blip before the password was sent. Cancelled at its deadline, it
        raises the former (``upstream_timeout``).
        """
        try:
            response = await browser.get(self.executor)
            while True:
                heard = read_answer(response, self.executor)
                step = conversation.hear(heard, browser.session)
                if isinstance(step, Outcome):
                    return step
                if isinstance(step, Follow):
                    response = await browser.get(self.executor)
                else:
                    response = await browser.post(self.executor, step.body)
        except CancelledError:
            timeout = Reason.UPSTREAM_TIMEOUT
            raise Unverifiable(timeout, name_sent=conversation.name_sent) from None
        except Unverifiable as fault:
            kind = Interrupted if fault.blip and not conversation.password_sent else Unverifiable
            raise kind(fault.reason, blip=fault.blip, name_sent=conversation.name_sent) from None

    async def probe_refusal(self, login: Login, browser: Browser) -> Evidence:
        """How the flow refuses ``login``, whose password is certainly wrong.

        Nothing that comes behind the answer to the password is asked for. Raises
        :exc:`Unverifiable` as :meth:`walk` does, and for a flow that asks for no name.
        """
        conversation = self.conversation(login, Evidence.RESTARTS)
        outcome = await self.walk(conversation, browser)
        if conversation.progress is Progress.OPENED:
            raise Unverifiable(outcome.reason)
        match conversation.refused_in_place:
            case True:
                return Evidence.IN_PLACE
            case False:
                return Evidence.RESTARTS
            case None:
                return Evidence.UNKNOWN

    async def obstacle(self, browser: Browser) -> Reason | None:
        """Why no login could begin now, or ``None``: one GET, and nothing is sent."""
        conversation = self.conversation(Login("", ""), Evidence.UNKNOWN)
        try:
            heard = read_answer(await browser.get(self.executor), self.executor)
        except Unverifiable as unverifiable:
            return unverifiable.reason
        step = conversation.hear(heard, browser.session)
        return step.reason if isinstance(step, Outcome) else None
