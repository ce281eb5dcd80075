"""Checks of what the daemon keeps: keys, audit log and shared counts. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from stat import S_IMODE, S_IWGRP, S_IWOTH
from typing import Final

from limits.storage import RedisStorage
from twisted.internet.threads import deferToThread

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, ok
from ropg_twisted.oauth.keys import read_key, ring_at
from ropg_twisted.oauth.keystore import KEYS_FILE, read_keys
from ropg_twisted.private_files import others_can_read
from ropg_twisted.service import SANDBOX_FOLDER
from ropg_twisted.telemetry.user_hash import KEY_FILE
from ropg_twisted.telemetry.user_hash import read_key as read_user_hash_key

_KEYS: Final = "operations.md#keys-and-their-backup"


async def check_state(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about the state directory and the keys in it. Nothing is written."""
    settings = installation.settings
    if settings.jwt_secret is not None and not settings.hash_users:
        yield ok("state-directory", "Not used, because of JWT_SECRET.")
        return
    folder = settings.state_dir.absolute()
    if settings.sandbox_port is not None:
        folder /= SANDBOX_FOLDER
    problem = _directory_problem(folder)
    if problem is not None:
        yield failure("state-directory", problem, _KEYS)
        return
    if not folder.exists():
        yield ok("state-directory", f"{folder} will be created at the first start, with new keys.")
        return
    yield ok("state-directory", f"{folder} can be written.")
    if settings.jwt_secret is None:
        keys = folder / KEYS_FILE
        yield _key_file(
            "keys", keys, lambda path: _signing_keys(path, settings.signing_alg, installation.now())
        )
    if settings.hash_users:
        yield _key_file("user-hash-key", folder / KEY_FILE, _user_hash_key)


def _directory_problem(folder: Path) -> str | None:
    """Return why a folder cannot hold keys, or ``None``. It may not exist yet."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder: choose another ROPG_STATE_DIR."
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return f"This user cannot write {existing}: change its owner to the user of the daemon."
    if existing == folder and S_IMODE(os.stat(folder).st_mode) & (S_IWGRP | S_IWOTH):
        return f"Others can write {folder}, and put keys of their own there: chmod 0700 {folder}"
    return None


def _key_file(name: str, path: Path, describe: Callable[[Path], str]) -> Finding:
    """Return the finding about a file with a secret. ``describe``: reads it."""
    try:
        if not path.exists():
            return ok(name, f"{path} will be created at the start.")
        mode = S_IMODE(os.stat(path).st_mode)
        text = describe(path)
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror}): change its owner or mode."
        return failure(name, problem, _KEYS)
    except ValueError:
        problem = f"{path} holds no usable key: restore it from the backup, or remove it."
        return failure(name, problem, _KEYS)
    if others_can_read(mode):
        problem = f"{path} has the mode {mode:04o}, so others can read it: chmod 0600 {path}"
        return failure(name, problem, _KEYS)
    return ok(name, text)


def _signing_keys(path: Path, algorithm: str, now: float) -> str:
    keys = [read_key(jwk) for jwk in read_keys(path)]
    try:
        ring_at(now, keys, algorithm)
    except ValueError:
        return f"{path} has no key for {algorithm}; the next start adds one."
    return f"{path} has a key for {algorithm}."


def _user_hash_key(path: Path) -> str:
    read_user_hash_key(path)
    return f"{path} has a key."


async def check_audit_log(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether the file of the audit log can be written, if there is to be one."""
    path = installation.settings.audit_log
    if path is None:
        return
    target = path if path.exists() else path.parent
    if os.access(target, os.W_OK) and not path.is_dir():
        yield ok("audit-log", f"{path} can be written.")
    else:
        text = f"This user cannot write {path}: create its folder, or change its owner."
        yield failure("audit-log", text, "answers.md#a-file-for-the-audit-lines")


async def check_store(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether the Redis of the shared counts answers, if there is one."""
    store = installation.settings.limits_store
    if store is None:
        return
    # The client of Redis has time limits of its own. A thread keeps the reactor free.
    if await deferToThread(_pings, store.storage):
        yield ok("limits-store", "The Redis of ROPG_LIMITS_STORE answers.")
    else:
        text = (
            "The Redis of ROPG_LIMITS_STORE does not answer, or refuses the password: start it, or "
            "correct the URL. Until then each daemon counts alone."
        )
        yield failure("limits-store", text, "operations.md#several-daemons")


def _pings(store: RedisStorage) -> bool:
    return bool(store.check())
