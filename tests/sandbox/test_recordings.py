"""The sandbox against recorded exchanges with a real Authentik."""

from __future__ import annotations

import re
from typing import Any

import jwt
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.http.app import Sandbox
from tests.parametrize import parametrize
from tests.recordings import MISSING, RecordedRequest, RecordedResponse, Recording, recordings
from tests.sandbox_browser import Answer, Browser, account, cookie_claims

NOT_REPLAYED = {
    "authentik-down-and-starting": "nothing answered",
}
"""Recordings of which nothing can be replayed."""

NOT_SERVED = {
    "/flows/-/cancel/": "the sandbox has no pages for browsers",
    "/api/v3/core/authenticated_sessions/": "the sandbox has no interface for administrators",
    "/api/v3/core/users/?": "the sandbox has no interface for administrators",
}
"""Single exchanges that a replay passes over, by the beginning of their path."""

SERVICE_ACCOUNT = "username=ropg-plain-svc"
"""In the body of exchanges that are passed over: the sandbox has no service accounts."""

RECORDED_CODE = "647875"
"""The code of bob's device that was right when it was recorded."""

DYNAMIC = {
    "avatar",
    "config_url",
    "flow_info",
    "last_used",
    "pending_user_avatar",
    "request_id",
    "system_permissions",
    "token",
}
"""Fields that are never the same twice, or that the recordings have cut out."""

RANDOM = {"jti", "kid", "refresh_token", "sid", "x5t", "x5t#S256"}
"""Fields that are random texts, but always of the same length."""

TOKENS = {"access_token", "id_token"}
"""Fields that are JWTs."""

ORIGIN = re.compile(r"https?://[^/]+(?=/application/o/)")
"""Where the Authentik of the recordings was; some have had its name changed."""

HANDED_OUT = re.compile(r"(?<=[?&]code=)[0-9a-f]{32}")
"""An authorization code in a redirect."""

CUT = re.compile(r"(.)\1*… \((\d+) characters\)")
"""A long text of one letter, as the recordings shorten it."""

COMPARED_HEADERS = (
    "content-type",
    "allow",
    "vary",
    "cache-control",
    "pragma",
    "www-authenticate",
)


class Replay:
    """A recording, played against a sandbox of its own."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.clock = Clock()
        self.clock.advance(1_795_290_000)
        self.sandbox = Sandbox(self.clock)
        self.browser = Browser(self.sandbox)
        self.sids: dict[str, str] = {}
        self.mine: dict[str, str] = {}
        self.replayed = 0
        if recording.name == "reputation-deny--5-right":
            self.sandbox.reputation["rep5", "127.0.0.1"] = -5

    def differences(self) -> list[str]:
        """Play what can be played, and tell all that did not come as recorded."""
        found = []
        for number, exchange in enumerate(self.recording.exchanges):
            if exchange.response is None or self._passed_over(exchange.request, exchange.response):
                continue
            self.replayed += 1
            if self.recording.name == "garbage-cookie":
                self.browser.jar["authentik_session"] = "garbage"
            mine, theirs = self._play(exchange.request), exchange.response
            self._learn(mine, theirs)
            pairs = [
                ("status", mine.status, theirs.status),
                ("JSON", steady(mine.json), steady(theirs.json)),
                ("empty", mine.body == b"", theirs.json is None and not theirs.text),
                ("location", *(steady_locations(one) for one in (mine, theirs))),
                *((name, mine.values(name), theirs.values(name)) for name in COMPARED_HEADERS),
                *self._cookies(mine.values("set-cookie"), theirs.values("set-cookie")),
            ]
            for what, got, wanted in pairs:
                if got != wanted:
                    found.append(f"exchange {number}, {what}: {got!r}, recorded {wanted!r}")
        return found

    def _passed_over(self, request: RecordedRequest, response: RecordedResponse) -> bool:
        """Tell whether to leave an exchange out. A session deleted in it goes all the same."""
        if request.method == "DELETE" and response.status == 204:
            for row in self.sandbox.sessions.authenticated:
                self.sandbox.sessions.end(row)
        by_administrator = "Authorization" in request.headers and "/api/" in request.path
        by_service_account = SERVICE_ACCOUNT in str(request.body)
        return by_administrator or by_service_account or request.path.startswith(tuple(NOT_SERVED))

    def _learn(self, mine: Answer, theirs: RecordedResponse) -> None:
        """Remember the codes and tokens that stand for the recorded ones from now on."""
        for got, recorded in zip(mine.values("location"), theirs.values("location"), strict=False):
            codes = HANDED_OUT.findall(recorded), HANDED_OUT.findall(got)
            self.mine.update(zip(*codes, strict=False))
        if isinstance(mine.json, dict) and isinstance(theirs.json, dict):
            for name in ("access_token", "refresh_token"):
                if name in mine.json and name in theirs.json:
                    self.mine[theirs.json[name]] = mine.json[name]

    def _translate(self, text: str) -> str:
        for recorded, mine in self.mine.items():
            text = text.replace(recorded, mine)
        return text

    def _play(self, request: RecordedRequest) -> Answer:
        body = request.body
        if isinstance(body, dict) and body.get("code") == RECORDED_CODE:
            key = account("bob").totp_key
            assert key is not None
            body = {**body, "code": totp(key, self.clock.seconds())}
        if isinstance(body, dict) and (cut := CUT.fullmatch(body.get("password", ""))):
            body = {**body, "password": cut[1] * int(cut[2])}
        if isinstance(body, str):
            body = self._translate(body)
        return self.browser.ask(
            request.method,
            request.path,
            body,
            {name: self._translate(value) for name, value in request.headers.items()},
            sends_cookies=request.sends_cookie,
        )

    def _cookies(self, mine: list[str], theirs: list[str]) -> list[tuple[str, Any, Any]]:
        """Compare cookies but for dates and random values, and session ids by when they change."""
        wanted = [steady_cookie(line) for line in theirs]
        pairs: list[tuple[str, Any, Any]] = [
            ("cookies", [steady_cookie(line) for line in mine], wanted)
        ]
        for got, recorded in zip(session_ids(mine), session_ids(theirs), strict=False):
            pairs.append(("session id", got, self.sids.setdefault(recorded, got)))
        return pairs


def steady(value: Any) -> Any:
    """Return a JSON value without what changes from one time to the next."""
    if isinstance(value, dict):
        return {key: steady_field(key, inner) for key, inner in value.items() if key not in DYNAMIC}
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    return ORIGIN.sub("", value) if isinstance(value, str) else value


def steady_field(name: str, value: Any) -> Any:
    """Return the value of a field: the length of a random one, the claims of a token."""
    match name:
        case "n" | "x5c":
            # The key of the recordings is longer, and cut.
            return type(value)
        case "scope":
            # Authentik writes a set, in whatever order.
            return sorted(value.split())
        case _ if name in TOKENS:
            return steady_token(value)
        case _ if name in RANDOM:
            return len(value)
    return steady(value)


def steady_token(token: str) -> dict[str, Any]:
    """Return the header and the claims of a JWT, its times as seconds from when it was issued."""
    claims = jwt.decode(token, options={"verify_signature": False})
    issued_at = claims["iat"]
    times = {
        "iat": type(issued_at),
        "exp": claims["exp"] - issued_at,
        "auth_time": claims["auth_time"] <= issued_at,
    }
    uid = {"uid": len(claims["uid"])} if "uid" in claims else {}
    return {
        "header": steady(jwt.get_unverified_header(token)),
        **steady({**claims, **times, **uid}),
    }


def steady_locations(answer: Answer | RecordedResponse) -> list[str]:
    """Return where an answer sends the browser, without the code that it brings."""
    return [HANDED_OUT.sub("", location) for location in answer.values("location")]


def steady_cookie(line: str) -> tuple[Any, ...]:
    """Return name, attributes and claims of a cookie, without random ids and future dates."""
    pair, _, attributes = line.partition(";")
    name, _, value = pair.partition("=")
    attributes = re.sub(r"expires=(?!Thu, 01 Jan 1970)[^;]*", "expires=", attributes)
    claims = cookie_claims(value) if value.count(".") == 2 else {"empty": value == '""'}
    return name, attributes, {key: claims[key] for key in claims if key not in ("sid", "exp")}


def session_ids(lines: list[str]) -> list[str]:
    """Return the session ids in the session cookies of an answer."""
    values = [line.partition("=")[2].partition(";")[0] for line in lines]
    claims = [cookie_claims(value) for value in values if value.count(".") == 2]
    return [claim["sid"] for claim in claims if "sid" in claim]


LOGIN_EVENTS = {
    name: (name,)
    for name, recording in recordings().items()
    if recording.notes.get("login_event", "").startswith("login|")
} or {"no recordings": ("",)}


class RecordingsTests(SynchronousTestCase):
    """Every recording, exchange by exchange."""

    skip = MISSING

    def test_every_recorded_exchange_is_answered_alike(self) -> None:
        """Status, body, Location, Allow, Vary and cookies are those of a real Authentik."""
        found = []
        for name, recording in recordings().items():
            if name not in NOT_REPLAYED:
                found += [f"{name}: {line}" for line in Replay(recording).differences()]
        self.assertEqual(found, [], "\n".join(found))

    def test_only_listed_recordings_are_left_out(self) -> None:
        """Each recording is replayed at least in part, unless it is listed with a reason."""
        idle = set()
        for name, recording in recordings().items():
            replay = Replay(recording)
            replay.differences()
            if not replay.replayed:
                idle.add(name)
        self.assertEqual(idle, set(NOT_REPLAYED))

    @parametrize(LOGIN_EVENTS)
    def test_address_in_the_event(self, name: str) -> None:
        """The login event names the client as the real event log did."""
        recording = recordings()[name]
        kind, address, username = recording.notes["login_event"].split("|")[:3]
        replay = Replay(recording)
        replay.differences()
        event = replay.sandbox.events[-1]
        got = (event.kind, event.address, event.username)
        self.assertEqual(got, (kind, address, username))
        self.assertEqual(replay.sandbox.sessions.authenticated[0].address, address)

    def test_failed_logins_lower_the_reputation_as_recorded(self) -> None:
        """The score after the recorded failures is the real one."""
        scores = Replay(recordings()["wrong-password-repeat"])
        scores.differences()
        self.assertEqual(scores.sandbox.reputation["rep1", "127.0.0.1"], -5)
        scores = Replay(recordings()["unknown-user"])
        scores.differences()
        self.assertEqual(scores.sandbox.reputation["nosuchuser", "127.0.0.1"], -4)

    @parametrize(
        {
            "first GET": ("session-rows", 1, 0),
            "login": ("success-default", 0, 1),
            "cancelled logout": ("logout-cancel", 0, 1),
            "logout": ("logout-executor-get", 0, 0),
            "deleted session": ("logout-delete-csrf", 0, 0),
        }
    )
    def test_sessions(self, name: str, anonymous: int, authenticated: int) -> None:
        """A first GET leaves an anonymous row, a login turns it, an invalidation removes it."""
        replay = Replay(recordings()[name])
        replay.differences()
        left = (
            len(replay.sandbox.sessions.anonymous),
            len(replay.sandbox.sessions.authenticated),
        )
        self.assertEqual(left, (anonymous, authenticated))
