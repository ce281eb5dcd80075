"""``ropg try``: tests one password against a running daemon, as a client would."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import ClassVar, Final, TextIO

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.web.client import Agent

from ropg_twisted.cli.diagnosis import (
    DaemonResponse,
    advice,
    diagnose,
    diagnose_error,
    readiness_reason,
)
from ropg_twisted.oauth.metadata import TOKEN_PATH
from ropg_twisted.oauth.scopes import DEFAULT_SCOPE
from ropg_twisted.options import CommandOptions
from ropg_twisted.remedies import REMEDIES
from ropg_twisted.settings import values
from ropg_twisted.settings.errors import InvalidValueError
from ropg_twisted.settings.model import PASSWORD_GRANT
from ropg_twisted.settings.table import TABLE
from ropg_twisted.tls_trust import tls_policy
from ropg_twisted.types import IReactor
from ropg_twisted.verdict import Reason

DEFAULT_URL: Final = "http://127.0.0.1:8580"

TIMEOUT: Final = 60
"""Seconds to wait for a response. The deadline of the daemon is normally shorter."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """A password to check, with the client to check it as. ``url``: the base URL of the daemon."""

    url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scope: str
    username: str
    password: str = field(repr=False)


class TryOptions(CommandOptions):
    """The options of ``ropg try``."""

    synopsis = "[options] USERNAME"
    longdesc = (
        "Tests one password against a running daemon and explains the result. The password is "
        "read from the terminal, or from the first line of standard input. Exit status: 0 the "
        "password is right; 1 it is wrong; 2 refused, but it may be right (second factor, user "
        "interaction, policy); 3 unknown (Authentik or the daemon is not available, or too many "
        "attempts); 4 the request itself was refused (client, form, network); 64 invalid usage."
    )
    optParameters: ClassVar = [
        ["url", None, None, f"URL of the daemon. [default: $PROXY_ISSUER, else {DEFAULT_URL}]"],
        ["client-id", None, TABLE["CLIENT_ID"].default, "The client_id to send."],
        ["client-secret-file", None, None, "File that contains the secret of the client."],
        ["ca-file", None, None, "PEM certificates to trust instead of the system's."],
        ["scope", None, " ".join(DEFAULT_SCOPE), "The scope to request."],
    ]
    compData = usage.Completions(
        optActions={
            "client-secret-file": usage.CompleteFiles(),
            "ca-file": usage.CompleteFiles(),
        }
    )

    def parseArgs(self, username: str) -> None:  # type: ignore[override]  # Twisted has *args.
        """Store the user name."""
        self["username"] = username

    def postOptions(self) -> None:
        """Check the URL and read the files. Raises :exc:`UsageError` if one of them is invalid."""
        url = self["url"] or os.environ.get("PROXY_ISSUER") or DEFAULT_URL
        try:
            self["url"] = values.url(url).rstrip("/")
        except InvalidValueError as problem:
            raise usage.UsageError(f"The URL {problem}.") from None
        try:
            secret, ca_pem = (self._content(name) for name in ("client-secret-file", "ca-file"))
            self["client_secret"] = secret and secret.decode("utf-8").rstrip("\r\n")
            self["policy"] = tls_policy(ca_pem)
        except UnicodeDecodeError:
            raise usage.UsageError("--client-secret-file is not UTF-8.") from None
        except ValueError:
            raise usage.UsageError("--ca-file contains no PEM certificates.") from None

    async def run(self, reactor: IReactor) -> int:
        """Send the request, print the diagnosis, and return the exit status."""
        password = read_password(self["username"], sys.stdin)
        if not password:
            print("ropg: no password in UTF-8 was given", file=sys.stderr)
            return os.EX_USAGE
        check = PasswordCheck(
            url=self["url"],
            client_id=self["client-id"],
            client_secret=self["client_secret"],
            scope=self["scope"],
            username=self["username"],
            password=password,
        )
        client = HTTPClient(Agent(reactor, self["policy"]))
        response = Deferred.fromCoroutine(request_token(client, check))
        try:
            diagnosis = diagnose(await response.addTimeout(TIMEOUT, reactor))
        except Exception as error:
            diagnosis = diagnose_error(error, check.url)
        print("".join(c for c in diagnosis.text if c.isprintable() or c == "\n"))
        reason = diagnosis.reason
        if diagnosis.outage:
            reason = await request_reason(client, check.url, reactor)
            if reason is not None:
                print(f"The daemon says {reason.value}: {REMEDIES[reason].summary}")
        if reason is not None:
            print(advice(reason))
        return diagnosis.exit

    def _content(self, option: str) -> bytes | None:
        try:
            return Path(self[option]).read_bytes() if self[option] else None
        except OSError as error:
            raise usage.UsageError(f"--{option} cannot be read ({error.strerror}).") from None


def read_password(username: str, stdin: TextIO) -> str | None:
    """Return the password from a terminal, or the first line of another input; ``None`` if none."""
    try:
        if stdin.isatty():
            return getpass(f"Password of {username}: ")
        return stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
    except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
        return None


async def request_token(client: HTTPClient, check: PasswordCheck) -> DaemonResponse:
    """Send a token request. Raises any exception of the HTTP client if there is no response."""
    form = {
        "grant_type": PASSWORD_GRANT,
        "client_id": check.client_id,
        "client_secret": check.client_secret,
        "scope": check.scope,
        "username": check.username,
        "password": check.password,
    }
    # Following a redirect would send the password to another place.
    response = await client.post(
        check.url + TOKEN_PATH,
        data={name: value for name, value in form.items() if value},
        allow_redirects=False,
    )
    try:
        payload = await response.json()
    except ValueError:
        payload = None

    def header(name: str) -> str | None:
        value: str | None = response.headers.getRawHeaders(name, [None])[0]
        return value

    return DaemonResponse(
        status=response.code,
        payload=payload if isinstance(payload, dict) else {},
        request_id=header("X-Request-ID"),
        retry_after=header("Retry-After"),
        location=header("Location"),
    )


async def request_reason(client: HTTPClient, url: str, reactor: IReactor) -> Reason | None:
    """Ask ``/ready`` at the base URL of the daemon for the reason of an outage, if it tells one."""

    async def payload() -> object:
        return await (await client.get(f"{url}/ready", allow_redirects=False)).json()

    try:
        answer = await Deferred.fromCoroutine(payload()).addTimeout(TIMEOUT, reactor)
    except Exception:
        return None
    return readiness_reason(answer) if isinstance(answer, dict) else None
