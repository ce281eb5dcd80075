"""The exact answers to the requests of the programs that this daemon is made for.

Each file in ``tests/golden`` holds a conversation with one program, with its ready-made profile:
requests as it sends them, and answers to the byte. Left out are the headers that differ each time
or with the version of Twisted. Tokens are replaced by their names, and follow decoded below their
answer, with their times as differences and without ids.

To write the files anew, after an answer was changed on purpose:
``WRITE_GOLDEN=1 python -m twisted.trial tests.api.test_golden``; then read the difference.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import jwt
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import find
from tests.memory import DISCOVERY, JWKS, InMemoryDaemon, claims
from tests.paths import TESTS

FOLDER = TESTS / "golden"
WRITES = bool(os.environ.get("WRITE_GOLDEN"))
"""Write the files instead of comparing them."""

LEFT_OUT = ("date:", "server:", "x-request-id:")
RANDOM = ("jti", "uid", "sid")
"""Claims that differ each time."""

Fields: TypeAlias = list[tuple[str, str]]

CASES = {
    "right": ("alice", None),
    "right, with every kind of character": ("erin", None),
    "wrong": ("alice", "a wrong password"),
    "second factor": ("bob", None),
    "denied": ("grace", None),
    "outage": ("alice", None),
}
"""User and password of each case, if it is not the right password."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and how it asks.

    ``table``: that of the settings file. ``fields``: of its form, in order, for a name and a
    password. ``encode``: makes the body of them. ``headers``: besides those of every request.
    ``discovers``: fetches the discovery document before each check.
    """

    name: str
    table: str
    fields: Callable[[str, str], Fields]
    encode: Callable[[Fields], str] = urlencode
    headers: tuple[str, ...] = ()
    discovers: bool = False

    def discovery(self) -> bytes:
        """The bytes that it sends for the discovery document."""
        return f"GET {DISCOVERY} HTTP/1.1\r\nHost: ropg.example.com\r\n\r\n".encode()

    def check(self, username: str, password: str) -> bytes:
        """The bytes that it sends for one check."""
        body = self.encode(self.fields(username, password)).encode()
        lines = (
            "POST /oauth/token HTTP/1.1",
            "Host: ropg.example.com",
            "Content-Type: application/x-www-form-urlencoded",
            *self.headers,
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def jamf_connect(username: str, password: str) -> Fields:
    """The form of Jamf Connect."""
    return [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
        ("scope", "openid profile email"),
        ("client_id", "jamf-connect"),
        ("redirect_uri", "https://127.0.0.1/jamfconnect"),
    ]


def xcreds(username: str, password: str) -> Fields:
    """The form of XCreds."""
    return [
        ("grant_type", "password"),
        ("scope", "openid profile email offline_access"),
        ("username", username),
        ("password", password),
        ("client_id", "xcreds"),
        ("client_secret", "the secret of XCreds"),
    ]


def xcreds_oidclite(username: str, password: str) -> Fields:
    """The form of the newest XCreds, which names itself by HTTP Basic."""
    return [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
        ("scope", "openid profile email offline_access"),
    ]


def himmelblau(username: str, password: str) -> Fields:
    """The form of Himmelblau, a public client."""
    return [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
        ("scope", "openid profile email offline_access"),
        ("client_id", "jamf-connect"),
    ]


def fleet(username: str, password: str) -> Fields:
    """The form of a server that names itself by HTTP Basic."""
    return [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
        ("scope", "openid profile email"),
    ]


def unencoded(fields: Fields) -> str:
    """Nothing is escaped, as XCreds 5.3 has it."""
    return "&".join(f"{name}={value}" for name, value in fields)


def all_but_plus(fields: Fields) -> str:
    """Everything is escaped but ``+``, as XCreds 5.4 has it."""
    return "&".join(f"{name}={quote(value, safe='+')}" for name, value in fields)


def form_encoded(fields: Fields) -> str:
    """Spaces are ``+``, and ``~`` is escaped too, as the newest XCreds has it."""
    return urlencode(fields, safe="*").replace("~", "%7E")


XCREDS = 'id = "xcreds"\nprofile = "xcreds"\nsecret = "the secret of XCreds"\n'

PROGRAMS = {
    program.name: program
    for program in (
        Program("jamf-connect", 'id = "jamf-connect"\nprofile = "jamf-connect"\n', jamf_connect),
        Program("xcreds-5.3", f'{XCREDS}body = "undecoded"\n', xcreds, unencoded, discovers=True),
        Program("xcreds-5.4", XCREDS, xcreds, all_but_plus, discovers=True),
        Program(
            "xcreds-oidclite",
            'id = "xcreds"\nprofile = "xcreds"\n',
            xcreds_oidclite,
            form_encoded,
            headers=(
                "Authorization: Basic " + b64encode(b"xcreds").decode(),
                "Accept: application/json",
            ),
            discovers=True,
        ),
        Program(
            "himmelblau",
            'id = "jamf-connect"\nprofile = "himmelblau"\nredirect_uri = '
            '"https://127.0.0.1/jamfconnect"\n',
            himmelblau,
        ),
        Program(
            "fleet",
            'id = "fleet"\nprofile = "fleet"\nsecret = "the secret of Fleet"\n',
            fleet,
            headers=("Authorization: Basic " + b64encode(b"fleet:the secret of Fleet").decode(),),
        ),
    )
}


class GoldenTests(SynchronousTestCase):
    """A test for each file."""

    maxDiff = None

    def compare(self, name: str) -> None:
        """Hold the conversation with a program against its file, or write it."""
        program = PROGRAMS[name]
        daemon = InMemoryDaemon(
            self,
            f"[[clients]]\n{program.table}",
            ROPG_APP_SLUG="jamf-connect",
            ROPG_SIGNING_ALG="RS256",
            # XCreds sends no name with its discovery, so what holds for it has to hold for all.
            ROPG_OUTAGE="abort" if program.discovers else "503",
        )
        parts = []
        for case, (username, password) in CASES.items():
            daemon.agent.failure = ConnectionRefusedError() if case == "outage" else None
            person = find(username)
            assert person is not None
            requests = [program.check(username, password or person.password)]
            if program.discovers and case in ("right", "outage"):
                requests.insert(0, program.discovery())
            for request in requests:
                asked = request.decode().removesuffix("\r\n\r\n")
                parts.append(f"### {case}\n\n{asked}\n\n{conversed(daemon, request)}")
        text = "\n".join(parts).replace("\r\n", "\n")
        path = FOLDER / f"{name}.http"
        if WRITES:
            path.write_text(text)
        self.assertEqual(text, path.read_text())

    def test_jamf_connect(self) -> None:
        """Success codes are compared, and bodies are stable."""
        self.compare("jamf-connect")

    def test_xcreds_5_3(self) -> None:
        """Forms without escapes are understood, and outages are cut connections."""
        self.compare("xcreds-5.3")

    def test_xcreds_5_4(self) -> None:
        """Plus signs are plus signs."""
        self.compare("xcreds-5.4")

    def test_xcreds_oidclite(self) -> None:
        """A public client without a colon after its name; spaces are plus signs."""
        self.compare("xcreds-oidclite")

    def test_himmelblau(self) -> None:
        """It gets an id token and a refresh token, and the text by which it knows a refusal."""
        self.compare("himmelblau")

    def test_fleet(self) -> None:
        """A confidential client behind one address."""
        self.compare("fleet")


def conversed(daemon: InMemoryDaemon, request: bytes) -> str:
    """The answer to a request, with what is not stable in it made so."""
    peer = daemon.connect()
    peer.send(request)
    if peer.transport.disconnected:
        assert peer.transport.value() == b""
        return "(The connection is cut.)\n"
    head, _, body = peer.transport.value().decode().partition("\r\n\r\n")
    lines = [line for line in head.split("\r\n") if not line.lower().startswith(LEFT_OUT)]
    tokens: list[str] = []

    def named(found: re.Match[str]) -> str:
        tokens.append(decoded(daemon, *found.groups()))
        return f'"{found[1]}":"<{found[1]}>"'

    body = re.sub(r'"(access_token|id_token|refresh_token)":"([^"]+)"', named, body)
    return "\n".join([*lines, "", body, *tokens, ""])


def decoded(daemon: InMemoryDaemon, name: str, token: str) -> str:
    """A token as a comment: its header and its claims, or how long it is if it has none."""
    if token.count(".") != 2:
        return f"# {name}: {len(token)} characters"
    ours = [key["kid"] for key in daemon.get(JWKS).json["keys"]][:1]
    header: dict[str, Any] = jwt.get_unverified_header(token)
    header["kid"] = "ours" if header["kid"] in ours else "Authentik's"
    found = claims(token)
    iat = found["iat"]
    for time in ("iat", "exp", "auth_time"):
        found[time] = f"iat + {found[time] - iat}"
    for random in RANDOM:
        if random in found:
            found[random] = f"{len(found[random])} characters"
    lines = [f"{name}: {json.dumps(header)}"]
    lines += [f"  {claim}: {json.dumps(found[claim], ensure_ascii=False)}" for claim in found]
    return "\n".join(f"# {line}" for line in lines)
