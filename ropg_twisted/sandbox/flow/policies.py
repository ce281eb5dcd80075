"""Policies as data: conditions that are bound to a flow, or to a stage of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ropg_twisted.sandbox.flow.context import Context, PendingUser


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The request that a policy decides on.

    ``user``: the pending one, else who is logged in, else None. ``reputation``: scores by
    user name and address.
    """

    user: PendingUser | None
    address: str
    context: Context
    reputation: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class ReputationPolicy:
    """Passes if the score of the address, the user, or both, is at most ``threshold``."""

    threshold: int
    check_ip: bool = False
    check_username: bool = False

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether the score is at most the threshold."""
        username = "" if request.user is None else request.user.username
        score = sum(
            score
            for (name, address), score in request.reputation.items()
            if (self.check_ip and address == request.address)
            or (self.check_username and name == username)
        )
        return score <= self.threshold

    def __str__(self) -> str:
        whose = ["address"] * self.check_ip + ["user"] * self.check_username
        return f"reputation of the {' and the '.join(whose)} below {self.threshold + 1}"


@dataclass(frozen=True, slots=True)
class UserIsPending:
    """Passes once the plan has a pending user, known or pretended."""

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether there is a pending user. A logged-in user does not count."""
        return request.context.pending_user is not None

    def __str__(self) -> str:
        return "a user is pending in the plan"


@dataclass(frozen=True, slots=True)
class HasNoBackend:
    """Passes unless the pending user has been authenticated in this plan.

    Authentik's default flow binds it to the password stage.
    """

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether the password has not been checked yet."""
        user = request.context.pending_user
        return user is None or not user.has_backend

    def __str__(self) -> str:
        return "the pending user has no backend yet"


@dataclass(frozen=True, slots=True)
class IsMember:
    """Passes for members of the group of this name, and of its child groups."""

    group: str

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether the user is a member."""
        account = None if request.user is None else request.user.account
        return account is not None and account.is_member(self.group)

    def __str__(self) -> str:
        return f"the user is in the group {self.group}"


@dataclass(frozen=True, slots=True)
class PasswordExpired:
    """Passes for users whose password is right but too old."""

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether the password has expired."""
        account = None if request.user is None else request.user.account
        return account is not None and account.expired

    def __str__(self) -> str:
        return "the password has expired"


@dataclass(frozen=True, slots=True)
class SetRedirect:
    """Passes, and sets ``to`` as the redirect at the end of the flow (an expression policy)."""

    to: str

    def passes(self, request: PolicyRequest) -> bool:
        """Set the redirect in the context."""
        request.context.redirect = self.to
        return True

    def __str__(self) -> str:
        return f"sets a redirect to {self.to}"


@dataclass(frozen=True, slots=True)
class DenyAll:
    """Never passes, and gives a reason."""

    message: str

    def passes(self, request: PolicyRequest) -> bool:
        """Refuse."""
        return False

    def __str__(self) -> str:
        return "never"


@dataclass(frozen=True, slots=True)
class Not:
    """The negated binding of a policy."""

    policy: Policy

    def passes(self, request: PolicyRequest) -> bool:
        """Return whether the policy does not pass."""
        return not self.policy.passes(request)

    def __str__(self) -> str:
        return f"not: {self.policy}"


Policy = (
    ReputationPolicy
    | UserIsPending
    | HasNoBackend
    | IsMember
    | PasswordExpired
    | SetRedirect
    | DenyAll
    | Not
)
