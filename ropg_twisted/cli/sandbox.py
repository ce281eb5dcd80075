"""``ropg sandbox``: runs the Authentik sandbox on its own, in the foreground."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogBeginner

from ropg_twisted.options import CommandOptions
from ropg_twisted.settings.values import SANDBOX_PORT
from ropg_twisted.telemetry.line_writer import LineWriter
from ropg_twisted.telemetry.log import make_observer
from ropg_twisted.types import IReactor


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port < 65536:
        raise ValueError("a port is a number from 0 to 65535")
    return port


class SandboxOptions(CommandOptions):
    """The options of ``ropg sandbox``."""

    synopsis = "[options]"
    longdesc = (
        "Serves an imitation of Authentik on 127.0.0.1 until Ctrl-C. Its front page lists its "
        "users and their public passwords, and switches its directories on and off. Never let "
        "real users log in there."
    )
    optParameters: ClassVar = [
        ["listen", None, SANDBOX_PORT, "Port on 127.0.0.1; 0 takes any free one.", _port]
    ]

    async def run(self, reactor: IReactor) -> int:
        """Serve until cancelled. Return the exit status: 1 if the port is not available."""
        # Imported here, so that the other commands do not load the sandbox.
        from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site

        log = make_observer(LineWriter(sys.stdout), "text")
        globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
        endpoint = TCP4ServerEndpoint(reactor, self["listen"], interface="127.0.0.1")
        try:
            port = await endpoint.listen(sandbox_site(Sandbox(reactor)))
        except CannotListenError as error:
            print(f"ropg: cannot listen at port {error.port}: {error.socketError}", file=sys.stderr)
            return 1
        url = f"http://127.0.0.1:{port.getHost().port}"
        print(f"The sandbox is at {url}; daemons use it with AUTHENTIK_URL={url}", flush=True)
        with suppress(CancelledError):
            await Deferred()
        return 0
