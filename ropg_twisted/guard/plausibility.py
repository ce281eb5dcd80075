"""Plausibility of refusals: an outage behind Authentik looks like many changed passwords. No I/O.

Authentik refuses a password in the same bytes whether it is wrong or the directory that keeps it is
down. A single refusal shows nothing. Many do: people rarely change their passwords all at once.

The rule counts users, not checks. If the last accepted password of a user is refused, the user is
prompted. One who has changed it types the new password, and Authentik accepts that: a *proof* that
the refusal was true. During an outage the user types the same password again.

The *allowance* is the number of users who may be told, without a proof yet, that their last
accepted password is wrong: one in :data:`USERS_PER_ALLOWANCE` known users, at least
:data:`MIN_ALLOWANCE`. When it is used up, the refusal of one more user starts an *episode*, unless
more than :data:`MAX_RATIO` times as many users were accepted meanwhile. During an episode refusals
are implausible, except for the users who were told before. It ends

- when users who were refused are accepted again, with the same passwords;
- when proofs show that the refusals were true: an administrator has set new passwords. The
  allowance then grows by :data:`ALLOWANCE_PER_PROOF` for each;
- when more than :data:`MAX_RATIO` users were accepted since it began for each one still refused;
- in any case after :data:`MAX_EPISODE` seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Final

from twisted.internet.interfaces import IReactorTime

MIN_ALLOWANCE: Final = 3
USERS_PER_ALLOWANCE: Final = 100
ALLOWANCE_PER_PROOF: Final = 4

MAX_RATIO: Final = 19
"""Users accepted for each user refused. With more, refusals are in proportion."""

REFUSAL_WINDOW: Final = 10_800
"""Seconds for which a refusal counts. Macs check once an hour."""

MASS_CHANGE_SECONDS: Final = 14_400
"""Seconds for which the allowance is larger after proofs have ended an episode."""

RECOVERED: Final = 3
"""Users accepted again, for each user of the allowance and one more, that end an episode."""

MAX_EPISODE: Final = 86400

MAX_USERS: Final = 50_000


@dataclass(slots=True)
class _Episode:
    """An episode, and the users in it.

    Attributes:
        began: its start, in seconds.
        allowance: the allowance, without what earlier proofs have added.
        affected: users whose last accepted password was refused, in it or shortly before.
        refused: those of them whose last result is a refusal.
        recovered: those accepted with the same password since the last refusal of any user.
        accepted: users whose last result is an acceptance.
        proofs: the number of proofs.
    """

    began: float
    allowance: int
    affected: set[str]
    refused: set[str]
    recovered: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    proofs: int = 0

    def refuse(self, user: str) -> None:
        """Record a refusal."""
        self.recovered.clear()
        self.accepted.discard(user)
        if len(self.affected) < MAX_USERS:
            self.affected.add(user)
            self.refused.add(user)

    def accept(self, user: str, *, proof: bool) -> None:
        """Record an acceptance."""
        self.refused.discard(user)
        if len(self.accepted) < MAX_USERS:
            self.accepted.add(user)
        if proof:
            self.proofs += 1
        elif user in self.affected:
            self.recovered.add(user)

    @property
    def is_proven(self) -> bool:
        """Whether proofs show that the refusals were true."""
        return 2 * self.proofs >= self.allowance + 1

    @property
    def is_over(self) -> bool:
        """Whether refusals are plausible again."""
        recovered = RECOVERED * (self.allowance + 1)
        return (
            self.is_proven
            or len(self.recovered) >= min(recovered, len(self.affected))
            or len(self.accepted) > MAX_RATIO * max(len(self.refused), 1)
        )


class Plausibility:
    """Judges whether refusals are plausible, from what became of the last accepted passwords."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._episode: _Episode | None = None
        # Users and times, the latest last: users whose last result was an acceptance, and users who
        # were told that their last accepted password is wrong.
        self._accepted: OrderedDict[str, float] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()
        self._bonus = 0
        self._bonus_expires = 0.0

    @property
    def implausible(self) -> bool:
        """Whether there is an episode, in which no refusal is plausible."""
        if self._episode is not None and self._age(self._episode.began) >= MAX_EPISODE:
            self._end_episode()
        return self._episode is not None

    def refuse(self, user: str, known_users: int) -> bool:
        """Record that the last accepted password of ``user`` was refused.

        Returns whether that is plausible. ``known_users``: number of users with a last accepted
        password.
        """
        was_accepted = self._accepted.pop(user, None) is not None
        is_told = user in self._told and not was_accepted
        if not self.implausible and not is_told:
            allowance = max(MIN_ALLOWANCE, known_users // USERS_PER_ALLOWANCE)
            if self._is_used_up(allowance + self._bonus_now()):
                told = set(self._told)
                self._episode = _Episode(self._clock.seconds(), allowance, told, set(told))
            else:
                self._set_last(self._told, user)
                is_told = True
        if self._episode is not None:
            self._episode.refuse(user)
        return is_told

    def accept(self, user: str, *, changed: bool) -> None:
        """Record that a password of ``user`` was accepted.

        ``changed``: it is not the last accepted one.
        """
        proof = changed and self._is_refused(user)
        self._set_last(self._accepted, user)
        if proof:
            self._told.pop(user, None)
        if self._episode is not None:
            self._episode.accept(user, proof=proof)
            if self._episode.is_over:
                self._end_episode()

    def _is_refused(self, user: str) -> bool:
        """Return whether the last result of ``user`` was a refusal."""
        if self._episode is not None and user in self._episode.refused:
            return True
        return user in self._told and user not in self._accepted

    def _bonus_now(self) -> int:
        if self._clock.seconds() >= self._bonus_expires:
            self._bonus = 0
        return self._bonus

    def _is_used_up(self, allowance: int) -> bool:
        """Return whether one more refusal exceeds ``allowance``, out of proportion."""
        told = list(islice(reversed(self._told.values()), allowance))
        if len(told) < allowance or self._age(told[-1]) >= REFUSAL_WINDOW:
            return False
        accepted = takewhile(lambda time: time >= told[-1], reversed(self._accepted.values()))
        return sum(1 for _ in accepted) <= MAX_RATIO * (allowance + 1)

    def _end_episode(self) -> None:
        if self._episode is not None and self._episode.is_proven:
            self._bonus += ALLOWANCE_PER_PROOF * self._episode.proofs
            self._bonus_expires = self._clock.seconds() + MASS_CHANGE_SECONDS
        self._episode = None
        self._told.clear()

    def _set_last(self, times: OrderedDict[str, float], user: str) -> None:
        times[user] = self._clock.seconds()
        times.move_to_end(user)
        if len(times) > MAX_USERS:
            times.popitem(last=False)

    def _age(self, since: float) -> float:
        return self._clock.seconds() - since
