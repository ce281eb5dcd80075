"""Requests read and answers written as Authentik does: client addresses, headers, cookies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.web.http import datetimeToString
from twisted.web.iweb import IRequest
from werkzeug.exceptions import InternalServerError

OUTPOST_TOKEN = "outpost-api-token-0123456789"
"""The token of a real outpost: with it, ``X-authentik-remote-ip`` is believed."""
SERVICE_TOKEN = "internal-svc-api-token-0123456789"
"""The token of an internal service account that is no outpost: it breaks every call."""

READ = "GET, HEAD, OPTIONS"
"""Values of ``Allow`` of a resource that is only read, and of the executor."""
READ_AND_WRITE = "GET, POST, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks.

    ``address``: as Authentik understands it. ``outpost``: an outpost vouches for it. ``secure``:
    the client came by https, if only to a proxy. ``cookie``: the session cookie that it sent.
    """

    address: str
    outpost: bool
    secure: bool
    cookie: str | None = field(repr=False)


def read_client(request: IRequest) -> Client:
    """Read who speaks. Raises ``InternalServerError`` for the token that breaks every call."""
    override = request.getHeader("x-authentik-remote-ip")
    token = request.getHeader("x-authentik-outpost-token")
    if override and token == SERVICE_TOKEN:
        raise InternalServerError
    outpost = bool(override) and token == OUTPOST_TOKEN
    forwarded = (request.getHeader("x-forwarded-for") or "").partition(",")[0].strip()
    peer = getattr(request.getClientAddress(), "host", "127.0.0.1")
    cookie = request.getCookie(b"authentik_session")
    return Client(
        address=(override if outpost else forwarded) or peer,
        outpost=outpost,
        secure=request.isSecure() or request.getHeader("x-forwarded-proto") == "https",
        cookie=None if cookie is None else cookie.decode("latin-1"),
    )


def accepts_json(request: IRequest) -> bool:
    """Tell whether the client takes JSON; anything else is an error inside the flow."""
    accept = request.getHeader("accept") or "*/*"
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not kinds.isdisjoint({"application/json", "application/*", "*/*"})


def read_object(request: IRequest) -> Mapping[str, Any] | None:
    """Return the JSON object of the body, an empty one for no body, None for anything else."""
    body = request.content.read()
    if not body:
        return {}
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    try:
        data = json.loads(body) if kind == "application/json" else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def language(request: IRequest) -> str:
    """Return the first language that the client names, without its region."""
    first = (request.getHeader("accept-language") or "").partition(",")[0]
    return first.partition(";")[0].strip().partition("-")[0].lower()


def send_json(
    request: IRequest, status: int, body: Mapping[str, Any], *, allow: str | None
) -> bytes:
    """Answer with JSON. Without ``allow`` the answer came before the API had a say."""
    _send(request, status, "application/json", allow)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def send_html(
    request: IRequest, status: int, body: bytes = b"", *, allow: str | None = None
) -> bytes:
    """Answer with a page, or with an empty body."""
    _send(request, status, "text/html; charset=utf-8", allow)
    return body


def set_cookies(request: IRequest, cookies: Iterable[str]) -> None:
    """Add ``Set-Cookie`` lines in order."""
    for cookie in cookies:
        request.responseHeaders.addRawHeader(b"set-cookie", cookie.encode())


def session_cookie(client: Client, value: str) -> str:
    """Return the line of the session's cookie: without Max-Age, for all sites over https."""
    return f"authentik_session={value}; HttpOnly; Path=/; {_same_site(client)}"


def session_deletion(client: Client) -> str:
    """Return the line that takes the session's cookie away."""
    expires = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    return f'authentik_session=""; {expires}; Path=/; {_same_site(client)}'


def lasting_cookie(name: str, value: str, *, now: float, age: int, secure: bool = False) -> str:
    """Return the line of a cookie that lives for ``age`` seconds from ``now``."""
    expires = datetimeToString(now + age).decode()
    line = f"{name}={value}; expires={expires}; Max-Age={age}; Path=/; SameSite=Lax"
    return f"{line}; Secure" if secure else line


def _same_site(client: Client) -> str:
    return "SameSite=None; Secure" if client.secure else "SameSite=Lax"


def _send(request: IRequest, status: int, kind: str, allow: str | None) -> None:
    request.setResponseCode(status)
    request.setHeader("content-type", kind)
    if not request.responseHeaders.hasHeader("vary"):
        request.setHeader("vary", "Accept-Language, Cookie")
    if allow is not None:
        request.setHeader("allow", allow)
