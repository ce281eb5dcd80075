"""Cache of rejected passwords, which are not sent to Authentik again."""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes
from typing import Final

from cachetools import LRUCache, TLRUCache
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import Outcome, Reason, Verdict

LIFETIME: Final = 600
"""Seconds for which a rejection is remembered."""

SHORT_LIFETIME: Final = 60
"""Seconds, for a password that was accepted before: a short outage may have refused it."""

MAX_USERS: Final = 10_000
MAX_PASSWORDS: Final = 8
"""Rejected passwords remembered for one user."""

_STALE: Final = CheckResult(Outcome(Verdict.REJECTED, Reason.STALE_PASSWORD))


@implementer(IPasswordVerifier)
class RejectedPasswords:
    """Rejects a password that Authentik has rejected recently for the same user.

    Macs repeat a stale password for days. Each attempt costs Authentik most of a second, and lowers
    the user's reputation score. Only keyed hashes are kept; the key lives as long as the process.

    ``hits``: the number of checks that were rejected without Authentik.
    """

    def __init__(self, verifier: IPasswordVerifier, clock: IReactorTime) -> None:
        self.hits = 0
        self._verifier = verifier
        self._clock = clock
        self._key = token_bytes(32)
        self._rejected: LRUCache[str, TLRUCache[bytes, float, float]] = LRUCache(MAX_USERS)

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        user = fold(login.username)
        digest = blake2b(f"{login.username}\0{login.password}".encode(), key=self._key).digest()
        if digest in self._rejected.get(user, ()):
            self.hits += 1
            return _STALE
        began = self._clock.seconds()
        check = await self._verifier.verify(login)
        if check.outcome.reason is Reason.WRONG_CREDENTIALS:
            lifetime = SHORT_LIFETIME if check.was_accepted else LIFETIME
            self._remember(user, digest, began + lifetime)
        elif check.outcome.accepts_password:
            self._rejected.pop(user, None)
        return check

    def _remember(self, user: str, digest: bytes, expires: float) -> None:
        if user not in self._rejected:
            self._rejected[user] = TLRUCache(MAX_PASSWORDS, _expires, self._clock.seconds)
        self._rejected[user][digest] = expires


def _expires(digest: bytes, expires: float, now: float) -> float:
    return expires
