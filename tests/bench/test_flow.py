"""The fake Authentik answers as the recorded one."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.bench.flow import ACCESS, FLOW, PREFIX, REMOVAL, USER, FakeAuthentik
from tests.exchanges.files import recorded_flows
from tests.exchanges.parts import Exchange, Sent
from tests.parametrize import parametrize
from tests.recordings import MISSING, RecordedExchange, RecordedRequest, recordings

HEADERS: Final[tuple[str, ...]] = ("content-type", "location", "allow", "vary")

CUT: Final = ("flow_info", "pending_user_avatar", "avatar", "system_permissions", "uid")
"""Members of bodies that the recordings cut, or that each user has of their own."""

PATHS: Final = {path.decode() for path in (FLOW, REMOVAL, ACCESS, USER)}
RIGHT: Final = "correct horse battery staple"
"""The right password of the recordings."""


@dataclass(frozen=True)
class Seen:
    """What a client can tell from a response: cookies by name, claims and attributes."""

    status: int
    headers: dict[str, str]
    cookies: list[tuple[str, object, str]]
    body: object


class Client:
    """A client of a fake Authentik. ``cookie``: the newest session cookie."""

    def __init__(self) -> None:
        self.authentik = FakeAuthentik()
        self.cookie = b""
        self._username = ""

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Seen:
        """Send a request and return the response."""
        sent = b"" if body is None else json.dumps(body).encode()
        response, _ = self.authentik.answer(method.encode(), path.encode(), self.cookie, sent)
        head, _, content = response.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = [
            (name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)
        ]
        cookies = [value for name, value in pairs if name == "set-cookie"]
        for cookie in cookies:
            if cookie.startswith("authentik_session="):
                self.cookie = cookie.partition("=")[2].partition(";")[0].encode()
        headers = dict(pairs)
        assert int(headers["content-length"]) == len(content)
        return Seen(
            int(first.split()[1]),
            {name: headers[name] for name in HEADERS if name in headers},
            [read_cookie(cookie) for cookie in cookies],
            read_body(json.loads(content) if content else None),
        )

    def repeat(self, sent: Sent | RecordedRequest, *, cookie: bool) -> Seen:
        """Send a recorded request, with our own spelling of a right password."""
        body = sent.body
        if not cookie:
            self.cookie = b""
        if body is not None:
            self._username = body.get("uid_field", self._username)
            if body.get("password") == RIGHT:
                body = {**body, "password": PREFIX + self._username}
        return self.ask(sent.method, sent.path, body)


def read_cookie(line: str) -> tuple[str, object, str]:
    """Return the name of a cookie, the claims in it, and its attributes without dates."""
    pair, _, attributes = line.partition("; ")
    name, _, value = pair.partition("=")
    return name, read_value(value), re.sub("expires=[^;]*[1-9][^;]*20[^;]*", "expires=", attributes)


def read_value(value: str) -> object:
    """Return the claims of a JWT without what is random, the length of any other text."""
    if value.count(".") != 2:
        return len(value)
    payload = value.split(".")[1]
    return read_claims(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def read_claims(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims, without what is random; ``sub`` becomes its length."""
    random = {name: "random" for name in ("sid", "exp") if name in claims}
    return claims | random | {"sub": len(claims["sub"])}


def read_body(body: Any) -> object:
    """Return a body without what the recordings cut."""
    if isinstance(body, dict):
        return {name: read_body(value) for name, value in body.items() if name not in CUT}
    return body


def seen_by_us(exchange: Exchange) -> Seen:
    """Return what a response of our own recordings shows."""
    response = exchange.response
    cookies: list[tuple[str, object, str]] = []
    for name, content, attributes in response.cookies:
        value = read_claims(content) if isinstance(content, dict) else len(content)
        dateless = re.sub("expires=[^;]*[1-9][^;]*20[^;]*", "expires=", attributes)
        cookies.append((name, value, dateless))
    headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
    return Seen(response.status, headers, cookies, read_body(response.body))


def seen_at_authentik(exchange: RecordedExchange) -> Seen:
    """Return what a response of a real Authentik shows."""
    response = exchange.response
    assert response is not None
    return Seen(
        response.status,
        {name: value for name, value in response.headers if name in HEADERS},
        [read_cookie(cookie) for cookie in response.values("set-cookie")],
        read_body(response.json),
    )


class OwnRecordingsTests(SynchronousTestCase):
    """The recorded exchanges of our own client and sandbox."""

    maxDiff = None

    @parametrize({name: (name,) for name in ("right password", "wrong password")})
    def test_each_response_is_the_same(self, name: str) -> None:
        """Status, headers, cookies and body."""
        flow = recorded_flows()["default-authentication-flow"]
        [check] = [check for check in flow.checks if check.name == name]
        client = Client()
        for exchange in check.exchanges:
            sent = exchange.request
            seen = client.repeat(sent, cookie=sent.cookie)
            self.assertEqual(seen, seen_by_us(exchange), sent)

    def test_a_canary_is_refused_in_place(self) -> None:
        """So the daemon is ready."""
        client = Client()
        for exchange in recorded_flows()["default-authentication-flow"].canary:
            sent = exchange.request
            seen = client.repeat(sent, cookie=sent.cookie)
            self.assertEqual(seen, seen_by_us(exchange), sent)


class AuthentikRecordingsTests(SynchronousTestCase):
    """The recorded exchanges of a real Authentik."""

    skip = MISSING
    maxDiff = None

    @parametrize(
        {
            name: (name,)
            for name in (
                "success-default",
                "wrong-password-once",
                "post-without-cookies",
                "check-access-alice",
                "after-me-alice",
                "logout-executor-get",
            )
        }
    )
    def test_each_response_is_the_same(self, name: str) -> None:
        """Status, headers, cookies and body, of the requests that a server makes."""
        client = Client()
        compared = 0
        for exchange in recordings()[name].exchanges:
            sent = exchange.request
            if sent.path in PATHS:
                seen = client.repeat(sent, cookie=sent.sends_cookie)
                self.assertEqual(seen, seen_at_authentik(exchange), sent)
                compared += 1
        self.assertGreaterEqual(compared, 4)


class SessionTests(SynchronousTestCase):
    """Sessions of the fake Authentik."""

    def log_in(self) -> Client:
        client = Client()
        path = FLOW.decode()
        client.ask("GET", path)
        client.ask("POST", path, {"component": "", "uid_field": "alice"})
        client.ask("GET", path)
        client.ask("POST", path, {"component": "", "password": PREFIX + "alice"})
        client.ask("GET", path)
        client.ask("GET", path)
        return client

    def test_the_user_is_known_until_the_session_is_removed(self) -> None:
        """Then, and before a login, nobody is logged in."""
        client = self.log_in()
        self.assertEqual(client.ask("GET", USER.decode()).status, 200)
        cookie = client.cookie
        client.ask("GET", REMOVAL.decode())
        client.cookie = cookie
        self.assertEqual(client.ask("GET", USER.decode()).status, 403)
        self.assertEqual(Client().ask("GET", USER.decode()).status, 403)

    def test_requests_are_counted_by_kind(self) -> None:
        """A login is six requests of the flow."""
        client = self.log_in()
        client.ask("GET", ACCESS.decode())
        client.ask("GET", REMOVAL.decode())
        self.assertEqual(client.authentik.requests, {"flow": 6, "access": 1, "removal": 1})
        client.authentik.reset()
        self.assertEqual(client.authentik.requests, {})

    def test_requests_side_by_side_count_once(self) -> None:
        """The time of a login is that in which at least one request was answered."""
        client = self.log_in()
        login = client.authentik.logins["alice"]
        for begun, ended in ((1.0, 2.0), (1.5, 3.0), (1.6, 1.9), (5.0, 6.0)):
            login.answered(begun, ended)
        self.assertEqual(login.seconds, 3.0)
