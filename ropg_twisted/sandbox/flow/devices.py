"""Second factors: TOTP codes (RFC 6238) on the sandbox's clock, and static tokens."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.context import PendingUser
from ropg_twisted.sandbox.flow.sessions import Clock

_STEP = 30


def totp(key: bytes, seconds: float) -> str:
    """Return the six-digit code of ``key`` at this time (RFC 6238)."""
    return TOTP(key, 6, SHA1(), _STEP, enforce_key_length=False).generate(int(seconds)).decode()


class Devices:
    """The valid codes at this time, and the used ones.

    Like Authentik, it takes the code of the step before and after as well, and no code twice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_step: dict[int, int] = {}
        self._spent: set[tuple[int, str]] = set()
        self._last_used: dict[int, float] = {}

    def kind(self, user: PendingUser | None, allowed: Container[str]) -> str | None:
        """Return the class of the device to ask for, ``None`` if no class is allowed.

        A user who is not known yet may have a passkey: ``webauthn``.
        """
        if user is None:
            kind = "webauthn"
        elif user.account is None:
            return None
        elif user.account.totp_key is not None:
            kind = "totp"
        elif user.account.static_tokens:
            kind = "static"
        else:
            return None
        return kind if kind in allowed else None

    def last_used(self, account: Account) -> str | None:
        """Return when a code was last accepted, as ISO 8601 in UTC, or None."""
        seconds = self._last_used.get(account.pk)
        if seconds is None:
            return None
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

    def accepts(self, account: Account, code: str) -> bool:
        """Return whether the code is valid, and use it up if it is."""
        if account.totp_key is not None:
            accepted = self._accepts_totp(account, account.totp_key, code)
        else:
            accepted = code in account.static_tokens and (account.pk, code) not in self._spent
        if accepted:
            self._spent.add((account.pk, code))
            self._last_used[account.pk] = self._clock.seconds()
        return accepted

    def fits(self, key: bytes, code: str) -> bool:
        """Return whether the code is that of a new key."""
        return code == totp(key, self._clock.seconds())

    def _accepts_totp(self, account: Account, key: bytes, code: str) -> bool:
        now = int(self._clock.seconds()) // _STEP
        earliest = max(0, now - 1, self._last_step.get(account.pk, -1) + 1)
        for step in range(earliest, now + 2):
            if code == totp(key, step * _STEP):
                self._last_step[account.pk] = step
                return True
        return False
