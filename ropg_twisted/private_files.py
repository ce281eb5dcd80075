"""Files with secrets in the state directory: bounded reads, atomic writes (mode 0600), a lock."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IRGRP, S_IROTH, S_ISREG


def others_can_read(mode: int) -> bool:
    """Return whether the group or others can read a file of this mode."""
    return bool(mode & (S_IRGRP | S_IROTH))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep out other processes that lock the same folder, and wait for the one that has it.

    Raises :exc:`OSError` if the folder cannot be opened. A file system without locks keeps nobody
    out.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_private_file(path: Path, max_size: int) -> bytes:
    """Return the content of a file of at most ``max_size`` bytes.

    Raises :exc:`OSError` if it cannot be read, and :exc:`ValueError` if it is not a regular file or
    is too large.
    """
    # Opening a pipe without a writer would block.
    with open(path, "rb", opener=_open_nonblocking) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise ValueError("too large")
    return content


def write_private_file(path: Path, text: str, *, replace: bool) -> None:
    """Write ``text``, which is ASCII, atomically. Raises :exc:`OSError` if that fails.

    ``replace``: if true, replace an existing file and keep its owner. If false, a file that another
    process has written in the meantime stays.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            _copy_owner(path, draft)
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _copy_owner(path: Path, draft: str) -> None:
    """Give ``draft`` the owner of ``path``, so that the daemon can read what root writes."""
    owner = os.stat(path)
    with suppress(PermissionError):
        os.chown(draft, owner.st_uid, owner.st_gid)
