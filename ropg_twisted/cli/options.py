"""The options that all commands have in common."""

from __future__ import annotations

import sys
from typing import Protocol

from twisted.python import usage

from ropg_twisted import __version__
from ropg_twisted.types import IReactor


class Command(Protocol):
    """The options of a command, which also run it."""

    async def run(self, reactor: IReactor) -> int:
        """Run the command, and return its exit status."""


class CommandOptions(usage.Options):
    """The options of ``ropg`` and of each of its commands."""

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"ropg-twisted {__version__}")
        sys.exit(0)
