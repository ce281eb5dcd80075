"""Reading what Authentik's Flow Executor sends: answers and the session cookie. No I/O."""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit

from ropg_twisted.verdict import Reason, UnverifiableError

JSONObject: TypeAlias = dict[str, Any]

SESSION_COOKIE = "authentik_session"

UID = re.compile("[0-9a-f]{64}")
"""The form of a person's ``uid`` in Authentik."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read whole."""

    status: int
    content_type: str
    location: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A 302 to the executor itself: ask again with GET."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge of the executor: its component, and all its fields."""

    component: str
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """What the session cookie says of the login: which one it is, and whether it is complete.

    ``sub``: the ``uid`` of the person who is logged in, ``None`` where it has another form.
    """

    sid: str | None = field(default=None, repr=False)
    authenticated: bool = False
    sub: str | None = field(default=None, repr=False)


def read_json(response: Response) -> JSONObject:
    """The JSON object of a 200 response.

    Raises :exc:`UnverifiableError` for any other status, and for any other body.
    """
    if response.status != 200:
        raise UnverifiableError(Reason.UPSTREAM_STATUS, transient=response.status >= 500)
    if response.content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnverifiableError(Reason.UPSTREAM_BODY)
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise UnverifiableError(Reason.UPSTREAM_BODY)
    return body


def read_executor_response(response: Response, executor: str) -> Redirect | Challenge:
    """What the executor at the URL ``executor`` has answered.

    A valid POST and a skipped stage are answered by a 302 to the same URL, a challenge by a 200
    with JSON. Raises :exc:`UnverifiableError` for everything else.
    """
    if response.status == 302 and _same_address(response.location, executor):
        return Redirect()
    if response.status == 404:
        raise UnverifiableError(Reason.FLOW_MISSING)
    if 300 <= response.status < 400:
        raise UnverifiableError(Reason.UPSTREAM_REDIRECT)
    body = read_json(response)
    component = body.get("component")
    if not isinstance(component, str):
        raise UnverifiableError(Reason.UPSTREAM_BODY)
    return Challenge(component, body)


def _same_address(location: str | None, here: str) -> bool:
    """Whether a Location header leads back to ``here``, whatever the query string."""
    try:
        there = urlsplit(urljoin(here, location or "/"))
    except ValueError:
        return False
    return there._replace(query="", fragment="") == urlsplit(here)._replace(query="", fragment="")


def read_session_cookie(cookie: str | None) -> SessionCookie:
    """What the value of the cookie ``authentik_session`` says; an unreadable one says nothing.

    It is a JWT signed with a secret of Authentik, so its signature is not checked here: it comes
    from Authentik itself, over the connection that the verdict rests on.
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
    )
