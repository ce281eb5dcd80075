"""The ``ropg`` command: administration commands."""

from __future__ import annotations

import os
import sys
from typing import ClassVar, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python import usage
from twisted.python.failure import Failure

from ropg_twisted.cli.blueprint import BlueprintOptions
from ropg_twisted.cli.check import CheckOptions
from ropg_twisted.cli.keys import KeysOptions
from ropg_twisted.cli.profile import ProfileOptions
from ropg_twisted.cli.sandbox import SandboxOptions
from ropg_twisted.cli.try_password import TryOptions
from ropg_twisted.cli.user_hash import UserHashOptions
from ropg_twisted.options import CommandOptions
from ropg_twisted.telemetry.log import failure_place
from ropg_twisted.types import IReactor


class Command(Protocol):
    """The options of a command, which also run it."""

    async def run(self, reactor: IReactor) -> int:
        """Run the command, and return its exit status."""


class Options(CommandOptions):
    """The table of commands.

    The options of each command are a :class:`Command`. Ctrl-C cancels it.
    """

    longdesc = "Administration commands. Start the daemon with: twistd ropg"
    subCommands: ClassVar = [
        ["try", None, TryOptions, "Test one password against a running daemon."],
        ["check", None, CheckOptions, "Find out what is wrong with the installation."],
        ["keys", None, KeysOptions, "List, add, rotate and retire signing keys."],
        ["profile", None, ProfileOptions, "Write or check the profile of a client program."],
        ["user-hash", None, UserHashOptions, "Print the hash of a user name in the log."],
        ["blueprint", None, BlueprintOptions, "Print an Authentik blueprint for the daemon."],
        ["sandbox", None, SandboxOptions, "Run the Authentik sandbox on its own."],
    ]

    @property
    def synopsis(self) -> str:
        """The first line of the help. A command appends its name and its own synopsis."""
        return "Usage: ropg" if self.subCommand else "Usage: ropg COMMAND [options]"

    def postOptions(self) -> None:
        """Raise :exc:`UsageError` if there is no command."""
        if self.subCommand is None:
            raise usage.UsageError("A command is missing.")


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its status.

    The exit status is 64 for invalid usage and 70 for a bug in this program (sysexits.h).
    """
    options = Options()
    try:
        options.parseOptions()
    except usage.UsageError as error:
        # Twisted does not declare the attribute, which is missing if there is no valid command.
        command = cast(usage.Options, getattr(options, "subOptions", options))
        print(f"{command.getSynopsis()}\nropg: {error}", file=sys.stderr)
        sys.exit(os.EX_USAGE)
    react(_run, (options.subOptions,))


def _run(reactor: IReactor, command: Command) -> Deferred[None]:
    status = Deferred.fromCoroutine(command.run(reactor))
    reactor.addSystemEventTrigger("before", "shutdown", status.cancel)
    return status.addCallbacks(sys.exit, _exit_unexpectedly)


def _exit_unexpectedly(failure: Failure) -> None:
    """Print only the kind and place of an exception: its text could contain a secret."""
    kind = type(failure.value).__qualname__
    print(f"ropg: unexpected: {kind} at {failure_place(failure)}", file=sys.stderr)
    sys.exit(os.EX_SOFTWARE)
