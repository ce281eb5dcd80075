"""``ropg profile``: writes what a client program needs, and checks a profile of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from twisted.python import usage

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.options import CommandOptions
from ropg_twisted.provisioning.profiles import jamf_connect
from ropg_twisted.provisioning.profiles.catalogue import PROGRAMS, check_profile
from ropg_twisted.provisioning.profiles.payloads import MAX_SIZE
from ropg_twisted.provisioning.profiles.registration import (
    SECRET_PLACEHOLDER,
    ClientNotFoundError,
    Registration,
    UnwritableError,
    find_client,
)
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG
from ropg_twisted.types import IReactor

WEB_LOGINS: Final = ("authentik", "here")


class ProfileOptions(CommandOptions):
    """The options of ``ropg profile``."""

    synopsis = f"[options] {' | '.join(PROGRAMS)}"
    longdesc = (
        "Writes what a client program needs to standard output, from the settings of the daemon: a "
        "configuration profile for Jamf Connect and XCreds, a configuration file for Himmelblau, "
        "a table to copy for Iru, snippets for Dovecot and FreeRADIUS. What is left to do goes to "
        "standard error. With --check it reads a profile instead, signed or not, and says what is "
        "wrong with it. Exit status: 0 done, or nothing fails; 1 something fails; 64 invalid "
        "usage; 78 a setting is invalid."
    )
    optParameters: ClassVar = [
        ["config", None, None, f"The settings file. [default: ${CONFIG.name}]"],
        ["client", None, None, "Id of the client in the settings, if more than one fits."],
        [
            "web-login",
            None,
            None,
            "Where the web login of Jamf Connect goes: authentik or here. [default: authentik]",
        ],
        ["check", None, None, "Check this profile."],
    ]
    optFlags: ClassVar = [["show-secrets", None, "Write the secret instead of a placeholder."]]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles(),
            "check": usage.CompleteFiles(),
            "web-login": usage.CompleteList(list(WEB_LOGINS)),
        },
        extraActions=[usage.CompleteList(list(PROGRAMS), descr="client program")],
    )

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the options, which may come after the name of the program too."""
        if options and not options[0].startswith("-"):
            options = [*options[1:], options[0]]
        super().parseOptions(options)

    def parseArgs(self, program: str | None = None) -> None:
        """Store the name of the program."""
        self["program"] = program

    def postOptions(self) -> None:
        """Raise :exc:`UsageError` if the options do not fit together."""
        program, web_login = self["program"], self["web-login"]
        if self["check"]:
            if program or web_login or self["client"] or self["show-secrets"]:
                raise usage.UsageError("--check takes a file, and --config alone.")
            return
        if program not in PROGRAMS:
            raise usage.UsageError(f"The program must be one of: {', '.join(PROGRAMS)}.")
        if web_login is not None and web_login not in WEB_LOGINS:
            raise usage.UsageError("--web-login must be authentik or here.")
        if web_login is not None and program != "jamf-connect":
            raise usage.UsageError("--web-login is for jamf-connect alone.")

    async def run(self, reactor: IReactor) -> int:
        """Write the profile or the findings, and return the exit status."""
        try:
            settings = read_settings({"config": self["config"]}, os.environ)
        except SettingError as error:
            print(f"ropg: {error}", file=sys.stderr)
            return error.status
        return self._check(settings) if self["check"] else self._write(settings)

    def _check(self, settings: Settings) -> int:
        try:
            with Path(self["check"]).open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except OSError as error:
            print(f"ropg: {self['check']}: {error.strerror}", file=sys.stderr)
            return os.EX_USAGE
        findings = check_profile(data, settings)
        print("\n".join(map(str, findings)))
        return int(any(finding.state is State.FAILURE for finding in findings))

    def _write(self, settings: Settings) -> int:
        program = PROGRAMS[self["program"]]
        try:
            client = find_client(settings, self["program"], self["client"])
            registration = Registration(client, settings, shows_secret=bool(self["show-secrets"]))
            if self["web-login"] == "here":
                text = jamf_connect.profile(registration, web_login_here=True)
            else:
                text = program.profile(registration)
        except (ClientNotFoundError, UnwritableError) as error:
            print(f"ropg: {error}", file=sys.stderr)
            return os.EX_USAGE
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        print(f"ropg: This is for the client {client.id}.", file=sys.stderr)
        if SECRET_PLACEHOLDER.encode() in text:
            print(f"ropg: {_secret_note(registration)}", file=sys.stderr)
        for note in program.notes(registration):
            print(f"ropg: {note}", file=sys.stderr)
        return 0


def _secret_note(registration: Registration) -> str:
    if registration.client.secret is None:
        return f"The settings have only a hash of the secret. Put it in for {SECRET_PLACEHOLDER}."
    return f"Put the client's secret in for {SECRET_PLACEHOLDER}, or use --show-secrets."
