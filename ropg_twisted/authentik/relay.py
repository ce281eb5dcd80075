"""Relays requests to Authentik's token, userinfo and introspection endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ropg_twisted.authentik.application import Application, read_tokens
from ropg_twisted.authentik.challenges import Response, parse_json, read_json
from ropg_twisted.authentik.client import AuthentikClient, with_deadline
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.context import RequestContext
from ropg_twisted.interfaces import GrantedTokens
from ropg_twisted.semaphore import Semaphore
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

PARAMETERS: Final = (
    "grant_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
    "scope",
)
"""The parameters of a token request that are relayed."""

MAX_TOKENS: Final = 64
MAX_INTROSPECTIONS: Final = 64
MAX_USERINFO: Final = 8
"""Concurrent requests of each kind. Userinfo has fewer: anybody may send an unknown access token,
but only our clients may ask for a grant or an introspection."""


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error response of Authentik's token endpoint (RFC 6749 section 5.2)."""

    status: int
    error: str
    description: str


class Relay:
    """Relays requests, each at most once.

    ``deadline``: seconds for one request. Every method raises :exc:`UpstreamError` if there is no
    usable response, and immediately (``overloaded``) if there are too many requests.
    """

    def __init__(
        self,
        application: Application,
        client: AuthentikClient,
        tokens: IDTokenVerifier,
        deadline: float,
        clock: IReactorTime,
    ) -> None:
        self._application = application
        self._tokens = tokens
        self._client = client
        self._deadline = deadline
        self._clock = clock
        self._token_requests = Semaphore(MAX_TOKENS)
        self._introspections = Semaphore(MAX_INTROSPECTIONS)
        self._userinfo_requests = Semaphore(MAX_USERINFO)

    async def token(
        self,
        context: RequestContext,
        form: Mapping[str, str],
        authorization: str | None,
    ) -> GrantedTokens | ErrorResponse:
        """Relay a token request."""
        relayed = {name: form[name] for name in PARAMETERS if name in form}
        session = self._client.session(
            context.address, fresh=True, trace_context=context.trace_context
        )
        with _slot(self._token_requests):
            request = self._application.request_tokens(relayed, authorization, session)
            response = await with_deadline(request, self._deadline, self._clock)
        error = _error_response(response)
        return error or await self._tokens.read(read_tokens(response), context.client)

    async def userinfo(self, token: str) -> JSONObject | None:
        """Return the claims for an access token of Authentik; ``None`` if it is not valid."""
        session = self._client.session(None, fresh=True)
        with _slot(self._userinfo_requests):
            request = self._application.userinfo(f"Bearer {token}", session)
            response = await with_deadline(request, self._deadline, self._clock)
        return None if response.status in (401, 403) else read_json(response)

    async def introspect(
        self, context: RequestContext, token: str, secret: str
    ) -> Mapping[str, object]:
        """Return the introspection response about a token of Authentik (RFC 7662 section 2.2).

        ``secret``: that of the client. Authentik calls a token inactive if the secret is not the
        one of the client's provider, or if the token was issued by another provider.
        """
        form = {"token": token, "client_id": context.client, "client_secret": secret}
        session = self._client.session(
            context.address, fresh=True, trace_context=context.trace_context
        )
        with _slot(self._introspections):
            request = self._application.introspect(form, session)
            response = await with_deadline(request, self._deadline, self._clock)
        introspection = read_json(response)
        if not isinstance(introspection.get("active"), bool):
            raise UpstreamError(Reason.UPSTREAM_BODY)
        return introspection


@contextmanager
def _slot(slots: Semaphore) -> Iterator[None]:
    """Hold a slot during the block. Raises :exc:`UpstreamError` if none is free."""
    if not slots.try_acquire():
        raise UpstreamError(Reason.OVERLOADED)
    try:
        yield
    finally:
        slots.release()


def _error_response(response: Response) -> ErrorResponse | None:
    """Return the error in a response with status 400 or 401, ``None`` for another status."""
    if response.status not in (400, 401):
        return None
    body = parse_json(response)
    error, description = body.get("error"), body.get("error_description", "")
    if not isinstance(error, str) or not isinstance(description, str):
        raise UpstreamError(Reason.UPSTREAM_BODY)
    return ErrorResponse(response.status, error, description)
