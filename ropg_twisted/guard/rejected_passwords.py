"""Cache of rejected passwords: what Authentik has just refused is not sent to it again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from secrets import token_bytes
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import Outcome, Reason, Verdict

LIFETIME: Final = 600
"""Seconds for which a refusal is remembered."""

MAX_USERS: Final = 10_000
MAX_PASSWORDS: Final = 8
"""Refused passwords remembered for one user."""

_STALE: Final = CheckResult(Outcome(Verdict.REJECTED, Reason.STALE_PASSWORD))


@implementer(IPasswordVerifier)
class RejectedPasswords:
    """Answers a password that was refused a short while ago, for the same user, by itself.

    Macs repeat a stale password for days, and each try costs Authentik most of a second and the
    user's reputation. Only hashes are kept, under a key that lives as long as the process.
    """

    def __init__(self, verifier: IPasswordVerifier, clock: IReactorTime) -> None:
        self._verifier = verifier
        self._clock = clock
        self._key = token_bytes(32)
        self._rejected: OrderedDict[str, OrderedDict[bytes, float]] = OrderedDict()

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        user = fold(login.username)
        mark = blake2b(f"{login.username}\0{login.password}".encode(), key=self._key).digest()
        if self._is_rejected(user, mark):
            return _STALE
        check = await self._verifier.verify(login)
        if check.outcome.reason is Reason.WRONG_CREDENTIALS:
            self._remember(user, mark)
        elif check.outcome.accepts_password:
            self._rejected.pop(user, None)
        return check

    def _is_rejected(self, user: str, mark: bytes) -> bool:
        marks = self._rejected.get(user)
        return marks is not None and marks.get(mark, 0) > self._clock.seconds()

    def _remember(self, user: str, mark: bytes) -> None:
        marks = self._rejected.setdefault(user, OrderedDict())
        self._rejected.move_to_end(user)
        marks[mark] = self._clock.seconds() + LIFETIME
        marks.move_to_end(mark)
        while len(marks) > MAX_PASSWORDS:
            marks.popitem(last=False)
        while len(self._rejected) > MAX_USERS:
            self._rejected.popitem(last=False)
