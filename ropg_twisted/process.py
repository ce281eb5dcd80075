"""The daemon as a process: start, signals, system limits, clock and log destination."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, Final, NoReturn, cast

from twisted.application.service import Application, IServiceCollection, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

# The name is public, but not in __all__.
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]

from ropg_twisted.sd_notify import ServiceManager
from ropg_twisted.service import make_service
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.telemetry.audit_file import AuditFile
from ropg_twisted.telemetry.line_writer import BackgroundWriter, LineWriter
from ropg_twisted.telemetry.log import make_observer
from ropg_twisted.types import IReactor

SHUTDOWN_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

MAX_LOG_BYTES: Final = 10_000_000
"""The size at which a log file is rotated."""

MAX_LOG_FILES: Final = 10
"""The number of rotated log files that are kept."""


class DaemonService(MultiService):
    """The daemon as a child of twistd's application, with its own log observer.

    ``read``: reads the settings. ``twistd``: the options of twistd.

    Raises :exc:`SettingError` for a setting that does not work.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        read: Callable[[], Settings],
        twistd: Mapping[str, object],
        environ: Mapping[str, str],
        reactor: IReactor,
    ) -> None:
        super().__init__()
        self._read = read
        self._reactor = reactor
        settings = read()
        self._out = log_destination(twistd)
        self._observer = None if self._out is None else make_observer(self._out, settings.log)
        path = settings.audit_log
        self._audit = None if path is None else AuditFile(path, reactor)
        self._daemon = make_service(settings, reactor, self._dropped_lines, self._audit)
        self._daemon.setServiceParent(self)
        self._manager = ServiceManager(environ, self._daemon.readiness, reactor)
        self._startup = None if in_foreground(twistd) else StartupStatus()

    def setServiceParent(self, parent: IServiceCollection | Componentized) -> None:
        """Join the application and set its log observer."""
        if self._observer is not None:
            assert isinstance(parent, Componentized)
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(IServiceCollection(parent))

    def privilegedStartService(self) -> None:
        """Start to listen. Logs the cause and raises :exc:`StartError` if that fails."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # A core dump would contain passwords.
        _, max_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
        with self._reported_error():
            super().privilegedStartService()

    def startService(self) -> None:
        """Start, and install the signal handlers.

        SIGTERM and Ctrl-C end the process with exit status 0. The file of the audit log is opened
        here: twistd has dropped its privileges, so the file belongs to the daemon's user. Logs the
        cause and raises :exc:`StartError` if that fails.
        """
        if self._audit is not None:
            with self._reported_error():
                self._audit.open()
        super().startService()
        for number in SHUTDOWN_SIGNALS:
            self._reactor.callWhenRunning(signal.signal, number, self._stop)
        self._on_signal(signal.SIGHUP, self._reload)
        if isinstance(self._out, LogFile):
            self._on_signal(signal.SIGUSR1, self._out.rotate)
        self._reactor.callWhenRunning(self._manager.started)
        if self._startup is not None:
            self._startup.succeeded()

    def stopService(self) -> Deferred[None]:
        """Stop, after the checks in progress."""
        self._manager.stopping()
        stopped: Deferred[None] = super().stopService()
        return stopped

    @contextmanager
    def _reported_error(self) -> Iterator[None]:
        """Log an invalid setting, report it to the first process, and stop the start."""
        try:
            yield
        except SettingError as error:
            self.log.critical("ropg: {error}", error=str(error))
            if self._startup is not None:
                self._startup.failed(error)
            raise StartError(error.status) from None

    def _dropped_lines(self) -> int:
        writers = (self._out, self._audit)
        return sum(each.dropped for each in writers if isinstance(each, BackgroundWriter))

    def _stop(self, *_: object) -> None:
        for number in SHUTDOWN_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._reactor.callFromThread(self._reactor.stop)

    def _on_signal(self, number: int, action: Callable[[], object]) -> None:
        def receive(*_: object) -> None:
            self._reactor.callFromThread(action)

        signal.signal(number, receive)

    def _reload(self) -> None:
        """Rotate the log file, open the audit log again, and read the settings again.

        If a setting is invalid, no setting changes, and the log has its line.
        """
        self._manager.reloading()
        try:
            if isinstance(self._out, LogFile):
                self._out.rotate()
            if self._audit is not None:
                self._audit.reopen()
            self._daemon.reload(self._read())
        except SettingError as error:
            self.log.error("no setting has changed: {error}", error=str(error))
        finally:
            self._manager.ready()


class StartError(SystemExit, Exception):
    """Ends a process that could not start, with an exit status and without a traceback.

    It is an :exc:`Exception` as well, because twistd removes its pid file for those only.
    """


class StartupStatus:
    """Reports the start of a daemon in the background to the process that was started as twistd.

    twistd itself reports at most a hundred bytes of an exception, and nothing if the daemon ends in
    another way: its first process then waits forever. So the first process waits for this report
    before it waits for that of twistd; the end of the daemon ends the wait as well.
    """

    def __init__(self) -> None:
        self._first = os.getpid()
        self._reading, self._writing = os.pipe()
        os.register_at_fork(after_in_parent=self._wait)

    def succeeded(self) -> None:
        """Make the first process exit with status 0."""
        os.write(self._writing, b"0")
        os.close(self._writing)

    def failed(self, error: SettingError) -> None:
        """Make the first process print ``error`` and exit with its status, once this one ends."""
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


def make_daemon(
    options: Mapping[str, object], environ: Mapping[str, str], twistd: Mapping[str, object]
) -> DaemonService:
    """Return the service of the daemon, on the global reactor.

    Exits with one line on standard error if a setting is invalid. ``options``: those of ``twistd
    ropg``. ``twistd``: those of twistd.
    """
    from twisted.internet import reactor as global_reactor

    # Twisted declares only a part of what its reactors implement.
    reactor = cast(IReactor, global_reactor)
    use_monotonic_clock(reactor)
    try:
        return DaemonService(partial(read_settings, options, environ), twistd, environ, reactor)
    except SettingError as error:
        exit_with(error)


def make_application(environ: Mapping[str, str]) -> Componentized:
    """Return the application of ``ropg.tac``, which takes its settings from the environment."""
    twistd = ServerOptions()
    twistd.parseOptions()
    application: Componentized = Application("ropg")
    daemon = make_daemon({}, environ, twistd)
    daemon.setServiceParent(application)
    return application


def use_monotonic_clock(reactor: IReactorTime) -> None:
    """Make ``reactor`` measure time with a clock that never jumps.

    Twisted's reactors use the wall clock. If that is set, all deadlines expire at once, or hours
    late. A call that is already scheduled has a time of the wall clock, so there must not be one:
    raises :exc:`RuntimeError`.
    """
    if reactor.getDelayedCalls():
        raise RuntimeError("the clock cannot be replaced: calls are scheduled already")
    reactor.seconds = time.monotonic  # type: ignore[method-assign]  # There is no setting for it.


def exit_with(error: SettingError) -> NoReturn:
    """Print the line of an invalid setting and end the process with its exit status."""
    print(f"ropg: {error}", file=sys.stderr)
    sys.exit(error.status)


def in_foreground(twistd: Mapping[str, object]) -> bool:
    """Return whether twistd stays in the foreground."""
    return bool(twistd["nodaemon"] or twistd["debug"])


def log_destination(twistd: Mapping[str, object]) -> LogFile | LineWriter | None:
    """Return the file or stream to which twistd would log.

    ``None`` if twistd has to log by itself, to syslog or with ``--logger``, and for the combination
    that it refuses: standard output in the background.
    """
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"] or ("-" if in_foreground(twistd) else "twistd.log")
    if name == "-":
        return LineWriter(sys.stdout) if in_foreground(twistd) and sys.stdout else None
    log: LogFile = LogFile.fromFullPath(
        name, rotateLength=MAX_LOG_BYTES, maxRotatedFiles=MAX_LOG_FILES, defaultMode=0o600
    )
    return log
