"""Model of a fleet: users, their Macs and the directories behind Authentik, on a clock. No I/O.

Each Mac checks the password that it has once an hour. A user who is told that it is wrong types the
right password a little later, or is not at the desk. A Mac that is told nothing waits for its next
check.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, TypeAlias

from twisted.internet.task import Clock

from ropg_twisted.guard.plausibility import Plausibility

HOUR: Final = 3600.0

DAYS_BETWEEN_CHANGES: Final = 90
"""A user sets a new password in so many days, on average."""

OFFICE_HOURS: Final = 10
"""Hours of a day in which users set new passwords."""

SECONDS_TO_TYPE: Final = 120.0
"""Mean time from a prompt to the password that the user types."""

AT_DESK: Final = 0.8
"""Share of users who see a prompt."""


@dataclass(slots=True)
class SimulatedUser:
    """A user, and what the user and the daemon know.

    Attributes:
        directory: which one keeps the password; 0 for Authentik itself.
        password: the right one, as a number that each change increases.
        on_mac: the one that the Mac has.
        accepted: the one that was last accepted.
        refused_at: time of the first refusal of an old password.
        is_told: was told that a password is wrong, since the last acceptance.
    """

    name: str
    directory: int
    password: int = 0
    on_mac: int = 0
    accepted: int = 0
    refused_at: float | None = None
    is_told: bool = False


Outage: TypeAlias = Callable[[SimulatedUser], bool]
"""Tells whether the directory refuses a right password of a user now."""


@dataclass(slots=True)
class Result:
    """Result of a run.

    Attributes:
        falsely_told: users who were told that a right password is wrong.
        delays: seconds from the first refused check of a changed password to the prompt, by user.
        waiting: users whose changed password was refused, and who were never told.
        recognized: time of the first episode.
        over: time of the end of the last episode.
    """

    falsely_told: set[str] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    recognized: float | None = None
    over: float | None = None


class Fleet:
    """``users`` whose passwords were accepted before, a part of them ``internal`` to Authentik."""

    def __init__(self, chance: Random, users: int, directories: int, internal: float) -> None:
        self.clock = Clock()
        self.chance = chance
        self.plausibility = Plausibility(self.clock)
        self.result = Result()
        self.outage: Outage = lambda user: False
        self.users = [
            SimulatedUser(f"user{n}", 0 if n < internal * users else 1 + n % directories)
            for n in range(users)
        ]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        for user in self.users:
            self.plausibility.accept(user.name, changed=True)

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Schedule an event."""
        heapq.heappush(self._events, (time, next(self._order), event))

    def start_mac(self, user: SimulatedUser, first: float) -> None:
        """Check the password that the Mac of ``user`` has, every hour from ``first`` on."""

        def check() -> None:
            if self._check(user, user.on_mac) and self.chance.random() < AT_DESK:
                delay = self.chance.expovariate(1 / SECONDS_TO_TYPE)
                self.at(self.clock.seconds() + delay, lambda: self._type(user))
            self.at(self.clock.seconds() + HOUR, check)

        self.at(first, check)

    def change_now_and_then(self, user: SimulatedUser) -> None:
        """Let ``user`` set new passwords during the office hours, as seldom as users do."""
        delay = self.chance.expovariate(1 / (DAYS_BETWEEN_CHANGES * OFFICE_HOURS * HOUR))
        self.at(delay, lambda: self.change(user))

    def change(self, user: SimulatedUser) -> None:
        """Set a new password, unless the directory is down. The Mac keeps the old one."""
        if not self.outage(user):
            user.password += 1
            user.refused_at = None

    def run(self, until: float) -> Result:
        """Run all events before ``until``."""
        was_implausible = False
        while self._events[0][0] < until:
            time, _, event = heapq.heappop(self._events)
            self.clock.advance(time - self.clock.seconds())
            event()
            is_implausible = self.plausibility.implausible
            if is_implausible and self.result.recognized is None:
                self.result.recognized = time
            if was_implausible and not is_implausible:
                self.result.over = time
            was_implausible = is_implausible
        return self.result

    def _type(self, user: SimulatedUser) -> None:
        """Type the right password at a prompt."""
        self._check(user, user.password)

    def _check(self, user: SimulatedUser, password: int) -> bool:
        """Check a password. Return whether the user is told that it is wrong."""
        is_right = password == user.password
        if is_right and not self.outage(user):
            self.plausibility.accept(user.name, changed=password != user.accepted)
            user.accepted = user.on_mac = password
            user.is_told = False
            self.result.waiting.discard(user.name)
            return False
        if password == user.accepted:
            is_told = self.plausibility.refuse(user.name, len(self.users))
        else:
            is_told = not self.plausibility.implausible
        if is_right:
            # Otherwise the user is at a prompt already, with a new password.
            if is_told and password == user.on_mac:
                self.result.falsely_told.add(user.name)
        else:
            self._record_change(user, is_told=is_told)
        return is_told

    def _record_change(self, user: SimulatedUser, *, is_told: bool) -> None:
        """Record a refusal of an old password."""
        now = self.clock.seconds()
        if user.refused_at is None:
            user.refused_at = now
            self.result.waiting.add(user.name)
        if is_told and not user.is_told:
            user.is_told = True
            self.result.waiting.discard(user.name)
            self.result.delays[user.name] = now - user.refused_at
