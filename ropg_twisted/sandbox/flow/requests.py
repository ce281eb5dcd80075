"""Requests to the executor and its responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.context import PendingUser
from ropg_twisted.sandbox.flow.sessions import Plan, Session

Challenge: TypeAlias = dict[str, Any]  # Each component has fields of its own.


@dataclass(frozen=True, slots=True)
class FlowRequest:
    """Request to the executor.

    ``address``: the client's, as Authentik understands it. ``outpost``: it comes from an outpost.
    ``language``: ``de`` or anything else. ``url``: path and query as they were sent.
    ``rewritten``: the same as Authentik writes them back.
    """

    session: Session
    address: str
    url: str
    rewritten: str
    outpost: bool = False
    language: str = ""

    @property
    def plan(self) -> Plan:
        """The plan of the session. Raises ``RuntimeError`` if it is in no flow."""
        if self.session.plan is None:
            raise RuntimeError("the session is in no flow")
        return self.session.plan

    @property
    def user(self) -> PendingUser | None:
        """The user who is logged in with the session."""
        account = self.session.account
        return None if account is None else PendingUser(account.username, account)

    @property
    def pending_user(self) -> PendingUser | None:
        """The pending user of the plan, otherwise the user who is logged in."""
        plan = self.session.plan
        return (plan and plan.context.pending_user) or self.user

    @property
    def pending_name(self) -> str:
        """The name to show as the pending user's, empty if there is none."""
        plan, user = self.session.plan, self.pending_user
        if plan is not None and plan.context.pending_user_identifier is not None:
            return plan.context.pending_user_identifier
        return "" if user is None else user.username


@dataclass(frozen=True, slots=True)
class FlowResponse:
    """The response: a challenge, or ``None`` for a 302 to the same URL.

    ``early``: it was sent before any stage ran. ``logged_in``: the user who has just logged in.
    ``known_device``: the device is to be remembered. ``disowned``: the session cookie of
    this answer says that nobody is logged in.
    """

    challenge: Challenge | None = None
    early: bool = False
    logged_in: Account | None = None
    known_device: bool = False
    disowned: bool = False
