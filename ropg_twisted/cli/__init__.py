"""The ``ropg`` command: what an administrator does around the daemon."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python import usage
from twisted.python.failure import Failure

from ropg_twisted import __version__
from ropg_twisted.cli.keys import KeysOptions
from ropg_twisted.cli.sandbox import SandboxOptions
from ropg_twisted.cli.try_password import TryOptions
from ropg_twisted.telemetry.log import failure_place


class Options(usage.Options):
    """The table of commands.

    The options of each have ``async def run(self, reactor) -> int``, which does the work and
    returns the exit status. Ctrl-C cancels it.
    """

    longdesc = "What an administrator does around the daemon, which itself is: twistd ropg"
    subCommands: ClassVar = [
        ["try", None, TryOptions, "Ask a running daemon about one password."],
        ["keys", None, KeysOptions, "Show, add, rotate and retire signing keys."],
        ["sandbox", None, SandboxOptions, "Run the stand-in for Authentik alone."],
    ]

    @property
    def synopsis(self) -> str:
        """The first line of the help; that of a command goes on with its name."""
        return "Usage: ropg" if self.subCommand else "Usage: ropg COMMAND [options]"

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"ropg-twisted {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Insist on a command."""
        if self.subCommand is None:
            raise usage.UsageError("A command is missing.")


def main() -> None:
    """Run the command of ``sys.argv``; ends the process with its exit status.

    That is 64 for wrong usage and 70 for a mistake in this program (sysexits.h).
    """
    options = Options()
    try:
        options.parseOptions()
    except usage.UsageError as error:
        wrong = cast(usage.Options, getattr(options, "subOptions", options))
        print(f"{wrong.getSynopsis()}\nropg: {error}", file=sys.stderr)
        sys.exit(os.EX_USAGE)
    react(_run, (options.subOptions,))


def _run(reactor: Any, command: Any) -> Deferred[None]:
    status = Deferred.fromCoroutine(command.run(reactor))
    reactor.addSystemEventTrigger("before", "shutdown", status.cancel)
    return status.addCallbacks(sys.exit, _unforeseen)


def _unforeseen(failure: Failure) -> None:
    """Tell kind and place only: the text of an exception may hold anything."""
    kind = type(failure.value).__qualname__
    print(f"ropg: unexpected: {kind} at {failure_place(failure)}", file=sys.stderr)
    sys.exit(os.EX_SOFTWARE)
