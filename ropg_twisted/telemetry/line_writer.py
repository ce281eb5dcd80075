"""Writers of log lines whose destination may stall."""

from __future__ import annotations

import atexit
import os
import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Condition, Thread
from typing import ClassVar, Final, TextIO

from twisted.logger import Logger

MAX_LINES: Final = 4096
"""Lines that may wait. More are dropped."""

COLLECT_SECONDS: Final = 0.05
"""Seconds that a line waits for others: to wake the thread for each costs more than to write it."""

DRAIN_SECONDS: Final = 2
"""Seconds that the process waits for the destination at its end."""


class BackgroundWriter(ABC):
    """Writes lines from a thread.

    A destination that stalls blocks only this thread. Up to :data:`MAX_LINES` wait; more are
    dropped and counted. A thread does not survive a fork: :meth:`start` comes after it.

    Attributes:
        dropped: number of lines dropped or not written.
    """

    def __init__(self, encoding: str) -> None:
        self.dropped = 0
        self._encoding = encoding
        self._reported = 0
        self._work: deque[Callable[[], bool]] = deque()
        self._changed = Condition()
        self._draining = False

    def start(self) -> None:
        """Start to write. The lines that wait at the end of the process are still written."""
        atexit.register(self.drain)
        Thread(target=self._run, daemon=True).start()

    def write(self, line: str) -> None:
        """Queue ``line``. Characters that the encoding lacks are escaped."""
        with self._changed:
            if len(self._work) >= MAX_LINES:
                self.dropped += 1
                return
            self._queue(partial(self._write, line.encode(self._encoding, "backslashreplace")))

    def drain(self) -> None:
        """Wait until all lines are written, at most for :data:`DRAIN_SECONDS`."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._work, DRAIN_SECONDS)
            self._draining = False

    @abstractmethod
    def _write(self, line: bytes) -> bool:
        """Write ``line``, in the thread. Return whether it was written."""

    @abstractmethod
    def _log_dropped(self, lines: int) -> None:
        """Log, in the thread, that so many lines were dropped before all others were written."""

    def _queue(self, work: Callable[[], bool]) -> None:
        """Let the thread do ``work`` after what waits. It returns false if it has lost a line."""
        with self._changed:
            self._work.append(work)
            if len(self._work) == 1:
                self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work)
                self._changed.wait_for(lambda: self._draining, COLLECT_SECONDS)
            while self._work:
                self._do(self._work[0])
            with self._changed:
                self._changed.notify_all()

    def _do(self, work: Callable[[], bool]) -> None:
        done = work()
        with self._changed:
            self._work.popleft()
            if not done:
                self.dropped += 1
            elif not self._work and self.dropped > self._reported:
                lines, self._reported = self.dropped - self._reported, self.dropped
                self._log_dropped(lines)


class LineWriter(BackgroundWriter):
    """Writes lines to the descriptor of ``stream``, whose reader may stall.

    When it goes on after lines were dropped, a line with their number follows.

    The descriptor stays blocking: its file may be shared with other processes, which non-blocking
    mode would break. A daemonized process logs to a file instead.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.encoding)
        self.isatty = stream.isatty
        self._descriptor = stream.fileno()
        self.start()

    def _write(self, line: bytes) -> bool:
        """Write the line. Return whether it was written: the reader may be gone."""
        try:
            while line:
                line = line[write_some(self._descriptor, line) :]
        except OSError:
            return False
        return True

    def _log_dropped(self, lines: int) -> None:
        self.log.warn("{lines} lines of the log were dropped: the reader stalled", lines=lines)


def write_some(descriptor: int, data: bytes) -> int:
    """Write a part of ``data``, wait for that if necessary, and return its length."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            select.select([], [descriptor], [])
