"""Authentik's signals of logins and failures: events and reputation scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A login or a failure, named for its signal.

    ``kind``: ``login``, ``login_failed`` (a password or a code) or ``identification_failed``
    (a name that nobody has), which Authentik writes to its log only.
    """

    kind: str
    username: str
    address: str


@dataclass(frozen=True, slots=True)
class Authentication:
    """A password check by the backends (Authentik: ``authenticate``).

    ``mistaken``: the state of a directory is to blame for the result. A right password was
    refused, or a wrong one accepted. A user whom the directory itself refuses, because the account
    is locked or the password has expired, is refused without a mistake.
    """

    username: str
    accepted: bool
    mistaken: bool = False


class Signals:
    """Receives every signal.

    ``events`` and ``authentications``: oldest first. ``reputation``: scores by user name and
    address; a login adds one, a failure takes one.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.authentications: list[Authentication] = []
        self.reputation: Counter[tuple[str, str]] = Counter()

    def authenticated(self, username: str, address: str, *, accepted: bool, mistaken: bool) -> None:
        """Record a password check. A refused password is also a failed login."""
        self.authentications.append(Authentication(username, accepted, mistaken))
        if not accepted:
            self.login_failed(username, address)

    def logged_in(self, username: str, address: str) -> None:
        """Record a login."""
        self._receive(Event("login", username, address), 1)

    def login_failed(self, username: str, address: str) -> None:
        """Record a refused password or code."""
        self._receive(Event("login_failed", username, address), -1)

    def identification_failed(self, name: str, address: str) -> None:
        """Record an unknown user name."""
        self._receive(Event("identification_failed", name, address), -1)

    def _receive(self, event: Event, amount: int) -> None:
        self.events.append(event)
        self.reputation[event.username, event.address] += amount
