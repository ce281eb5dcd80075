"""JSON responses and their headers."""

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


def to_json(payload: object) -> bytes:
    """Return ``payload`` as the bytes of a body."""
    return json.dumps(payload, separators=(",", ":")).encode("ascii")


def error_payload(error: OAuthError) -> dict[str, str]:
    """Return the payload of an error response (RFC 6749 section 5.2)."""
    return {"error": error.code, "error_description": error.description}


def json_body(
    request: IRequest, payload: object, *, status: int = 200, cache: str = "no-store"
) -> bytes:
    """Return ``payload`` as JSON, and set the status and headers of the response.

    ``cache``: the value of the Cache-Control header.
    """
    body = to_json(payload)
    request.setResponseCode(status, HTTPStatus(status).phrase.encode("ascii"))
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.setHeader("Cache-Control", cache)
    if cache == "no-store":
        request.setHeader("Pragma", "no-cache")
    return body


def error_body(request: IRequest, error: OAuthError) -> bytes:
    """Return an error as JSON (RFC 6749 section 5.2), and set the status and headers."""
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
    return json_body(request, error_payload(error), status=error.status)


def readiness_body(request: IRequest, readiness: Readiness) -> bytes:
    """Return the readiness as JSON, and set the status and headers.

    The status is 503 if no password could be checked now.
    """
    if readiness.reason is not None:
        payload = {"status": "unavailable", "reason": readiness.reason}
        return json_body(request, payload, status=503)
    if readiness.warning is not None:
        return json_body(request, {"status": "ready", "warning": readiness.warning})
    return json_body(request, {"status": "ready"})
