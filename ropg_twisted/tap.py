"""The doors of twistd: ``twistd ropg`` and ``twistd -y ropg.tac``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, cast

from twisted.application.service import Application, IServiceCollection
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.scripts._twistd_unix import ServerOptions

from ropg_twisted.process import DaemonService, end
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE

OPTIONS: Final = [row for row in (CONFIG, *TABLE.values()) if row.option]


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


def makeService(options: Options) -> DaemonService:
    """The service of ``twistd ropg``."""
    return _daemon(options, os.environ, cast(usage.Options, options.parent))


def make_application(environ: Mapping[str, str]) -> Componentized:
    """The application of ``ropg.tac``, from the environment alone."""
    twistd = ServerOptions()
    twistd.parseOptions()
    application: Componentized = Application("ropg")
    daemon = _daemon({}, environ, twistd)
    daemon.setServiceParent(cast(IServiceCollection, application))
    return application


def _daemon(
    options: Mapping[str, Any], environ: Mapping[str, str], twistd: Mapping[str, Any]
) -> DaemonService:
    from twisted.internet import reactor

    # A wall clock that jumps must not end all deadlines at once, or put them off for hours.
    cast(Any, reactor).seconds = time.monotonic
    try:
        return DaemonService(read_settings(options, environ), twistd, reactor)
    except SettingError as error:
        end(error)
