"""The seam between the OAuth side and Authentik, and what crosses it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from limits import RateLimitItem
from twisted.internet.defer import Deferred
from zope.interface import Interface

from ropg_twisted.networks import network_of
from ropg_twisted.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """The authorization code that a session is to fetch, and who exchanges it (RFC 6749 4.1)."""

    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    scope: tuple[str, ...]
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one user name may fail, and one address ask; ``None`` for any number."""

    user: RateLimitItem | None = None
    address: RateLimitItem | None = None


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """What a person typed, and what is to come of it.

    ``address``: of the machine that asks, ``None`` if it has none. ``code``: of a second factor.
    ``tokens``: which tokens of Authentik's own a verified login is to bring, if any. ``rates``: of
    the client that asks. ``canary``: nobody typed this; its password is certainly wrong, and shows
    how the flow refuses one.
    """

    username: str
    password: str = field(repr=False)
    address: str | None = None
    code: str | None = field(default=None, repr=False)
    tokens: CodeRequest | None = None
    rates: Rates = field(default=Rates(), compare=False)
    canary: bool = False

    @property
    def network(self) -> str | None:
        """The network that ``address`` is taken to stand for."""
        return None if self.address is None else network_of(self.address)


@dataclass(frozen=True, slots=True)
class User:
    """Who a verified password belongs to.

    ``sub``: the subject of the tokens; Authentik's ``uid``, as in its own tokens.
    ``name`` and ``email`` may be empty. ``groups``: names.
    """

    sub: str
    username: str
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()

    @classmethod
    def from_username(cls, username: str) -> User:
        """What a typed name says by itself."""
        email = username if "@" in username else ""
        return cls(sub=username, username=username, name=username, email=email)


@dataclass(frozen=True, slots=True)
class GrantedTokens:
    """What Authentik's token endpoint has granted.

    ``response``: its answer (RFC 6749 section 5.1). ``id_claims``: the verified claims of the id
    token in it, if there is one.
    """

    response: Mapping[str, Any] = field(repr=False)
    id_claims: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a password check came to. There is a person if, and only if, it is verified.

    ``tokens``: those that Authentik has granted, if the login asked for some. ``retry_after``:
    seconds after which there may be room again, if it was throttled.
    ``authentik_down``: it found Authentik itself down, which a fault that only follows this user
    name or password does not show. ``name_sent``: it did so after the user name had been sent.
    """

    outcome: Outcome
    user: User | None = None
    tokens: GrantedTokens | None = None
    retry_after: int | None = None
    authentik_down: bool = False
    name_sent: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a password could be checked now.

    ``reason``: why not. ``warning``: what is wrong though it could.
    """

    reason: Reason | None = None
    warning: Reason | None = None


class IPasswordVerifier(Interface):
    """Something that can say whether a password is right."""

    def verify(login: LoginAttempt) -> Coroutine[Deferred[Any], Any, CheckResult]:
        """Check one password.

        Whatever goes wrong on the way is an outcome and no exception: ``unverifiable``, with its
        reason. ``authentik_down`` is set for any outage before the user name was sent, and for a
        connection that broke or a server error at any time.

        A check that is cancelled before it has begun at Authentik raises :exc:`CancelledError`,
        and nothing counts. One that has begun is not given up for its client: it comes to its end,
        or, when its deadline cancels it there, to ``upstream_timeout``.
        """


class IReadinessProbe(Interface):
    """Something that knows whether a password could be checked now."""

    def probe() -> Coroutine[Deferred[Any], Any, Readiness]:
        """Look now, within a deadline. No fault on the way is an exception."""
