"""The context of a plan: values that stages store and policies read."""

from __future__ import annotations

from dataclasses import dataclass, field

from ropg_twisted.sandbox.accounts import Account


@dataclass(frozen=True, slots=True)
class PendingUser:
    """The user of a plan or a session.

    ``account``: None for an unknown name that is pretended to exist. ``has_backend``: a backend
    has accepted a password since the user was identified.
    """

    username: str
    account: Account | None
    has_backend: bool = False


@dataclass(slots=True)
class Context:
    """The context of one plan. A restart begins with an empty one, or keeps it.

    ``pending_user``: None before the identification. ``pending_user_identifier``: the typed name,
    where the matched user must not be shown. ``methods``: how the user has been authenticated
    so far, as in ``amr``. ``has_prompt_data``: a prompt was answered. ``redirect``: where the end
    of the flow leads, if not to the root.
    """

    pending_user: PendingUser | None = None
    pending_user_identifier: str | None = None
    methods: list[str] = field(default_factory=list)
    has_prompt_data: bool = False
    redirect: str | None = None
