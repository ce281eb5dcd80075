"""The cookies that Authentik sets: of the session, of the device, against CSRF."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from twisted.web.http import datetimeToString
from twisted.web.iweb import IRequest

from ropg_twisted.sandbox.flow.requests import FlowResponse
from ropg_twisted.sandbox.flow.sessions import Session, Sessions
from ropg_twisted.sandbox.http.wire import ClientInfo

_DEVICE_AGE = 30 * 24 * 60 * 60
_CSRF_AGE = 52 * 7 * 24 * 60 * 60


def set_cookies(request: IRequest, cookies: Iterable[str]) -> None:
    """Add ``Set-Cookie`` lines in order."""
    for cookie in cookies:
        request.responseHeaders.addRawHeader(b"set-cookie", cookie.encode())


def session_cookie(
    client: ClientInfo, sessions: Sessions, row: Session, *, disowned: bool = False
) -> str:
    """Return the line of the session's cookie: with its end if that is fixed.

    ``disowned``: it says that nobody is logged in.
    """
    expires = max_age = ""
    if row.fixed_end:
        expires = f"expires={datetimeToString(row.expires).decode()}; "
        max_age = f"Max-Age={sessions.seconds_left(row)}; "
    value, same_site = sessions.cookie(row, disowned=disowned), _same_site(client)
    return f"authentik_session={value}; {expires}HttpOnly; {max_age}Path=/; {same_site}"


def session_deletion(client: ClientInfo) -> str:
    """Return the line that deletes the session's cookie."""
    expires = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    return f'authentik_session=""; {expires}; Path=/; {_same_site(client)}'


def flow_cookies(
    client: ClientInfo, sessions: Sessions, row: Session, response: FlowResponse, now: float
) -> list[str]:
    """Return the lines for a response of a flow: a login sets two cookies, a logout deletes one."""
    if not sessions.holds(row):
        return [] if client.cookie is None else [session_deletion(client)]
    cookies = [session_cookie(client, sessions, row, disowned=response.disowned)]
    if response.logged_in is None:
        return cookies
    csrf = secrets.token_urlsafe(24)
    cookies[:0] = [
        _lasting_cookie("authentik_csrf", csrf, now=now, age=_CSRF_AGE, secure=client.secure)
    ]
    if response.known_device:
        device = sessions.device_cookie(response.logged_in, now + _DEVICE_AGE)
        cookies[:0] = [_lasting_cookie("authentik_device", device, now=now, age=_DEVICE_AGE)]
    return cookies


def _lasting_cookie(name: str, value: str, *, now: float, age: int, secure: bool = False) -> str:
    """Return the line of a cookie that lives for ``age`` seconds from ``now``."""
    expires = datetimeToString(now + age).decode()
    line = f"{name}={value}; expires={expires}; Max-Age={age}; Path=/; SameSite=Lax"
    return f"{line}; Secure" if secure else line


def _same_site(client: ClientInfo) -> str:
    return "SameSite=None; Secure" if client.secure else "SameSite=Lax"
