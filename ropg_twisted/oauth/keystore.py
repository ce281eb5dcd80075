"""The key file: a private JWK Set that the daemon reads and ``ropg keys`` changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from stat import S_IMODE
from typing import ClassVar, Final

from twisted.logger import Logger

from ropg_twisted.oauth.keys import JWK, KeyRing, SigningKey, new_key, read_key, ring_at
from ropg_twisted.private_files import (
    locked,
    others_can_read,
    read_private_file,
    write_private_file,
)
from ropg_twisted.settings.errors import SettingError

KEYS_FILE: Final = "keys.json"

MAX_FILE_SIZE: Final = 256 * 1024
"""Maximum size of a key file in bytes. A key has at most 2,000."""


class KeyStore:
    """The keys in ``<state_dir>/keys.json``, a private JWK Set (RFC 7517) of mode 0600.

    The file is created at the first start, and gets a new key if none in it can sign with
    ``algorithm``; the others stay published. A changed file is reloaded. If it is unusable, the old
    keys stay in use. If other users can read it, a warning is logged. ``now``: returns the time in
    seconds since the epoch.

    Daemons that start at the same time on one folder agree on the keys.

    Raises :exc:`SettingError` if the keys cannot be read or written at the start.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, state_dir: Path, algorithm: str, now: Callable[[], float]) -> None:
        self._path = state_dir / KEYS_FILE
        self._algorithm = algorithm
        self._now = now
        self._no_valid_key = False
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(state_dir):
                if not self._path.exists():
                    write_keys(self._path, [self._new_key()], replace=False)
                self._keys = self._read()
                if not self._can_sign():
                    write_keys(self._path, [*read_keys(self._path), self._new_key()])
                    self._keys = self._read()
            self._ring = ring_at(self._now(), self._keys, self._algorithm)
            return
        except OSError as error:
            problem = f"cannot hold the keys: {self._path}: {error.strerror}"
        except ValueError:
            problem = f"holds no readable keys: {self._path}"
        raise SettingError("ROPG_STATE_DIR", problem, "ROPG_STATE_DIR=/var/lib/ropg")

    def ring(self) -> KeyRing:
        """Return the current key ring.

        The last one stays in use if no key may sign now: all have expired, or the clock jumped.
        """
        if self._stamp() != self._seen:
            self._reload()
        try:
            self._ring = ring_at(self._now(), self._keys, self._algorithm)
            self._no_valid_key = False
        except ValueError:
            if not self._no_valid_key:
                self.log.error("keys.json has no key that may sign now: the last one goes on")
            self._no_valid_key = True
        return self._ring

    def _reload(self) -> None:
        try:
            keys = self._read()
            ring_at(self._now(), keys, self._algorithm)
        except (OSError, ValueError) as error:
            kind = type(error.__cause__ or error).__name__
            self.log.error("keys.json is unusable ({kind}): old keys stay", kind=kind)
        else:
            self._keys = keys
            self.log.info("keys.json has changed: in use from now on")

    def _can_sign(self) -> bool:
        try:
            ring_at(self._now(), self._keys, self._algorithm)
        except ValueError:
            return False
        return True

    def _new_key(self) -> JWK:
        return new_key(self._algorithm, self._now(), signs_from=int(self._now()))

    def _read(self) -> tuple[SigningKey, ...]:
        self._seen = self._stamp()
        mode = 0 if self._seen is None else S_IMODE(self._seen[2])
        if others_can_read(mode):
            problem = "keys.json has the mode {mode}: others can read it, and make tokens"
            self.log.warn(problem, mode=f"{mode:04o}")
        return tuple(read_key(jwk) for jwk in read_keys(self._path))

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return a value that changes with the file, ``None`` while the file is missing."""
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_mode


def read_keys(path: Path) -> list[JWK]:
    """Return the JWKs in a key file.

    Raises :exc:`OSError` if it cannot be read, and :exc:`ValueError` if it is not a regular file
    with a JWK Set.
    """
    content = read_private_file(path, MAX_FILE_SIZE)
    try:
        document = json.loads(content.decode("ascii"))
    except RecursionError as error:
        raise ValueError("too deep") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("not a set of keys")
    return keys


def write_keys(path: Path, jwks: Iterable[JWK], *, replace: bool = True) -> None:
    """Write a key file atomically. Raises :exc:`OSError` if that fails.

    ``replace``: if false, a file that another daemon has written in the meantime stays.
    """
    text = json.dumps({"keys": list(jwks)}, indent=1)
    write_private_file(path, text, replace=replace)
