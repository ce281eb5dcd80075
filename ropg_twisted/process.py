"""The daemon as a process: its start, its signals, its limits and where its log goes."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NoReturn, cast

from twisted.application.service import IServiceCollection, MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from ropg_twisted.service import make_service
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Settings
from ropg_twisted.telemetry.line_writer import LineWriter
from ropg_twisted.telemetry.log import make_observer

LOG_BYTES: Final = 10_000_000
LOG_FILES: Final = 10
"""How long a log file grows, and how many old ones are kept."""


class DaemonService(MultiService):
    """The daemon as the child of a twistd application, with a log of its own.

    ``twistd``: the options of twistd.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, settings: Settings, twistd: Mapping[str, Any], reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._out = log_destination(twistd)
        self._observer = None if self._out is None else make_observer(self._out, settings.log)
        make_service(settings, reactor, self._dropped_lines).setServiceParent(self)
        self._launch = None if in_foreground(twistd) else StartupStatus()

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join the application, which takes its log observer from its components."""
        if self._observer is not None:
            cast(Componentized, parent).setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start to listen. Raises :exc:`StartError`, with the cause in the log, if that fails."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # A core dump would hold passwords.
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        try:
            super().privilegedStartService()
        except SettingError as error:
            self.log.critical("ropg: {error}", error=str(error))
            if self._launch is not None:
                self._launch.failed(error)
            raise StartError(error.status) from None

    def startService(self) -> None:
        """Start; and let SIGTERM be the proper end that it is, with the exit status 0."""
        super().startService()
        self._reactor.callWhenRunning(signal.signal, signal.SIGTERM, self._stop)
        match self._out:
            case LogFile():
                for number in (signal.SIGHUP, signal.SIGUSR1):
                    signal.signal(number, self._rotate_log)
            case LineWriter():
                # After Ctrl-C twistd ends by the signal itself, without what is done at an exit.
                self._reactor.addSystemEventTrigger("after", "shutdown", self._out.drain)
        if self._launch is not None:
            self._launch.succeeded()

    def _dropped_lines(self) -> int:
        return self._out.dropped if isinstance(self._out, LineWriter) else 0

    def _stop(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._reactor.callFromThread(self._reactor.stop)

    def _rotate_log(self, *_: object) -> None:
        self._reactor.callFromThread(cast(LogFile, self._out).rotate)


class StartError(SystemExit, Exception):
    """Ends a process that could not start, with an exit status and without a traceback.

    To twistd it is an error like any other, after which it removes its pid file: of a mere
    :exc:`SystemExit` it knows nothing.
    """


class StartupStatus:
    """Tells the process that was started as twistd what came of the daemon in the background.

    twistd's own word is a hundred bytes of an exception, and none at all if the daemon ends in
    another way: then its first process waits for ever. So that process waits here before it waits
    there; it is let go by the end of the daemon too.
    """

    def __init__(self) -> None:
        self._first = os.getpid()
        self._reading, self._writing = os.pipe()
        os.register_at_fork(after_in_parent=self._wait)

    def succeeded(self) -> None:
        """Let the first process end with the status 0."""
        os.write(self._writing, b"0")
        os.close(self._writing)

    def failed(self, error: SettingError) -> None:
        """Have the first process show ``error``, and end with its status, when this one is gone."""
        os.write(self._writing, f"{error.status} {error}".encode("ascii", "backslashreplace"))

    def _wait(self) -> None:
        if os.getpid() != self._first:
            return
        os.close(self._writing)
        with os.fdopen(self._reading, encoding="ascii") as reading:
            status, _, line = reading.read().partition(" ")
        if status != "0":
            line = line or "ended while it started; see its log"
            print(f"ropg: {line}", file=sys.__stderr__, flush=True)
            os._exit(int(status or os.EX_SOFTWARE))


def end(error: SettingError) -> NoReturn:
    """End the process with the line and the exit status of a setting that is wrong."""
    print(f"ropg: {error}", file=sys.stderr)
    sys.exit(error.status)


def in_foreground(twistd: Mapping[str, Any]) -> bool:
    """Whether twistd stays there."""
    return bool(twistd["nodaemon"] or twistd["debug"])


def log_destination(twistd: Mapping[str, Any]) -> LogFile | LineWriter | None:
    """Where twistd would write its log.

    ``None`` if it is told to do that in its own way, or in one that it refuses: from the background
    to standard output.
    """
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"] or ("-" if in_foreground(twistd) else "twistd.log")
    if name == "-":
        return LineWriter(sys.stdout) if in_foreground(twistd) else None
    log: LogFile = LogFile.fromFullPath(
        name, rotateLength=LOG_BYTES, maxRotatedFiles=LOG_FILES, defaultMode=0o600
    )
    return log
