"""Reading of requests and writing of responses as in Authentik: addresses, forms, headers."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import InternalServerError

from ropg_twisted.sandbox.http import pages
from ropg_twisted.sandbox.http.outposts import OUTPOSTS, SERVICE_TOKEN
from ropg_twisted.sandbox.oauth2.grants import Credentials

READ = "GET, HEAD, OPTIONS"
"""Values of ``Allow`` of a resource that is only read, and of the executor."""
READ_AND_WRITE = "GET, POST, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Client of a request.

    ``address``: as Authentik understands it. ``outpost``: an outpost vouches for it. ``secure``:
    the client came by https, if only to a proxy. ``cookie``: the session cookie that it sent.
    """

    address: str
    outpost: bool
    secure: bool
    cookie: str | None = field(repr=False)


def read_client(request: IRequest, outpost_tokens: Collection[str] = ()) -> ClientInfo:
    """Read the client of a request. Raises ``InternalServerError`` for :data:`SERVICE_TOKEN`.

    ``outpost_tokens``: those that are believed beside those of :data:`OUTPOSTS`.
    """
    override = request.getHeader("x-authentik-remote-ip")
    token = request.getHeader("x-authentik-outpost-token")
    if override and token == SERVICE_TOKEN:
        raise InternalServerError
    outpost = bool(override) and (token in OUTPOSTS or token in outpost_tokens)
    forwarded = (request.getHeader("x-forwarded-for") or "").partition(",")[0].strip()
    peer = getattr(request.getClientAddress(), "host", "127.0.0.1")
    cookie = request.getCookie(b"authentik_session")
    return ClientInfo(
        address=(override if outpost else forwarded) or peer,
        outpost=outpost,
        secure=request.isSecure() or request.getHeader("x-forwarded-proto") == "https",
        cookie=None if cookie is None else cookie.decode("latin-1"),
    )


def accepts_json(request: IRequest) -> bool:
    """Return whether the client accepts JSON. If not, the flow answers with an error."""
    accept = request.getHeader("accept") or "*/*"
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not kinds.isdisjoint({"application/json", "application/*", "*/*"})


def read_object(request: IRequest) -> Mapping[str, object] | None:
    """Return the JSON object of the body, empty without a body, ``None`` for anything else."""
    body = request.content.read()
    if not body:
        return {}
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    try:
        data = json.loads(body) if kind == "application/json" else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def read_query(request: IRequest) -> Mapping[str, str]:
    """Return the parameters of the URL; the last value of a repeated one."""
    query = request.uri.decode("latin-1").partition("?")[2]
    return dict(parse_qsl(query, keep_blank_values=True))


def read_form(request: IRequest) -> Mapping[str, str]:
    """Return the parameters of the body; none if it is not a form."""
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    body = request.content.read().decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def read_credentials(request: IRequest, form: Mapping[str, str]) -> Credentials:
    """Return the client's credentials, from HTTP Basic or the form.

    The parts of Basic are taken as they are, against RFC 6749 section 2.3.1.
    """
    scheme, _, token = (request.getHeader("authorization") or "").partition(" ")
    if scheme != "Basic":
        return Credentials(form.get("client_id", ""), form.get("client_secret", ""))
    try:
        client_id, _, secret = b64decode(token).decode().partition(":")
    except ValueError:
        return Credentials("", "")
    return Credentials(client_id, secret)


def base_url(request: IRequest) -> str:
    """Return the URL of Authentik as this client sees it: by its Host, and a proxy's scheme."""
    scheme = "https" if read_client(request).secure else "http"
    return f"{scheme}://{request.getHeader('host') or 'localhost'}"


def read_bearer(request: IRequest) -> str | None:
    """Return the API token in the header, ``None`` without one."""
    scheme, _, token = (request.getHeader("authorization") or "").partition(" ")
    return token if scheme == "Bearer" else None


def language(request: IRequest) -> str:
    """Return the first language that the client names, without its region."""
    first = (request.getHeader("accept-language") or "").partition(",")[0]
    return first.partition(";")[0].strip().partition("-")[0].lower()


def send_json(
    request: IRequest, status: int, body: Mapping[str, object], *, allow: str | None
) -> bytes:
    """Answer with JSON. Without ``allow``, the response does not come from the API."""
    _send(request, status, "application/json", allow)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def send_html(
    request: IRequest, status: int, body: bytes = b"", *, allow: str | None = None
) -> bytes:
    """Answer with a page, or with an empty body."""
    _send(request, status, "text/html; charset=utf-8", allow)
    return body


def send_redirect(request: IRequest, location: str, *, allow: str | None = None) -> bytes:
    """Redirect the browser, with an empty body."""
    request.setHeader("location", location)
    return send_html(request, 302, allow=allow)


def send_see_other(request: IRequest, location: str) -> bytes:
    """Send the browser to a page with GET, so that a reload of it posts no form again."""
    send_redirect(request, location)
    request.setResponseCode(303)
    return b""


def send_error(request: IRequest, failure: Failure) -> bytes:
    """Answer with an error page, as Authentik does, which allows GET only."""
    if failure.check(InternalServerError):
        return send_html(request, 500, pages.error(500))
    if request.method not in (b"GET", b"HEAD"):
        return send_html(request, 405, allow=READ)
    return send_html(request, 404, pages.error(404))


def _send(request: IRequest, status: int, kind: str, allow: str | None) -> None:
    request.setResponseCode(status)
    request.setHeader("content-type", kind)
    if not request.responseHeaders.hasHeader("vary"):
        request.setHeader("vary", "Accept-Language, Cookie")
    if allow is not None:
        request.setHeader("allow", allow)
