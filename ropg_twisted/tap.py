"""The options and the service of ``twistd ropg``."""

from __future__ import annotations

import os
from typing import ClassVar, Final

from twisted.python import usage

from ropg_twisted.options import CommandOptions
from ropg_twisted.process import DaemonService, make_daemon
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.model import SigningAlgorithm
from ropg_twisted.settings.table import CONFIG, TABLE

OPTIONS: Final = [row for row in (CONFIG, *TABLE.values()) if row.option]


class Options(CommandOptions):
    """The options of ``twistd ropg``. Each can be set by an environment variable instead."""

    synopsis = "[options]"
    longdesc = (
        "Checks passwords (OAuth2 password grant) against the login flow of Authentik. "
        f"All settings: {DOCUMENTATION}settings.md"
    )
    optParameters: ClassVar = [
        [row.option, None, None, f"{row.help} [{row.name}]"]
        for row in OPTIONS
        if not row.repeatable
    ]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles(),
            "state-dir": usage.CompleteDirs(),
            "signing-alg": usage.CompleteList(list(SigningAlgorithm)),
        },
        multiUse=["listen"],
    )

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to listen on; may be given more than once [ROPG_LISTEN]"""
        self.setdefault("listen", []).append(endpoint)


def makeService(options: Options) -> DaemonService:
    """Return the service of ``twistd ropg``."""
    twistd = options.parent
    assert twistd is not None
    return make_daemon(options, os.environ, twistd)
