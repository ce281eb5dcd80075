"""The token endpoint: a request's way from its bytes to the grant that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred

from ropg_twisted.api.network_policy import Door
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError, UnauthorizedClient, UnsupportedGrantType
from ropg_twisted.grants.password import PasswordGrants
from ropg_twisted.grants.relay import RelayedGrants
from ropg_twisted.oauth.clients import Clients, TokenRequest
from ropg_twisted.oauth.request import (
    Form,
    check_form,
    parse_client,
    parse_form,
    parse_grant_type,
    parse_password_grant,
    parse_undecoded_form,
)
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.settings.model import GRANTS
from ropg_twisted.telemetry.audit import Record

Answer: TypeAlias = Callable[[], Coroutine[Deferred[Any], Any, dict[str, Any]]]
"""What comes to the token response, or raises :exc:`OAuthError`."""


class TokenEndpoint:
    """``POST /oauth/token`` (RFC 6749 section 3.2)."""

    def __init__(
        self,
        door: Door,
        clients: Clients,
        passwords: PasswordGrants,
        relayed: RelayedGrants,
        record: Record,
    ) -> None:
        self._door = door
        self._clients = clients
        self._passwords = passwords
        self._relayed = relayed
        self._record = record

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        address = self._door.address_of(request)
        known = None if address is None else str(address)
        try:
            self._door.admit(address)
            answer = self._accept(request, known)
        except OAuthError as error:
            self._record.refused(request.id, known, error)
            raise
        return await answer()

    def _accept(self, request: BoundedRequest, address: str | None) -> Answer:
        """Understand a request, and find who answers it."""
        form = self._parse(request)
        grant_type = parse_grant_type(form)
        if grant_type not in GRANTS:
            raise UnsupportedGrantType
        credentials = parse_client(form, request.header("Authorization"))
        if grant_type == "password":
            client = self._clients.authenticate(credentials)
        else:
            client = self._clients.named(credentials)
        if grant_type not in client.grants:
            raise UnauthorizedClient
        context = RequestContext(request.id, client.id, grant_type, address)
        asked = TokenRequest(context, client, credentials, form)
        if grant_type == "password":
            return partial(self._passwords.answer, asked, parse_password_grant(form))
        return partial(self._relayed.answer, asked)

    def _parse(self, request: BoundedRequest) -> Form:
        body = request.read_body()
        check_form(request.header("Content-Type"), request.uri.partition(b"?")[2])
        undecoded = parse_undecoded_form(body)
        if undecoded is not None:
            client = self._clients.find(undecoded.get("client_id"))
            if client is not None and client.undecoded:
                return undecoded
        return parse_form(body)
