"""The file of the audit log (``ROPG_AUDIT_LOG``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from ropg_twisted.settings.errors import SettingError
from ropg_twisted.telemetry.line_writer import BackgroundWriter, write_some

MODE: Final = 0o600

_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | os.O_CLOEXEC
    | os.O_NOCTTY
    | os.O_NONBLOCK  # Opening a pipe without a reader would block.
)


class AuditFile(BackgroundWriter):
    """Appends lines to a file, which is created with mode 0600.

    After a rotation, :meth:`reopen` makes the next lines go to a new file; if that fails, they go
    on to the old one, and each line tries again. A file that was deleted is created again. Lines
    that cannot be written are dropped and counted. A failure is logged once, and so is its end.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, path: Path, reactor: IReactorFromThreads) -> None:
        super().__init__("ascii")
        self._path = path
        self._reactor = reactor
        self._descriptor = -1
        self._reopens = False
        self._failing = False
        self._torn = False

    def open(self) -> None:
        """Open the file and start to write. Raises :exc:`SettingError` if it cannot be opened."""
        try:
            self._descriptor = self._open()
        except OSError as error:
            problem = f"cannot be opened: {self._path}: {error.strerror}"
            raise SettingError(
                "ROPG_AUDIT_LOG", problem, "ROPG_AUDIT_LOG=/var/log/ropg/audit.json"
            ) from None
        self.start()

    def reopen(self) -> None:
        """Open the file again, after the lines that wait."""
        self._queue(self._reopen_after_rotation)

    def _open(self) -> int:
        return os.open(self._path, _FLAGS, MODE)

    def _reopen_after_rotation(self) -> bool:
        self._reopens = True
        self._reopen()
        return True

    def _reopen(self) -> bool:
        """Return whether the file is open under its path again. If not, the old one stays open."""
        try:
            descriptor = self._open()
        except OSError as error:
            self._log_failure(error)
            return False
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._reopens = self._torn = False
        return True

    def _write(self, line: bytes) -> bool:
        deleted = os.fstat(self._descriptor).st_nlink == 0
        if (deleted or self._reopens) and not self._reopen() and deleted:
            return False
        # A full disk may have taken a part of the line before.
        line = b"\n" + line if self._torn else line
        try:
            while line:
                line = line[write_some(self._descriptor, line) :]
                self._torn = bool(line)
        except OSError as error:
            self._log_failure(error)
            return False
        if self._failing and not self._reopens:
            self._failing = False
            self._reactor.callFromThread(self.log.info, "ROPG_AUDIT_LOG works again")
        return True

    def _log_failure(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            self._reactor.callFromThread(
                self.log.error, "ROPG_AUDIT_LOG fails ({cause})", cause=error.strerror
            )

    def _log_dropped(self, lines: int) -> None:
        self._reactor.callFromThread(
            self.log.warn, "{lines} lines of ROPG_AUDIT_LOG were dropped", lines=lines
        )
