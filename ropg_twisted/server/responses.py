"""JSON answers, and the headers that go with them."""

from __future__ import annotations

import json
from http import HTTPStatus

from twisted.web.iweb import IRequest

from ropg_twisted.errors import (
    InvalidClientError,
    InvalidTokenError,
    MethodNotAllowedError,
    OAuthError,
    SlowDownError,
    TemporarilyUnavailableError,
)
from ropg_twisted.interfaces import Readiness


def json_body(
    request: IRequest, payload: object, *, status: int = 200, cache: str = "no-store"
) -> bytes:
    """The bytes of a JSON answer to ``request``, with its status and headers set.

    ``cache``: the Cache-Control header.
    """
    body = json.dumps(payload, separators=(",", ":")).encode("ascii")
    request.setResponseCode(status, HTTPStatus(status).phrase.encode("ascii"))
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.setHeader("Cache-Control", cache)
    if cache == "no-store":
        request.setHeader("Pragma", "no-cache")
    return body


def error_body(request: IRequest, error: OAuthError) -> bytes:
    """The bytes of an error answer (RFC 6749 section 5.2), with its status and headers set."""
    match error:
        case InvalidClientError(basic=True):
            request.setHeader("WWW-Authenticate", 'Basic realm="ropg", charset="UTF-8"')
        case InvalidTokenError(given=True):
            request.setHeader("WWW-Authenticate", 'Bearer realm="ropg", error="invalid_token"')
        case InvalidTokenError():
            request.setHeader("WWW-Authenticate", 'Bearer realm="ropg"')
        case MethodNotAllowedError():
            request.setHeader("Allow", error.allowed)
        case SlowDownError() | TemporarilyUnavailableError():
            request.setHeader("Retry-After", str(error.retry_after))
    payload = {"error": error.code, "error_description": error.description}
    return json_body(request, payload, status=error.status)


def readiness_body(request: IRequest, now: Readiness) -> bytes:
    """The bytes of an answer about readiness: 503 and the reason if a check could not be made."""
    if now.reason is not None:
        payload = {"status": "unavailable", "reason": now.reason}
        return json_body(request, payload, status=503)
    if now.warning is not None:
        return json_body(request, {"status": "ready", "warning": now.warning})
    return json_body(request, {"status": "ready"})
