"""Lines of the log on their way to whoever reads standard output, who may stall."""

from __future__ import annotations

import atexit
import os
import select
from collections import deque
from threading import Condition, Thread
from typing import ClassVar, Final, TextIO

from twisted.logger import Logger

MAX_LINES: Final = 4096
"""Lines that wait for a reader; one more is dropped."""

DRAIN_SECONDS: Final = 2
"""How long the end of the process waits for a reader."""


class LineWriter:
    """Writes lines to the descriptor of ``stream``, from a thread of its own.

    A pipe that nobody empties, or a terminal that is stopped, holds up that thread alone: lines
    wait, up to :data:`MAX_LINES`, then they are dropped and counted, and a line says so when the
    others have been read. The descriptor itself stays as it is: what it is open on may be shared
    with other processes, which a change to non-blocking would break. No thread outlives a fork: a
    process that goes to the background has a file instead.

    ``dropped``: how many lines have been.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, stream: TextIO) -> None:
        self.dropped = 0
        self.isatty = stream.isatty
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._said = 0
        self._lines: deque[bytes] = deque()
        self._changed = Condition()
        atexit.register(self.drain)
        Thread(target=self._run, daemon=True).start()

    def write(self, line: str) -> None:
        """Write ``line`` soon. What the stream's encoding does not have is escaped."""
        with self._changed:
            if len(self._lines) >= MAX_LINES:
                self.dropped += 1
                return
            self._lines.append(line.encode(self._encoding, "backslashreplace"))
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until all lines are written, for :data:`DRAIN_SECONDS` at most."""
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
                elif not self._lines and self.dropped > self._said:
                    lines, self._said = self.dropped - self._said, self.dropped
                    self.log.warn("{lines} lines of the log were dropped: nobody read", lines=lines)
                self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        """Whether the line could be written: nobody may be there to read it any more."""
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True
