"""The fake Authentik without I/O: its default login flow, its API and its sessions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from enum import IntEnum
from hashlib import sha256
from secrets import token_hex
from typing import Final

from tests.bench import wire

FLOW: Final = b"/api/v3/flows/executor/default-authentication-flow/?query="
REMOVAL: Final = b"/api/v3/flows/executor/default-invalidation-flow/?query="
ACCESS: Final = b"/api/v3/core/applications/jamf-connect/check_access/"
USER: Final = b"/api/v3/core/users/me/"
METADATA: Final = b"/application/o/jamf-connect/"

KINDS: Final = {FLOW: "flow", REMOVAL: "removal", ACCESS: "access", USER: "user"}
"""The kinds of requests that are counted, by their paths. Every other one is ``other``."""

PREFIX: Final = "right-"
"""The right password of a user is this prefix and the user name."""

_FLOW_INFO: Final = {
    "title": "Welcome to authentik!",
    "background": "/static/dist/assets/images/flow_background.jpg",
    "cancel_url": "/flows/-/cancel/",
    "layout": "stacked",
}
_AVATAR: Final = "data:image/svg+xml;base64," + "A" * 800
"""Initials as a picture, which Authentik makes by default."""


def _identification(errors: Mapping[str, object]) -> bytes:
    challenge = {
        "flow_info": _FLOW_INFO,
        "component": "ak-stage-identification",
        **errors,
        "user_fields": ["email", "username"],
        "pending_user_identifier": None,
        "password_fields": False,
        "allow_show_password": False,
        "flow_designation": "authentication",
        "captcha_stage": None,
        "primary_action": "Log in",
        "sources": [],
        "show_source_labels": False,
        "enable_remember_me": False,
        "passkey_challenge": None,
    }
    return wire.encode(challenge)


_IDENTIFICATION: Final = _identification({})
_LOST: Final = _identification(
    {
        "response_errors": {
            "non_field_errors": [{"string": "No identification data provided.", "code": "invalid"}]
        }
    }
)
"""The response to the password of a session that is not known, such as after a reset."""

_ERRORS: Final = {"password": [{"string": "Invalid password", "code": "invalid"}]}
_END: Final = wire.encode({"component": "xak-flow-redirect", "to": "/"})
_PASSING: Final = wire.response(
    200, wire.encode({"passing": True, "messages": [], "log_messages": []}), allow=wire.READ
)
_FORBIDDEN: Final = wire.response(
    403,
    wire.encode({"detail": "Authentication credentials were not provided."}),
    allow=wire.READ,
)
_METADATA: Final[dict[bytes, dict[str, object]]] = {
    METADATA + b".well-known/openid-configuration": {"issuer": "http://127.0.0.1/"},
    METADATA + b"jwks/": {"keys": [{"kty": "RSA", "kid": "bench"}]},
}


class Stage(IntEnum):
    """The stage that a session is at."""

    IDENTIFICATION = 0
    PASSWORD = 1
    AUTHENTICATOR = 2
    """Nobody has a device, so it is passed with a redirect."""
    USER_LOGIN = 3
    ENDED = 4


class Session:
    """A session, before and after the login. ``seconds``: how long its login has been answered."""

    __slots__ = ("busy_until", "cookie", "seconds", "stage", "sub", "token", "username")

    def __init__(self) -> None:
        self.stage = Stage.IDENTIFICATION
        self.username = ""
        self.sub: str | None = None
        self.seconds = 0.0
        self.busy_until = 0.0
        self.renew()

    def renew(self) -> None:
        """Get a new id, as at the end of a login."""
        self.token = wire.session_token(token_hex(16), self.sub)
        self.cookie = wire.session_cookie(self.token)

    def answered(self, begun: float, ended: float) -> None:
        """Count the time of a request. Requests side by side count once."""
        self.seconds += max(0.0, ended - max(begun, self.busy_until))
        self.busy_until = max(self.busy_until, ended)


class FakeAuthentik:
    """Answers requests as the recorded Authentik does.

    Attributes:
        requests: counts by kind.
        logins: the sessions by the name that was sent.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.logins: dict[str, Session] = {}
        self._sessions: dict[bytes, Session] = {}

    def reset(self) -> None:
        """Forget all counts and sessions."""
        self.requests.clear()
        self.logins.clear()
        self._sessions.clear()

    def answer(
        self, method: bytes, path: bytes, cookie: bytes, body: bytes
    ) -> tuple[bytes, Session]:
        """Return the response to a request, and its session.

        ``cookie``: the value of the session cookie, empty without one.
        """
        self.requests[KINDS.get(path, "other")] += 1
        session = self._sessions.get(cookie)
        if path == FLOW:
            if session is None:
                session = Session()
                self._sessions[session.token] = session
            if method == b"POST":
                return self._post(session, json.loads(body)), session
            return self._get(session), session
        if session is None:
            session = Session()
        if path == REMOVAL:
            self._sessions.pop(cookie, None)
            return wire.response(200, _END, cookies=[wire.REMOVED_COOKIE]), session
        if path == ACCESS:
            return _PASSING, session
        if path == USER:
            return _user(session), session
        if path in _METADATA:
            return wire.response(200, wire.encode(_METADATA[path]), allow=None), session
        return wire.response(404, content_type=wire.HTML, allow=None), session

    def _get(self, session: Session) -> bytes:
        match session.stage:
            case Stage.IDENTIFICATION:
                return wire.response(200, _IDENTIFICATION, cookies=[session.cookie])
            case Stage.PASSWORD:
                return _password(session, {})
            case Stage.AUTHENTICATOR:
                session.stage = Stage.USER_LOGIN
                return _redirect(session)
            case Stage.USER_LOGIN:
                return self._log_in(session)
            case Stage.ENDED:
                return wire.response(200, _END, cookies=[session.cookie])

    def _post(self, session: Session, sent: dict[str, str]) -> bytes:
        if session.stage is Stage.IDENTIFICATION:
            if "uid_field" not in sent:
                return wire.response(200, _LOST, cookies=[session.cookie])
            session.username = sent["uid_field"]
            session.stage = Stage.PASSWORD
            self.logins[session.username] = session
            return _redirect(session)
        if session.stage is Stage.PASSWORD:
            if sent["password"] != PREFIX + session.username:
                return _password(session, {"response_errors": _ERRORS})
            session.stage = Stage.AUTHENTICATOR
            return _redirect(session)
        return self._get(session)

    def _log_in(self, session: Session) -> bytes:
        del self._sessions[session.token]
        session.stage = Stage.ENDED
        session.sub = sha256(session.username.encode()).hexdigest()
        session.renew()
        self._sessions[session.token] = session
        cookies = wire.login_cookies(session.sub, session.token)
        return wire.response(200, _END, vary=wire.COOKIE_FIRST, cookies=cookies)


def _redirect(session: Session) -> bytes:
    return wire.response(302, content_type=wire.HTML, location=FLOW, cookies=[session.cookie])


def _password(session: Session, errors: dict[str, object]) -> bytes:
    challenge = {
        "flow_info": _FLOW_INFO,
        **errors,
        "component": "ak-stage-password",
        "allow_show_password": False,
        "pending_user": session.username,
        "pending_user_avatar": _AVATAR,
    }
    return wire.response(200, wire.encode(challenge), cookies=[session.cookie])


def _user(session: Session) -> bytes:
    if session.sub is None:
        return _FORBIDDEN
    user = {
        "pk": 5,
        "username": session.username,
        "name": f"{session.username.capitalize()} Example",
        "is_active": True,
        "is_superuser": False,
        "groups": [{"name": "mac-admins", "pk": "0ed238fa-f3cd-4286-aeff-1add6d6283ed"}],
        "roles": [],
        "email": f"{session.username}@example.com",
        "avatar": _AVATAR,
        "uid": session.sub,
        "settings": {},
        "type": "internal",
        "system_permissions": [],
    }
    body = wire.encode({"user": user})
    return wire.response(200, body, allow=wire.READ, cookies=[session.cookie])
