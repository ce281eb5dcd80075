"""The doors of twistd: ``twistd ropg`` and ``twistd -y ropg.tac``."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TextIO, cast

from twisted.application.service import Application, IServiceCollection, MultiService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from twisted.scripts._twistd_unix import ServerOptions

from ropg_twisted.errors import SettingError
from ropg_twisted.service import make_service
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.watch.log import make_observer

OPTIONS: Final = [row for row in (CONFIG, *TABLE.values()) if row.option]


LOG_BYTES: Final = 10_000_000
LOG_FILES: Final = 10
"""How long a log file grows, and how many old ones are kept."""


class Options(usage.Options):
    """The options of ``twistd ropg``; each of them is an environment variable as well."""

    synopsis = "[options]"
    longdesc = (
        "Checks passwords (OAuth2 password grant) against the login flow of Authentik. "
        "All settings and their meanings: docs/settings.md."
    )
    optParameters: ClassVar = [
        [row.option, None, None, f"{row.meaning} [{row.name}]"]
        for row in OPTIONS
        if not row.repeatable
    ]

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to listen on; may be given more than once [ROPG_LISTEN]"""
        self.setdefault("listen", []).append(endpoint)


class Daemon(MultiService):
    """The daemon as the child of a twistd application, with a log of its own.

    ``out``: where the log goes; ``None`` leaves it to twistd.
    """

    def __init__(self, settings: Settings, out: TextIO | None, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._out = out
        make_service(settings, reactor).setServiceParent(self)
        self._observer = None if out is None else make_observer(out, settings.log)

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join the application, which takes its log observer from its components."""
        if self._observer is not None:
            cast(Componentized, parent).setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start, or end with one line that says why not."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # A core dump would hold passwords.
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        try:
            super().privilegedStartService()
        except SettingError as error:
            sys.exit(f"ropg: {error}")

    def startService(self) -> None:
        """Start; and let SIGTERM be the proper end that it is, with the exit status 0."""
        super().startService()
        self._reactor.callWhenRunning(signal.signal, signal.SIGTERM, self._stop)
        if isinstance(self._out, LogFile):
            for number in (signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, self._rotate_log)

    def _stop(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._reactor.callFromThread(self._reactor.stop)

    def _rotate_log(self, *_: object) -> None:
        self._reactor.callFromThread(cast(LogFile, self._out).rotate)


def makeService(options: Options) -> Daemon:
    """The service of ``twistd ropg``."""
    return _daemon(options, os.environ, _log_file(cast(usage.Options, options.parent)))


def make_application(environ: Mapping[str, str]) -> Componentized:
    """The application of ``ropg.tac``, from the environment alone."""
    twistd = ServerOptions()
    twistd.parseOptions()
    application: Componentized = Application("ropg")
    daemon = _daemon({}, environ, _log_file(twistd))
    daemon.setServiceParent(cast(IServiceCollection, application))
    return application


def _daemon(options: Mapping[str, Any], environ: Mapping[str, str], out: TextIO | None) -> Daemon:
    from twisted.internet import reactor

    # A wall clock that jumps must not end all deadlines at once, or put them off for hours.
    cast(Any, reactor).seconds = time.monotonic
    try:
        return Daemon(read_settings(options, environ), out, reactor)
    except SettingError as error:
        sys.exit(f"ropg: {error}")


def _log_file(twistd: Mapping[str, Any]) -> TextIO | None:
    """Where twistd would write its log, unless it is told to do that in its own way."""
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"] or ("-" if twistd["nodaemon"] else "twistd.log")
    if name == "-":
        return sys.stdout
    log = LogFile.fromFullPath(
        name, rotateLength=LOG_BYTES, maxRotatedFiles=LOG_FILES, defaultMode=0o600
    )
    return cast(TextIO, log)
