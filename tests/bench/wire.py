"""The bytes of the responses of the fake Authentik: heads, cookies and bodies as recorded."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from hashlib import sha256
from secrets import token_bytes
from typing import Final

READ: Final = b"GET, HEAD, OPTIONS"
READ_AND_WRITE: Final = b"GET, POST, HEAD, OPTIONS"
"""Values of ``Allow`` of a resource that is only read, and of the executor."""

COOKIE_FIRST: Final = b"Cookie, Accept-Language"
"""Value of ``Vary`` of the response that ends a login."""

JSON: Final = b"application/json"
HTML: Final = b"text/html; charset=utf-8"

REMOVED_COOKIE: Final = (
    b'authentik_session=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax'
)

_REASONS: Final = {200: b"OK", 302: b"Found", 403: b"Forbidden", 404: b"Not Found"}
_KEY: Final = token_bytes(32)
_HEADER: Final = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
_ALWAYS: Final = b"".join(
    b"%s: %s\r\n" % header
    for header in (
        (b"Date", formatdate(usegmt=True).encode()),
        (b"Referrer-Policy", b"same-origin"),
        (b"X-Authentik-Id", b"0" * 32),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"X-Frame-Options", b"DENY"),
        (b"X-Powered-By", b"authentik"),
    )
)
"""Headers that every response of Authentik has, and nobody reads."""


def response(
    status: int,
    body: bytes = b"",
    *,
    content_type: bytes = JSON,
    location: bytes | None = None,
    allow: bytes | None = READ_AND_WRITE,
    vary: bytes = b"Accept-Language, Cookie",
    cookies: Iterable[bytes] = (),
) -> bytes:
    """Return the bytes of a response."""
    lines = [
        b"HTTP/1.1 %d %s\r\n" % (status, _REASONS[status]),
        b"Content-Type: %s\r\n" % content_type,
    ]
    if location is not None:
        lines.append(b"Location: %s\r\n" % location)
    if allow is not None:
        lines.append(b"Allow: %s\r\n" % allow)
    lines.append(b"Vary: %s\r\nContent-Length: %d\r\n" % (vary, len(body)))
    lines.extend(b"Set-Cookie: %s\r\n" % cookie for cookie in cookies)
    lines.append(_ALWAYS)
    return b"".join((*lines, b"\r\n", body))


def encode(body: Mapping[str, object]) -> bytes:
    """Return a body in the spelling of Authentik's JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def session_token(sid: str, sub: str | None) -> bytes:
    """Return the value of a session cookie; ``sub``: the user, ``None`` before the login."""
    return _sign(
        {
            "sid": sid,
            "iss": "authentik",
            "sub": sub or "anonymous",
            "authenticated": sub is not None,
            "acr": "goauthentik.io/core/default",
        }
    )


def session_cookie(token: bytes) -> bytes:
    """Return the value of ``Set-Cookie`` for a session."""
    return b"authentik_session=%s; HttpOnly; Path=/; SameSite=Lax" % token


def login_cookies(sub: str, token: bytes) -> list[bytes]:
    """Return the cookies of the response that ends a login."""
    now = time.time()
    device = _sign({"sub": sub, "exp": now + _MONTH})
    return [
        b"authentik_device=%s; expires=%s; Max-Age=%d; Path=/; SameSite=Lax"
        % (device, formatdate(now + _MONTH, usegmt=True).encode(), _MONTH),
        b"authentik_csrf=%s; expires=%s; Max-Age=%d; Path=/; SameSite=Lax"
        % (sub[:32].encode(), formatdate(now + _YEAR, usegmt=True).encode(), _YEAR),
        session_cookie(token),
    ]


_MONTH: Final = 2_592_000
_YEAR: Final = 31_449_600


def _sign(claims: Mapping[str, object]) -> bytes:
    signed = _HEADER + b"." + _base64(json.dumps(claims, separators=(",", ":")).encode())
    return signed + b"." + _base64(hmac.digest(_KEY, signed, sha256))


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
