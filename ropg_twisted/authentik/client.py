"""HTTP to Authentik: a browser of its own for each login, bounded answers, named faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ropg_twisted import __version__
from ropg_twisted.authentik.agent import Endpoints, make_agents
from ropg_twisted.authentik.challenges import (
    SESSION_COOKIE,
    JSONObject,
    Response,
    SessionCookie,
    read_session_cookie,
)
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.tls_trust import tls_policy
from ropg_twisted.verdict import Reason, UnverifiableError

T = TypeVar("T")

MAX_BODY: Final = 1024 * 1024
"""Bytes of one answer. Authentik's largest challenges, with pictures, are a tenth of that."""


class AuthentikClient:
    """The way to Authentik, shared by all logins.

    ``pooled``: keeps connections alive. ``fresh``: makes a new one for each request.
    ``own_address``: tells the address that Authentik sees us come from.
    """

    def __init__(
        self,
        pooled: IAgent,
        fresh: IAgent,
        client_ip: ClientIPHeaders,
        own_address: Callable[[], str] = lambda: "127.0.0.1",
    ) -> None:
        self.client_ip = client_ip
        self.own_address = own_address
        self._pooled = PlainAgent(pooled)
        self._fresh = PlainAgent(fresh)

    def session(
        self, address: str | None, *, fresh: bool = False, force: bool = False
    ) -> FlowSession:
        """A new browser without cookies, for a client at ``address``.

        ``fresh``: on connections of its own. ``force``: see :meth:`Introduction.headers`.
        """
        headers = self.client_ip.headers(address, force=force)
        return FlowSession(self._fresh if fresh else self._pooled, headers)


def make_client(
    reactor: Any, ca_pem: bytes | None, client_ip: ClientIPHeaders, max_checks: int
) -> AuthentikClient:
    """The transport over real connections, of which it keeps one for each of ``max_checks``.

    ``ca_pem``: certificates to trust instead of the system's. Raises :exc:`ValueError` if there is
    none in it.
    """
    endpoints = Endpoints(reactor, tls_policy(ca_pem))
    pooled, fresh = make_agents(reactor, endpoints, max_checks)
    return AuthentikClient(pooled, fresh, client_ip, lambda: endpoints.own_address)


class FlowSession:
    """One login's HTTP client: a cookie jar that nobody else has, and capped answers.

    ``headers``: to be sent with every request. Every request raises :exc:`UnverifiableError` if no
    whole answer comes.
    """

    def __init__(self, agent: IAgent, headers: Mapping[str, str]) -> None:
        self._headers = headers
        # Behind a reverse proxy the cookie is Secure even where the last hop is plain HTTP.
        self._jar = IndexableCookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._client = HTTPClient(agent, self._jar, data_to_body_producer=BytesProducer)

    @property
    def cookie(self) -> SessionCookie:
        """What Authentik's session cookie says now."""
        values = [cookie.value for cookie in self._jar if cookie.name == SESSION_COOKIE]
        return read_session_cookie(values[0] if values else None)

    async def get(self, url: str, authorization: str | None = None) -> Response:
        """GET ``url``, without following a redirect."""
        return await self._exchange("GET", url, _authorized(authorization), None)

    async def post(self, url: str, body: JSONObject) -> Response:
        """POST ``body`` as JSON to ``url``, without following a redirect."""
        headers = Headers({"Content-Type": ["application/json"]})
        return await self._exchange("POST", url, headers, json.dumps(body).encode("ascii"))

    async def post_form(
        self, url: str, form: Mapping[str, str], authorization: str | None = None
    ) -> Response:
        """POST ``form`` to ``url``, without following a redirect."""
        headers = _authorized(authorization)
        headers.setRawHeaders("Content-Type", ["application/x-www-form-urlencoded"])
        return await self._exchange("POST", url, headers, urlencode(form).encode("ascii"))

    async def _exchange(
        self, method: str, url: str, headers: Headers, data: bytes | None
    ) -> Response:
        headers.setRawHeaders("Accept", ["application/json"])
        headers.setRawHeaders("User-Agent", [f"ropg-twisted/{__version__}"])
        for name, value in self._headers.items():
            headers.setRawHeaders(name, [value])
        try:
            response = await self._client.request(
                method, url, headers=headers, data=data, allow_redirects=False, unbuffered=True
            )
            body = await _read_body(response)
        except (UnverifiableError, CancelledError):
            raise
        except Exception as error:
            raise _named(error) from None
        return Response(
            status=response.code,
            content_type=_header(response, "Content-Type") or "",
            location=_header(response, "Location"),
            body=body,
        )


async def in_time(
    answer: Coroutine[Deferred[Any], Any, T], deadline: float, clock: IReactorTime
) -> T:
    """The result of ``answer``, which is cancelled after ``deadline`` seconds.

    Raises :exc:`UnverifiableError` (``upstream_timeout``) then.
    """
    try:
        return await Deferred.fromCoroutine(answer).addTimeout(deadline, clock)
    except TimeoutError:
        raise UnverifiableError(Reason.UPSTREAM_TIMEOUT) from None


@implementer(IAgent)
class PlainAgent:
    """Asks for bodies as they are, and takes no encoded ones: a few bytes of gzip can be many."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`."""
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(_as_it_is)


def _as_it_is(response: IResponse) -> IResponse:
    if (_header(response, "Content-Encoding") or "identity").lower() != "identity":
        _read_body(response).addErrback(lambda _: None).cancel()
        raise UnverifiableError(Reason.UPSTREAM_BODY)
    return response


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is at hand, written at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing left to pause."""

    def resumeProducing(self) -> None:
        """There is nothing left to resume."""

    def stopProducing(self) -> None:
        """There is nothing left to stop."""


class CappedBody(Protocol):
    """Collects a response body up to :data:`MAX_BODY`, and closes the connection of a larger one.

    ``whole`` fires with the bytes, or fails with :exc:`UnverifiableError`.
    """

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(self._cancelled)
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep ``data``, or give up."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_BODY and not self.whole.called:
            self._close()
            self.whole.errback(UnverifiableError(Reason.UPSTREAM_BODY))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body has ended, or the connection broke in it."""
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(UnverifiableError(Reason.UPSTREAM_CONNECTION, transient=True))

    def _cancelled(self, whole: Deferred[bytes]) -> None:
        self._close()

    def _close(self) -> None:
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()


def _read_body(response: IResponse) -> Deferred[bytes]:
    body = CappedBody()
    response.deliverBody(body)
    return body.whole


def _authorized(authorization: str | None) -> Headers:
    return Headers({} if authorization is None else {"Authorization": [authorization]})


def _header(response: IResponse, name: str) -> str | None:
    values = response.headers.getRawHeaders(name.encode("ascii"))
    return values[-1].decode("latin-1") if values else None


def _named(error: BaseException) -> Exception:
    """The fault behind an exception of the HTTP client; a cancellation stays one."""
    causes = list(_causes(error))
    if any(isinstance(cause, CancelledError) for cause in causes):
        return CancelledError()
    if any(isinstance(cause, TLSError | VerificationError) for cause in causes):
        return UnverifiableError(Reason.UPSTREAM_TLS)
    return UnverifiableError(Reason.UPSTREAM_CONNECTION, transient=True)


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    for reason in getattr(error, "reasons", ()):
        found.extend(_causes(reason.value))
    return found
