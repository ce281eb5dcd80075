"""HTTP client for Authentik: cookies of its own for each login, bounded responses, named errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.cookiejar import CookieJar
from typing import Final, TypeVar
from urllib.parse import urlencode

from hyperlink import EncodedURL
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from ropg_twisted import __version__
from ropg_twisted.authentik.agent import BytesProducer, ConnectionPool, HeaderAgent, OriginAgent
from ropg_twisted.authentik.challenges import (
    SESSION_COOKIE,
    Response,
    SessionCookie,
    read_session_cookie,
)
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.connection import Origin
from ropg_twisted.authentik.cookies import OriginCookieJar
from ropg_twisted.interfaces import CheckTrace, RequestKind, UpstreamRequest
from ropg_twisted.networks import LOOPBACK, Address
from ropg_twisted.tls_trust import tls_policy
from ropg_twisted.trace_context import HEADER, TraceContext
from ropg_twisted.types import DeferredCoroutine, IReactor, JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

T = TypeVar("T")

_HEADERS: Final = {"Accept": "application/json", "User-Agent": f"ropg-twisted/{__version__}"}

_NO_COOKIES: Final = CookieJar()


class AuthentikClient:
    """Makes sessions at Authentik. All logins share one.

    Args:
        pooled: an agent that keeps connections alive.
        fresh: an agent that makes a new connection for each request.
        client_ip: headers that tell Authentik the client's address.
        clock: measures requests.
        on_request: called after each request.
        own_address: returns our own address as Authentik sees it.
    """

    def __init__(
        self,
        pooled: IAgent,
        fresh: IAgent,
        client_ip: ClientIPHeaders,
        clock: IReactorTime,
        on_request: Callable[[UpstreamRequest], None] = lambda request: None,
        own_address: Callable[[], Address] = lambda: LOOPBACK,
    ) -> None:
        self.client_ip = client_ip
        self.own_address = own_address
        self._clock = clock
        self._on_request = on_request
        self._pooled = pooled
        self._fresh = fresh

    def session(
        self,
        address: Address | None,
        *,
        fresh: bool = False,
        force: bool = False,
        trace: CheckTrace | None = None,
        trace_context: TraceContext | None = None,
    ) -> FlowSession:
        """Return a new session without cookies, for a client at ``address``.

        Args:
            fresh: make a new connection for each request.
            force: see :meth:`ClientIPHeaders.headers`.
            trace: records the requests, and has their trace context.
            trace_context: of the requests, if there is no ``trace``.
        """

        def on_request(request: UpstreamRequest) -> None:
            self._on_request(request)
            if trace is not None:
                trace.requests.append(request)

        headers = self.client_ip.headers(address, force=force)
        if trace is not None:
            trace_context = trace.context
        if trace_context is not None:
            headers[HEADER] = trace_context.traceparent
        agent = self._fresh if fresh else self._pooled
        return FlowSession(agent, headers, self._clock, on_request)


def make_client(
    reactor: IReactor,
    authentik_url: str,
    ca_pem: bytes | None,
    client_ip: ClientIPHeaders,
    on_request: Callable[[UpstreamRequest], None] = lambda request: None,
) -> AuthentikClient:
    """Return a client for the Authentik at ``authentik_url``.

    ``ca_pem``: certificates to trust instead of the system's. ``on_request``: called after each
    request. Raises :exc:`ValueError` if ``ca_pem`` has no certificates.
    """
    url = _parsed(authentik_url).to_text().encode("ascii")
    origin = Origin(reactor, url, tls_policy(ca_pem))
    return AuthentikClient(
        OriginAgent(origin, ConnectionPool(reactor)),
        OriginAgent(origin),
        client_ip,
        reactor,
        on_request,
        lambda: origin.own_address,
    )


class FlowSession:
    """A session at Authentik with a cookie jar of its own. Redirects are not followed.

    Each request names its purpose, ``kind``, and raises :exc:`UpstreamError` if no complete
    response comes.

    Args:
        headers: go with every request.
        on_request: called after each request.
    """

    def __init__(
        self,
        agent: IAgent,
        headers: Mapping[str, str],
        clock: IReactorTime,
        on_request: Callable[[UpstreamRequest], None],
    ) -> None:
        self._clock = clock
        self._on_request = on_request
        self._jar = OriginCookieJar()
        self._client = HTTPClient(
            HeaderAgent(agent, {**_HEADERS, **headers}),
            self._jar,
            data_to_body_producer=BytesProducer,
        )

    @property
    def cookie(self) -> SessionCookie:
        """The content of Authentik's session cookie now."""
        cookie = self._jar.cookies.get(SESSION_COOKIE)
        if cookie is None:
            return SessionCookie()
        return read_session_cookie(cookie.value, cookie.max_age)

    async def get(self, url: str, kind: RequestKind, authorization: str | None = None) -> Response:
        """GET ``url``."""
        return await self._request(kind, "GET", url, _authorization_header(authorization), None)

    async def post(self, url: str, kind: RequestKind, body: JSONObject) -> Response:
        """POST ``body`` as JSON to ``url``."""
        headers = Headers({"Content-Type": ["application/json"]})
        return await self._request(kind, "POST", url, headers, json.dumps(body).encode("ascii"))

    async def post_form(
        self,
        url: str,
        kind: RequestKind,
        form: Mapping[str, str],
        authorization: str | None = None,
    ) -> Response:
        """POST ``form`` to ``url``."""
        headers = _authorization_header(authorization)
        headers.setRawHeaders("Content-Type", ["application/x-www-form-urlencoded"])
        return await self._request(kind, "POST", url, headers, urlencode(form).encode("ascii"))

    async def _request(
        self, kind: RequestKind, method: str, url: str, headers: Headers, data: bytes | None
    ) -> Response:
        started = self._clock.seconds()
        status = None
        try:
            response = await self._client.request(
                method,
                _parsed(url),
                headers=headers,
                data=data,
                cookies=_NO_COOKIES,
                allow_redirects=False,
                unbuffered=True,
            )
            body = await response.content()
            status = response.code
        except (UpstreamError, CancelledError):
            raise
        except Exception as error:
            raise _upstream_error(error) from None
        finally:
            seconds = self._clock.seconds() - started
            self._on_request(UpstreamRequest(kind, status, seconds))
        return Response(
            status=status,
            content_type=_header(response, "Content-Type") or "",
            location=_header(response, "Location"),
            body=body,
            seconds=seconds,
            date=_header(response, "Date"),
        )


async def with_deadline(request: DeferredCoroutine[T], deadline: float, clock: IReactorTime) -> T:
    """Return the result of ``request``, which is cancelled after ``deadline`` seconds.

    Raises :exc:`UpstreamError` (``upstream_timeout``) then.
    """
    try:
        return await Deferred.fromCoroutine(request).addTimeout(deadline, clock)
    except TimeoutError:
        raise UpstreamError(Reason.UPSTREAM_TIMEOUT) from None


def _authorization_header(authorization: str | None) -> Headers:
    return Headers({} if authorization is None else {"Authorization": [authorization]})


def _header(response: IResponse, name: str) -> str | None:
    """Return the last value of a header, or ``None`` without one."""
    values = response.headers.getRawHeaders(name.encode("ascii"))
    return values[-1].decode("latin-1") if values else None


class _RequestURL(EncodedURL):
    """A URL in the form that is sent, which treq need not find out again for each request."""

    _text: str | None = None

    def to_uri(self) -> _RequestURL:
        """Return itself."""
        return self

    def to_text(self, with_password: bool = False) -> str:
        """Return the text, which has no password."""
        if self._text is None:
            self._text = super().to_text(with_password)
        return self._text


@lru_cache(maxsize=32)
def _parsed(url: str) -> EncodedURL:
    return _RequestURL.from_text(EncodedURL.from_text(url).to_uri().to_text())


def _upstream_error(error: Exception) -> Exception:
    """Return the :exc:`UpstreamError` for an HTTP client's error; a cancellation stays one."""
    if isinstance(error, ConnectingCancelledError):
        return CancelledError()
    if isinstance(error, TLSError | VerificationError):
        return UpstreamError(Reason.UPSTREAM_TLS)
    return UpstreamError(Reason.UPSTREAM_CONNECTION, transient=True)
