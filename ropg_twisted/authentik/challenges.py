"""Parsing of responses and session cookies of Authentik's Flow Executor. No I/O."""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypedDict, cast
from urllib.parse import urljoin, urlsplit

from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

SESSION_COOKIE = "authentik_session"

UID = re.compile("[0-9a-f]{64}")
"""Format of a user's ``uid`` in Authentik."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response with its whole body.

    ``seconds``: the duration of its request. ``date``: the clock of the server.
    """

    status: int
    content_type: str
    location: str | None
    body: bytes = field(repr=False)
    seconds: float = 0.0
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """A 302 to the executor itself: GET the next challenge."""


class ChallengeFields(TypedDict, total=False):
    """The fields of challenges that are read. Their types are checked where they are read."""

    captcha_stage: object
    device_challenges: object
    final_redirect: object
    flow_designation: object
    password_fields: object
    response_errors: object
    to: object
    user_fields: object


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge of the executor: its ``component`` and its ``fields``."""

    component: str
    fields: ChallengeFields = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The content of the session cookie.

    Attributes:
        sid: id of the session.
        authenticated: the login is complete.
        sub: ``uid`` of the user who is logged in, ``None`` if it has another format.
        max_age: seconds until the session ends by itself, ``None`` if the cookie does not say.
    """

    sid: str | None = field(default=None, repr=False)
    authenticated: bool = False
    sub: str | None = field(default=None, repr=False)
    max_age: int | None = None


def read_json(response: Response) -> JSONObject:
    """Return the JSON object in a 200 response.

    Raises :exc:`UpstreamError` for any other status or body.
    """
    if response.status != 200:
        raise UpstreamError(Reason.UPSTREAM_STATUS, transient=response.status >= 500)
    return parse_json(response)


def parse_json(response: Response) -> JSONObject:
    """Return the JSON object in a response with any status.

    Raises :exc:`UpstreamError` for any other body.
    """
    if response.content_type.partition(";")[0].strip().lower() != "application/json":
        raise UpstreamError(Reason.UPSTREAM_BODY)
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise UpstreamError(Reason.UPSTREAM_BODY)
    return body


def read_executor_response(response: Response, executor: str) -> Redirect | Challenge:
    """Parse a response of the executor at the URL ``executor``.

    After a valid POST or a skipped stage it sends a 302 to the same URL, otherwise a 200 with a
    challenge. Raises :exc:`UpstreamError` for everything else.
    """
    if response.status == 302 and _is_same_url(response.location, executor):
        return Redirect()
    if response.status == 404:
        raise UpstreamError(Reason.FLOW_MISSING)
    if 300 <= response.status < 400:
        raise UpstreamError(Reason.UPSTREAM_REDIRECT)
    body = read_json(response)
    component = body.get("component")
    if not isinstance(component, str):
        raise UpstreamError(Reason.UPSTREAM_BODY)
    return Challenge(component, cast(ChallengeFields, body))  # A JSON object fits every field.


@lru_cache(maxsize=32)
def _is_same_url(location: str | None, url: str) -> bool:
    """Return whether a Location header leads back to ``url``, with any query string."""
    try:
        target = urlsplit(urljoin(url, location or "/"))
    except ValueError:
        return False
    return target._replace(query="", fragment="") == urlsplit(url)._replace(query="", fragment="")


def read_session_cookie(cookie: str | None, max_age: int | None = None) -> SessionCookie:
    """Parse the value of the cookie ``authentik_session``. An unreadable one counts as empty.

    The cookie is a JWT, signed with a secret that only Authentik has. Its signature is not checked:
    it comes from Authentik itself, over the same connection as the verdict. ``max_age``: of the
    cookie; Authentik sets it to the *Session duration* of the user login stage, if there is one.
    """
    try:
        payload = (cookie or "").split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        sid = claims["sid"]
        authenticated = claims["authenticated"]
        sub = claims.get("sub")
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        return SessionCookie()
    return SessionCookie(
        sid if isinstance(sid, str) else None,
        authenticated is True,
        sub if isinstance(sub, str) and UID.fullmatch(sub) else None,
        max_age,
    )
