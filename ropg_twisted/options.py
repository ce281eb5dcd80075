"""Command line options in common."""

from __future__ import annotations

import sys

from twisted.python import usage

from ropg_twisted import __version__


class CommandOptions(usage.Options):
    """The options of ``twistd ropg``, of ``ropg`` and of each of its commands."""

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"ropg-twisted {__version__}")
        sys.exit(0)
