"""``ropg try``: one password, asked of a running daemon as a client would."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.web.client import Agent

from ropg_twisted.cli.diagnosis import Answer, explain, explain_error
from ropg_twisted.oauth.metadata import TOKEN_PATH
from ropg_twisted.oauth.scopes import DEFAULT_SCOPE
from ropg_twisted.settings import values
from ropg_twisted.settings.table import TABLE
from ropg_twisted.tls_trust import tls_policy

DEFAULT_URL: Final = "http://127.0.0.1:8580"

PATIENCE: Final = 60
"""Seconds to wait for an answer; a daemon has its own, shorter deadline."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of the daemon at ``url``."""

    url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scope: str
    username: str
    password: str = field(repr=False)


class TryOptions(usage.Options):
    """The options of ``ropg try``."""

    synopsis = "[options] USERNAME"
    longdesc = (
        "Asks a running daemon about one password, which is read from the terminal or from the "
        "first line of standard input, and tells what came of it. Exit status: 0 the password is "
        "right; 1 it is wrong; 2 refused although it may be right (second factor, a person is "
        "needed, policy); 3 nothing can be said now (Authentik or the daemon is away, too many "
        "attempts); 4 the request itself was refused (client, form, network); 64 wrong usage."
    )
    optParameters: ClassVar = [
        ["url", None, None, f"URL of the daemon. [default: $PROXY_ISSUER, else {DEFAULT_URL}]"],
        ["client-id", None, TABLE["CLIENT_ID"].default, "The OAuth2 client to be."],
        ["client-secret-file", None, None, "File that holds the secret of the client."],
        ["ca-file", None, None, "PEM certificates to trust instead of the system's."],
        ["scope", None, " ".join(DEFAULT_SCOPE), "The scope to ask for."],
    ]

    def parseArgs(self, username: str) -> None:  # type: ignore[override]
        """Take the name of the person."""
        self["username"] = username

    def postOptions(self) -> None:
        """Check the URL and read the files."""
        url = self["url"] or os.environ.get("PROXY_ISSUER") or DEFAULT_URL
        try:
            self["url"] = values.url(url).rstrip("/")
        except values.InvalidValueError as wrong:
            raise usage.UsageError(f"The URL {wrong}.") from None
        try:
            secret, ca_pem = (self._content(name) for name in ("client-secret-file", "ca-file"))
            self["client_secret"] = secret and secret.decode("utf-8").rstrip("\r\n")
            self["policy"] = tls_policy(ca_pem)
        except UnicodeDecodeError:
            raise usage.UsageError("--client-secret-file is not UTF-8.") from None
        except ValueError:
            raise usage.UsageError("--ca-file holds no PEM certificates.") from None

    async def run(self, reactor: Any) -> int:
        """Ask, say what came of it, and return the exit status."""
        password = read_password(self["username"], sys.stdin)
        if not password:
            print("ropg: no password in UTF-8 was given", file=sys.stderr)
            return os.EX_USAGE
        question = Question(
            url=self["url"],
            client_id=self["client-id"],
            client_secret=self["client_secret"],
            scope=self["scope"],
            username=self["username"],
            password=password,
        )
        client = HTTPClient(Agent(reactor, self["policy"]))
        answer = Deferred.fromCoroutine(ask(client, question))
        try:
            finding = explain(await answer.addTimeout(PATIENCE, reactor))
        except Exception as error:
            finding = explain_error(error, question.url)
        print("".join(c for c in finding.text if c.isprintable() or c == "\n"))
        return finding.exit

    def _content(self, option: str) -> bytes | None:
        try:
            return Path(self[option]).read_bytes() if self[option] else None
        except OSError as error:
            raise usage.UsageError(f"--{option} cannot be read ({error.strerror}).") from None


def read_password(username: str, stdin: TextIO) -> str | None:
    """The password that is typed, or the first line of what is not a terminal; ``None`` if none."""
    try:
        if stdin.isatty():
            return getpass(f"Password of {username}: ")
        return stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
    except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
        return None


async def ask(client: HTTPClient, question: Question) -> Answer:
    """Send one token request. Raises what the HTTP client raises if no answer comes."""
    form = {
        "grant_type": "password",
        "client_id": question.client_id,
        "client_secret": question.client_secret,
        "scope": question.scope,
        "username": question.username,
        "password": question.password,
    }
    # A redirect that is followed would carry the password to wherever it points.
    response = await client.post(
        question.url + TOKEN_PATH,
        data={name: value for name, value in form.items() if value},
        allow_redirects=False,
    )
    try:
        payload = await response.json()
    except ValueError:
        payload = None

    def header(name: str) -> str | None:
        found: str | None = response.headers.getRawHeaders(name, [None])[0]
        return found

    return Answer(
        status=response.code,
        payload=payload if isinstance(payload, dict) else {},
        request_id=header("X-Request-ID"),
        retry_after=header("Retry-After"),
        location=header("Location"),
    )
