"""Writer of log lines to standard output, whose reader may stall."""

from __future__ import annotations

import atexit
import os
import select
from collections import deque
from threading import Condition, Thread
from typing import ClassVar, Final, TextIO

from twisted.logger import Logger

MAX_LINES: Final = 4096
"""Lines that may wait. More are dropped."""

DRAIN_SECONDS: Final = 2
"""Seconds that the process waits for the reader at its end."""


class LineWriter:
    """Writes lines to the descriptor of ``stream`` from a thread.

    A full pipe or a stopped terminal blocks only this thread. Up to :data:`MAX_LINES` wait; more
    are dropped and counted, and a line with their number follows when the reader goes on.

    The descriptor stays blocking: its file may be shared with other processes, which non-blocking
    mode would break. A thread does not survive a fork, so a daemonized process logs to a file.

    Attributes:
        dropped: number of lines dropped.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, stream: TextIO) -> None:
        self.dropped = 0
        self.isatty = stream.isatty
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._reported = 0
        self._lines: deque[bytes] = deque()
        self._changed = Condition()
        atexit.register(self.drain)
        Thread(target=self._run, daemon=True).start()

    def write(self, line: str) -> None:
        """Queue ``line``. Characters that the stream's encoding lacks are escaped."""
        with self._changed:
            if len(self._lines) >= MAX_LINES:
                self.dropped += 1
                return
            self._lines.append(line.encode(self._encoding, "backslashreplace"))
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until all lines are written, at most for :data:`DRAIN_SECONDS`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, DRAIN_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            written = self._write(line)
            with self._changed:
                self._lines.popleft()
                if not written:
                    self.dropped += 1
                elif not self._lines and self.dropped > self._reported:
                    lines, self._reported = self.dropped - self._reported, self.dropped
                    self.log.warn(
                        "{lines} lines of the log were dropped: the reader stalled", lines=lines
                    )
                self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        """Write the line. Return whether it was written: the reader may be gone."""
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True
