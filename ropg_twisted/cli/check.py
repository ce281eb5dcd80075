"""``ropg check``: says what is wrong with an installation."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import ClassVar, Final

from twisted.python import usage

from ropg_twisted.cli.try_password import read_password
from ropg_twisted.diagnostics.configuration import check_settings
from ropg_twisted.diagnostics.examination import examine
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.user import UserPassword
from ropg_twisted.options import CommandOptions
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.types import IReactor

SETTINGS_HELP: Final = f"{DOCUMENTATION}settings.md#invalid-settings"


class CheckOptions(CommandOptions):
    """The options of ``ropg check``."""

    synopsis = "[options]"
    longdesc = (
        "Looks at the settings, this host, Authentik and the running daemon, and prints one line "
        "for each finding, which begins with ok, warning or failure and says what to do. With "
        "--user it also checks a password, which is read from the terminal, or from the first "
        "line of standard input. It changes no setting and no file. In Authentik it leaves the "
        "failed login of a user who does not exist, which counts for the reputation of this "
        "machine, and sessions without a login, which expire. Exit status: 0 nothing fails, 1 "
        "something fails; 64 invalid usage."
    )
    optParameters: ClassVar = [
        ["config", None, None, "The TOML file of settings. [default: $ROPG_CONFIG]"],
        ["user", None, None, "Check the password of this user."],
        ["client", None, None, "Look at this client only, and check the password for it."],
    ]
    optFlags: ClassVar = [
        ["settings", None, "Look at the settings alone."],
        ["json", None, "Print one JSON object."],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles()})

    def postOptions(self) -> None:
        """Raise :exc:`UsageError` for options that exclude each other."""
        if self["settings"] and self["user"]:
            raise usage.UsageError("--settings looks at no user.")

    async def run(self, reactor: IReactor) -> int:
        """Print the findings, and return the exit status."""
        user = None
        if self["user"]:
            password = read_password(self["user"], sys.stdin)
            if not password:
                print("ropg: no password in UTF-8 was given", file=sys.stderr)
                return os.EX_USAGE
            user = UserPassword(self["user"], password)
        found = []
        async for finding in self._findings(user, reactor):
            found.append(finding)
            if not self["json"]:
                print(finding, flush=True)
        if self["json"]:
            print(json.dumps({"checks": [_as_json(each) for each in found]}, indent=1))
        return int(any(finding.state is State.FAILURE for finding in found))

    async def _findings(
        self, user: UserPassword | None, reactor: IReactor
    ) -> AsyncIterator[Finding]:
        try:
            settings = read_settings({"config": self["config"]}, os.environ)
            installation = Installation.of(settings, self["client"], reactor, time.time)
        except SettingError as error:
            yield Finding("settings", State.FAILURE, f"{error}.", SETTINGS_HELP)
            return
        if not installation.clients:
            yield _unknown_client(self["client"], settings)
            return
        for finding in check_settings(settings, installation.clients, reactor):
            yield finding
        if not self["settings"]:
            async for finding in examine(installation, user):
                yield finding


def _unknown_client(client_id: str, settings: Settings) -> Finding:
    known = ", ".join(client.id for client in settings.clients)
    text = f"There is no client {client_id} in the settings, only {known}."
    return Finding("settings", State.FAILURE, text, f"{DOCUMENTATION}settings.md#clients")


def _as_json(finding: Finding) -> dict[str, str | None]:
    return {
        "name": finding.name,
        "state": finding.state.value,
        "message": finding.message,
        "help": finding.help,
    }
