"""Interfaces between the OAuth side and Authentik, and the data that crosses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypedDict

from limits import RateLimitItem
from zope.interface import Interface

from ropg_twisted.networks import Address, ClientNetwork, network_of
from ropg_twisted.trace_context import TraceContext, new_trace_context
from ropg_twisted.types import DeferredCoroutine
from ropg_twisted.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """The parameters of an authorization code grant (RFC 6749 section 4.1)."""

    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    scope: tuple[str, ...]
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """Rate limits: failures of one user, requests of one address; ``None`` for no limit."""

    user: RateLimitItem | None = None
    address: RateLimitItem | None = None


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A user name and password to check.

    Attributes:
        address: the client's, ``None`` if it is unknown.
        code: of a second factor, if one came with the password.
        tokens: Authentik's tokens to fetch for a verified login, if any.
        rates: the rate limits of the client.
        canary: no user typed this. The password is certainly wrong, and shows how the flow refuses
            one.
        trace_context: goes to Authentik with each request.
    """

    username: str
    password: str = field(repr=False)
    address: Address | None = None
    code: str | None = field(default=None, repr=False)
    tokens: CodeRequest | None = None
    rates: Rates = field(default=Rates(), compare=False)
    canary: bool = False
    trace_context: TraceContext = field(default_factory=new_trace_context, compare=False)

    @property
    def network(self) -> ClientNetwork | None:
        """The network of ``address``, see :func:`network_of`."""
        return None if self.address is None else network_of(self.address)


@dataclass(frozen=True, slots=True)
class User:
    """The user of a verified password.

    Attributes:
        sub: the subject of the tokens; Authentik's ``uid``, as in its own tokens.
        name: may be empty.
        email: may be empty.
        groups: their names.
    """

    sub: str
    username: str
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()

    @classmethod
    def from_username(cls, username: str) -> User:
        """Return a user known by the typed name alone."""
        email = username if "@" in username else ""
        return cls(sub=username, username=username, name=username, email=email)


class UpstreamTokenResponse(TypedDict, total=False):
    """A token response of Authentik (RFC 6749 section 5.1). It may have more members.

    It is passed on unchanged. The types of its members are checked only where they are read.
    """

    access_token: object
    expires_in: object
    id_token: object
    refresh_token: object
    scope: object
    token_type: object


@dataclass(frozen=True, slots=True)
class GrantedTokens:
    """Tokens from Authentik's token endpoint.

    Attributes:
        response: the whole token response (RFC 6749 section 5.1).
        id_claims: the verified claims of the id token in it, if it has one.
    """

    response: UpstreamTokenResponse = field(repr=False)
    id_claims: Mapping[str, object] | None = field(default=None, repr=False)


class RequestKind(StrEnum):
    """The purpose of a request to Authentik, as in the log and the metrics."""

    FLOW = "flow"
    """Any step of the flow but the password."""
    PASSWORD = "password"
    """The POST of the password."""
    ACCESS = "access"
    """Whether the user may use the application."""
    USER = "user"
    """The user of the session."""
    TOKENS = "tokens"
    """Authorization codes, and tokens for them."""
    USERINFO = "userinfo"
    INTROSPECTION = "introspection"
    METADATA = "metadata"
    """The provider's discovery document and keys."""
    PROBE = "probe"
    """Whether a login can start."""
    REMOVAL = "removal"
    """The removal of a session."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request that was made to Authentik.

    Attributes:
        status: of the response, ``None`` if no complete response came.
        seconds: from its start to the end of the response.
    """

    kind: RequestKind
    status: int | None
    seconds: float


@dataclass(slots=True)
class CheckTrace:
    """The course of a check, recorded while it runs.

    Attributes:
        queue_seconds: time in the queue of the concurrency limit.
        stages: the components of the challenges that Authentik sent, in order.
        requests: the requests made to Authentik, in order of their ends.
        context: the trace context of these requests.
    """

    queue_seconds: float = 0.0
    stages: list[str] = field(default_factory=list)
    requests: list[UpstreamRequest] = field(default_factory=list)
    context: TraceContext = field(default_factory=new_trace_context)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a password check.

    Attributes:
        user: set if, and only if, the verdict is ``verified``.
        tokens: from Authentik, if the login attempt asked for them.
        retry_after: seconds after which to try again, if a rate limit was exceeded.
        authentik_down: Authentik itself is down. Not set for an error that may concern this user
            name or password alone.
        name_sent: the user name had been sent before Authentik was found to be down.
        was_accepted: a refused password is the one that was last accepted for the user.
        trace: the course of the check, if Authentik was asked. Joined checks share it.
    """

    outcome: Outcome
    user: User | None = None
    tokens: GrantedTokens | None = None
    retry_after: int | None = None
    authentik_down: bool = False
    name_sent: bool = False
    was_accepted: bool = False
    trace: CheckTrace | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The result of a readiness probe.

    Attributes:
        reason: why passwords cannot be checked now, ``None`` if they can.
        warning: a problem that does not prevent checks.
    """

    reason: Reason | None = None
    warning: Reason | None = None


class IPasswordVerifier(Interface):
    """Checks passwords."""

    def verify(login: LoginAttempt) -> DeferredCoroutine[CheckResult]:
        """Check one password.

        Errors are outcomes, not exceptions: ``unverifiable`` with a reason. ``authentik_down`` is
        set for an outage before the user name was sent, and for a broken connection or a server
        error at any time.

        A check that is cancelled before it has begun at Authentik raises :exc:`CancelledError`, and
        counts for nothing. One that has begun is not stopped when its client hangs up: it runs to
        its end, or until its deadline (``upstream_timeout``).
        """


class IReadinessProbe(Interface):
    """Tells whether passwords can be checked now."""

    def probe() -> DeferredCoroutine[Readiness]:
        """Probe now, within a deadline. Errors are results, not exceptions."""
