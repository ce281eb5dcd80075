"""Sessions as Authentik stores them, and their signed cookies."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import jwt
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.context import Context
from ropg_twisted.sandbox.flow.flows import Binding, Flow

LIFETIME = 24 * 60 * 60
"""Lifetime of a session after its last use, in seconds."""

_ALPHABET = string.ascii_lowercase + string.digits
_ANONYMOUS = "anonymous"


def random_text(length: int) -> str:
    """Return random lower-case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Clock(Protocol):
    """Tells the time of day, in seconds since the epoch, and calls functions later."""

    def seconds(self) -> float:
        """Return the time now."""

    def callLater(
        self, delay: float, callable: Callable[..., object], /, *args: object
    ) -> IDelayedCall:
        """Call a function after ``delay`` seconds: see :class:`IReactorTime`."""


class WallClock:
    """The wall clock. The clock of the daemon's reactor is monotonic."""

    def __init__(self, reactor: IReactorTime) -> None:
        self.callLater = reactor.callLater

    def seconds(self) -> float:
        """Return the time now."""
        return time.time()


@dataclass(slots=True)
class Plan:
    """Progress of a session in its flow.

    ``bindings``: those to go, the current one first. ``key``: the secret of a TOTP set-up.
    ``consent``: the token that proves the user's consent.
    """

    flow: Flow
    bindings: list[Binding]
    context: Context = field(default_factory=Context)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(20), repr=False)
    consent: str = field(default_factory=lambda: random_text(32), repr=False)


@dataclass(slots=True)
class Session:
    """A row: ``expires`` is a time on the clock, ``address`` the client's last address.

    ``fixed_end``: its end does not move when it is used, and its cookie tells it.
    ``auth_time`` and ``methods`` (``pwd``, ``mfa``): when and how the user has logged in.
    """

    sid: str = field(repr=False)
    expires: float
    address: str
    fixed_end: bool = False
    account: Account | None = None
    auth_time: float = 0
    methods: tuple[str, ...] = ()
    plan: Plan | None = None
    wrong_passwords: int = 0


class Sessions:
    """All sessions that have not expired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._rows: dict[str, Session] = {}

    @property
    def anonymous(self) -> list[Session]:
        """The sessions without a login."""
        return [row for row in self._alive() if row.account is None]

    @property
    def authenticated(self) -> list[Session]:
        """The sessions with a login."""
        return [row for row in self._alive() if row.account is not None]

    def begin(self, address: str) -> Session:
        """Add an anonymous session."""
        row = Session(random_text(32), self._clock.seconds() + LIFETIME, address)
        self._rows[row.sid] = row
        return row

    def find(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, ``None`` if either is not valid."""
        if cookie is None:
            return None
        try:
            sid = jwt.decode(cookie, self._key, ["HS256"], options={"verify_sub": False})["sid"]
        except (jwt.InvalidTokenError, KeyError):
            return None
        return next((row for row in self._alive() if row.sid == sid), None)

    def touch(self, row: Session, address: str) -> None:
        """Record a use of the session by a client at this address."""
        if not row.fixed_end:
            row.expires = self._clock.seconds() + LIFETIME
        row.address = address

    def log_in(
        self, row: Session, account: Account, methods: Iterable[str], duration: int = 0
    ) -> None:
        """Log the user in by these methods, under a new session id.

        ``duration``: seconds until the session ends, 0 for the default.
        """
        self.end(row)
        row.sid, row.account = random_text(32), account
        row.auth_time, row.methods = self._clock.seconds(), tuple(methods)
        if duration:
            row.expires, row.fixed_end = row.auth_time + duration, True
        self._rows[row.sid] = row

    def seconds_left(self, row: Session) -> int:
        """Return the seconds until the session ends."""
        return max(0, round(row.expires - self._clock.seconds()))

    def end(self, row: Session) -> None:
        """Remove the session."""
        self._rows.pop(row.sid, None)

    def cookie(self, row: Session, *, disowned: bool = False) -> str:
        """Return the value of the cookie ``authentik_session``: a JWT signed with HS256.

        ``disowned``: it says that nobody is logged in, whatever the row says.
        """
        account = None if disowned else row.account
        claims = {
            "sid": row.sid,
            "iss": "authentik",
            "sub": _ANONYMOUS if account is None else account.uid,
            "authenticated": account is not None,
            "acr": "goauthentik.io/core/default",
        }
        return jwt.encode(claims, self._key, "HS256")

    def device_cookie(self, account: Account, expires: float) -> str:
        """Return the value of the cookie ``authentik_device`` of a known device."""
        return jwt.encode({"sub": account.uid, "exp": expires}, self._key, "HS256")

    def holds(self, row: Session) -> bool:
        """Return whether the session exists and has not expired."""
        return any(alive is row for alive in self._alive())

    def _alive(self) -> list[Session]:
        now = self._clock.seconds()
        self._rows = {sid: row for sid, row in self._rows.items() if row.expires > now}
        return list(self._rows.values())
