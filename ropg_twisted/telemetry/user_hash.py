"""Keyed hashes that take the place of user names in the log (``ROPG_LOG_USERS=hashed``)."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import ClassVar, Final

from twisted.logger import Logger

from ropg_twisted.private_files import others_can_read, read_private_file, write_private_file
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.usernames import fold

KEY_FILE: Final = "user-hash.key"

KEY_BYTES: Final = 32

DIGITS: Final = 16
"""Hexadecimal digits of a hash. The chance that two of a million users share one is 3 in 10^8."""

MAX_FILE_SIZE: Final = 1024


class UserHash:
    """Hashes user names with HMAC-SHA-256 and a key in ``<state_dir>/user-hash.key``, mode 0600.

    All spellings of a name have one hash, see :func:`~ropg_twisted.usernames.fold`: it stays the
    same over restarts, and in all daemons with the same key. Nobody can find a name for a hash, or
    compute that of a name, without the key.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, state_dir: Path) -> UserHash:
        """Return the hash with the key of ``state_dir``, which is created if there is none.

        Logs a warning if others can read the key. Raises :exc:`SettingError` if it cannot be read
        or written.
        """
        path = state_dir / KEY_FILE
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                write_private_file(path, token_hex(KEY_BYTES) + "\n", replace=False)
            mode = S_IMODE(os.stat(path).st_mode)
            if others_can_read(mode):
                problem = KEY_FILE + " has the mode {mode}: others can read it, and guess users"
                cls.log.warn(problem, mode=f"{mode:04o}")
            return cls(read_key(path))
        except OSError as error:
            problem = f"cannot hold the key for user names: {path}: {error.strerror}"
        except ValueError:
            problem = f"holds no readable key for user names: {path}"
        raise SettingError("ROPG_STATE_DIR", problem, "ROPG_STATE_DIR=/var/lib/ropg")

    def __call__(self, username: str) -> str:
        """Return the hash of a user name."""
        name = fold(username).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, name, "sha256").hex()[:DIGITS]


def read_key(path: Path) -> bytes:
    """Return the key in a file. Raises :exc:`OSError` or :exc:`ValueError` if there is none."""
    key = bytes.fromhex(read_private_file(path, MAX_FILE_SIZE).decode("ascii"))
    if len(key) != KEY_BYTES:
        raise ValueError("not a key")
    return key
