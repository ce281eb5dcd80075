"""``ropg user-hash``: the hash that the log has in place of a user name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from ropg_twisted.options import CommandOptions
from ropg_twisted.telemetry.user_hash import KEY_FILE, UserHash, read_key
from ropg_twisted.types import IReactor


class UserHashOptions(CommandOptions):
    """The options of ``ropg user-hash``."""

    synopsis = "[options] USERNAME"
    longdesc = (
        "Prints the hash that the log of the daemon has in place of a user name with "
        "ROPG_LOG_USERS=hashed. All spellings of a name have the same hash. "
        "Exit status: 0 done, 1 there is no key."
    )
    optParameters: ClassVar = [
        ["state-dir", None, None, "Directory of the key. [default: $ROPG_STATE_DIR, else state]"],
    ]

    def parseArgs(self, username: str) -> None:  # type: ignore[override]  # Twisted has *args.
        """Store the user name. The daemon removes spaces around it as well."""
        self["username"] = username.strip()
        if not self["username"]:
            raise usage.UsageError("The user name is empty.")

    async def run(self, reactor: IReactor) -> int:
        """Print the hash, and return the exit status."""
        path = Path(self["state-dir"] or os.environ.get("ROPG_STATE_DIR") or "state", KEY_FILE)
        try:
            user_hash = UserHash(read_key(path))
        except OSError as error:
            print(f"ropg: {path}: {error.strerror}", file=sys.stderr)
            return 1
        except ValueError:
            print(f"ropg: {path}: not a key for user names", file=sys.stderr)
            return 1
        print(user_hash(self["username"]))
        return 0
