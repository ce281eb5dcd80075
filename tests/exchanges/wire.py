"""Requests and responses on their way between client and sandbox, without what is random."""

from __future__ import annotations

import json
import re
from typing import Any

import jwt
from twisted.web.server import Request

from ropg_twisted.authentik.canary import PREFIX
from ropg_twisted.sandbox.http.app import Sandbox
from tests.exchanges.parts import Received, Sent
from tests.sandbox_browser import Answer, Browser

SESSION = b"authentik_session"

SENT_HEADERS = (
    "accept",
    "content-type",
    "x-forwarded-for",
    "x-authentik-remote-ip",
    "x-authentik-outpost-token",
)
RECEIVED_HEADERS = ("content-type", "location", "allow", "vary", "retry-after")
"""The headers that are recorded: those that the other side reads."""

_CANARY = re.compile(f"{PREFIX}[a-z]+")
_RANDOM = (
    (_CANARY, f"{PREFIX}{'a' * 16}"),
    (re.compile('(?<="request_id":")[0-9a-f]{32}(?=")'), "0" * 32),
    (re.compile('(?<="token":")[0-9a-z]{32}(?=")'), "a" * 32),
    (re.compile("(?<=[?]secret=)[A-Z2-7]{32}(?=&)"), "A" * 32),
)
"""Patterns of values that differ each time, and their replacements."""

_KEY = b"the client does not check this signature"


class SandboxLine:
    """Asks a sandbox as a client does; a request without the cookie begins a new jar."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._browser = Browser(sandbox)

    def ask(self, sent: Sent) -> Answer:
        """Send a request and return the answer as it came."""
        if not sent.cookie:
            self._browser = Browser(self._sandbox)
        return self._browser.ask(sent.method, sent.path, sent.body, sent.headers)


class Normalizer:
    """Takes out what is random. Session ids are numbered as they appear."""

    def __init__(self) -> None:
        self._sessions: dict[str, str] = {}

    def received(self, answer: Answer) -> Received:
        """Return an answer of the sandbox in the form of the files."""
        headers = {name: value for name, value in answer.headers if name in RECEIVED_HEADERS}
        text = steady(answer.body.decode())
        body = json.loads(text) if answer.json is not None else text or None
        return Received(
            answer.status,
            headers,
            [self._cookie(line) for line in answer.values("set-cookie")],
            body,
        )

    def _cookie(self, line: str) -> list[Any]:
        pair, _, attributes = line.partition("; ")
        name, _, value = pair.partition("=")
        return [name, self._content(value), attributes]

    def _content(self, value: str) -> Any:
        if value.count(".") == 2:
            claims: dict[str, Any] = jwt.decode(value, options={"verify_signature": False})
            if "sid" in claims:
                number = f"session {len(self._sessions) + 1}"
                claims["sid"] = self._sessions.setdefault(claims["sid"], number)
            return claims
        return value if value == '""' else "a" * len(value)


def steady(text: str) -> str:
    """Return the text of a body without what is random in it."""
    for pattern, replacement in _RANDOM:
        text = pattern.sub(replacement, text)
    return text


def read_request(request: Request, password: str | None) -> Sent:
    """Return a request of the client in the form of the files.

    ``password``: the one that was typed. Any other one is that of a canary, which is random.
    """
    assert request.content is not None
    text = steady(request.content.read().decode())
    body = json.loads(text) if text else None
    if body is not None and "password" in body and body["password"] != password:
        body["password"] = "random"
    headers = {name: request.getHeader(name) for name in SENT_HEADERS}
    return Sent(
        method=request.method.decode(),
        path=request.uri.decode(),
        headers={name: value for name, value in headers.items() if value is not None},
        cookie=request.getCookie(SESSION) is not None,
        body=body,
    )


def respond(request: Request, received: Received) -> bytes:
    """Answer the client with a response from a file."""
    cookies = [f"{name}={_value(content)}; {more}" for name, content, more in received.cookies]
    return _send(request, received.status, [*received.headers.items()], cookies, received.content)


def pass_on(request: Request, answer: Answer) -> bytes:
    """Answer the client as the sandbox did."""
    headers = [(n, v) for n, v in answer.headers if n in RECEIVED_HEADERS]
    return _send(request, answer.status, headers, answer.values("set-cookie"), answer.body)


def _send(
    request: Request, status: int, headers: list[tuple[str, str]], cookies: list[str], body: bytes
) -> bytes:
    request.setResponseCode(status)
    for name, value in [*headers, *(("set-cookie", line) for line in cookies)]:
        request.responseHeaders.addRawHeader(name.encode(), value.encode())
    return body


def _value(content: Any) -> str:
    return jwt.encode(content, _KEY) if isinstance(content, dict) else str(content)
