"""Requests that Authentik answers itself, handed on and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.challenges import JSONObject, Response, read_json
from ropg_twisted.authentik.client import AuthentikClient, in_time
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.interfaces import GrantedTokens
from ropg_twisted.verdict import Reason, UnverifiableError

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
"""The parameters of a token request that are handed on."""

MAX_TOKENS: Final = 64
MAX_USERINFO: Final = 8
"""Requests of each kind that Authentik is asked at a time. Anybody may send us an access token that
we do not know; a grant is asked for by a client of ours only."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer of Authentik's token endpoint."""

    status: int
    error: str
    description: str


class Relay:
    """The way to the token and userinfo endpoints. ``deadline``: seconds for one request.

    Nothing is asked twice. Every method raises :exc:`UnverifiableError` if there is no answer, and
    at once (``overloaded``) if too many requests are under way.
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
        self._granting = _Bound(MAX_TOKENS)
        self._telling = _Bound(MAX_USERINFO)

    async def token(
        self,
        client_id: str,
        form: Mapping[str, str],
        authorization: str | None,
        address: str | None,
    ) -> GrantedTokens | Refusal:
        """What a token request comes to, for a client at ``address``."""
        known = {name: form[name] for name in PARAMETERS if name in form}
        session = self._client.session(address, fresh=True)
        with self._granting.place():
            asked = self._application.ask_for_tokens(known, authorization, session)
            response = await in_time(asked, self._deadline, self._clock)
        return _refusal(response) or await self._tokens.read(read_json(response), client_id)

    async def userinfo(self, token: str) -> JSONObject | None:
        """What a token of Authentik's says about its person; ``None`` if it is not valid."""
        session = self._client.session(None, fresh=True)
        with self._telling.place():
            asked = self._application.userinfo(f"Bearer {token}", session)
            response = await in_time(asked, self._deadline, self._clock)
        return None if response.status in (401, 403) else read_json(response)


class _Bound:
    """So many at a time, and no more."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the block. Raises :exc:`UnverifiableError` if there is none."""
        if not self._left:
            raise UnverifiableError(Reason.OVERLOADED)
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1


def _refusal(response: Response) -> Refusal | None:
    """The error in a response with a status of 400 or 401, if it is one (RFC 6749 section 5.2)."""
    if response.status not in (400, 401):
        return None
    body = read_json(Response(200, response.content_type, None, response.body))
    error, description = body.get("error"), body.get("error_description", "")
    if not isinstance(error, str) or not isinstance(description, str):
        raise UnverifiableError(Reason.UPSTREAM_BODY)
    return Refusal(response.status, error, description)
