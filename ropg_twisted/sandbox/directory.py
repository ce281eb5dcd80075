"""Directories: LDAP or Active Directory, which keep the passwords of users in Authentik's place.

A directory can be told at any time to be down, slow, hung or sick, so that an outage can be
rehearsed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from random import Random


class DirectoryState(Enum):
    """State of a directory. The value is its name in forms."""

    UP = "up"
    """Each bind is answered as the password deserves."""

    DOWN = "down"
    """Each connection is refused at once."""

    SLOW = "slow"
    """Each bind is answered as the password deserves, after ``slow_seconds``."""

    HUNG = "hung"
    """No bind is answered: Authentik gives up after ``hung_seconds``."""

    SICK = "sick"
    """Of each two binds one is refused, drawn at random: one of two servers is down."""

    ACCEPTS_ANY = "accepts-any"
    """Each bind gives result 3, 4, 5, 6 or 14, which Authentik takes for a success."""


class EntryState(Enum):
    """State of a user in a directory. The value is its name in forms."""

    NORMAL = "normal"

    LOCKED = "locked"
    """The right password is refused (Active Directory: 775)."""

    EXPIRED = "expired"
    """The right password is refused (Active Directory: 532)."""

    MUST_CHANGE = "must-change"
    """The right password is accepted, as by OpenLDAP's ppolicy. (Active Directory refuses it.)"""


@dataclass(slots=True)
class Entry:
    """Entry of a user. ``failed_binds``: since the last accepted bind, or since it was unlocked."""

    password: str = field(repr=False)
    state: EntryState = EntryState.NORMAL
    failed_binds: int = 0

    def set_state(self, state: EntryState) -> None:
        """Change the state. An entry that is unlocked has no failed binds."""
        if self.state is EntryState.LOCKED and state is not EntryState.LOCKED:
            self.failed_binds = 0
        self.state = state

    def accepts(self, password: str) -> bool:
        """Return whether a bind with this password succeeds."""
        usable = self.state in (EntryState.NORMAL, EntryState.MUST_CHANGE)
        return usable and password == self.password


@dataclass(slots=True)
class Directory:
    """A directory.

    Args:
        entries: by user name.
        slow_seconds: duration of a bind at a slow directory.
        hung_seconds: the longest that Authentik waits for a bind.
        lockout_threshold: the failed binds that lock a user; 0 for never.
        failed_binds: all binds with a wrong password or a name that is not here. A bind that did
            not reach the directory is not counted.
    """

    slug: str
    entries: dict[str, Entry] = field(default_factory=dict)
    state: DirectoryState = DirectoryState.UP
    slow_seconds: float = 5
    hung_seconds: float = 15.2
    lockout_threshold: int = 0
    failed_binds: int = 0
    _random: Random = field(init=False, repr=False)
    _sick_next: bool | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        # The same binds meet the same servers in each run of a test.
        self._random = Random(self.slug)

    def accepts(self, username: str, password: str) -> bool:
        """Return whether this directory, if it works, accepts a password. Count nothing."""
        entry = self.entries.get(username)
        return entry is not None and entry.accepts(password)

    def answer(self, username: str, password: str) -> bool:
        """Answer a bind that has reached the directory, and count it if it fails."""
        entry = self.entries.get(username)
        accepted = self.accepts(username, password)
        if accepted and entry is not None:
            entry.failed_binds = 0
        elif entry is None or password != entry.password:
            self.failed_binds += 1
            if entry is not None:
                self._count(entry)
        return accepted

    def meets_sick_server(self) -> bool:
        """Draw the server of the next bind, for a directory of which one of two is sick.

        Each two binds meet both servers.
        """
        if self._sick_next is not None:
            sick, self._sick_next = self._sick_next, None
            return sick
        sick = self._random.random() < 0.5
        self._sick_next = not sick
        return sick

    def _count(self, entry: Entry) -> None:
        entry.failed_binds += 1
        if 0 < self.lockout_threshold <= entry.failed_binds:
            entry.state = EntryState.LOCKED
