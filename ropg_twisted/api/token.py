"""The token endpoint: a request's way from its bytes to the grant that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError, UnauthorizedClientError, UnsupportedGrantTypeError
from ropg_twisted.grants.password import PasswordGrantHandler
from ropg_twisted.grants.relay import RelayedGrantHandler
from ropg_twisted.oauth.clients import Clients, TokenRequest
from ropg_twisted.oauth.request import (
    Form,
    check_form,
    parse_client,
    parse_form,
    parse_grant_type,
    parse_password_grant,
    parse_unencoded_form,
)
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.settings.model import GRANTS
from ropg_twisted.telemetry.audit import AuditLog

Answer: TypeAlias = Callable[[], Coroutine[Deferred[Any], Any, dict[str, Any]]]
"""What comes to the token response, or raises :exc:`OAuthError`."""


class TokenEndpoint:
    """``POST /oauth/token`` (RFC 6749 section 3.2)."""

    def __init__(
        self,
        network_policy: NetworkPolicy,
        clients: Clients,
        passwords: PasswordGrantHandler,
        relayed: RelayedGrantHandler,
        audit: AuditLog,
    ) -> None:
        self._network_policy = network_policy
        self._clients = clients
        self._passwords = passwords
        self._relayed = relayed
        self._audit = audit

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        address = self._network_policy.client_address(request)
        known = None if address is None else str(address)
        try:
            self._network_policy.check(address)
            answer = self._accept(request, known)
        except OAuthError as error:
            self._audit.refused(request.id, known, error)
            raise
        return await answer()

    def _accept(self, request: BoundedRequest, address: str | None) -> Answer:
        """Understand a request, and find who answers it."""
        form = self._parse(request)
        grant_type = parse_grant_type(form)
        if grant_type not in GRANTS:
            raise UnsupportedGrantTypeError
        credentials = parse_client(form, request.header("Authorization"))
        if grant_type == "password":
            client = self._clients.authenticate(credentials)
        else:
            client = self._clients.identify(credentials)
        if grant_type not in client.grants:
            raise UnauthorizedClientError
        context = RequestContext(request.id, client.id, grant_type, address)
        asked = TokenRequest(context, client, credentials, form)
        if grant_type == "password":
            return partial(self._passwords.answer, asked, parse_password_grant(form))
        return partial(self._relayed.answer, asked)

    def _parse(self, request: BoundedRequest) -> Form:
        body = request.read_body()
        check_form(request.header("Content-Type"), request.uri.partition(b"?")[2])
        unencoded = parse_unencoded_form(body)
        if unencoded is not None:
            client = self._clients.find(unencoded.get("client_id"))
            if client is not None and client.unencoded:
                return unencoded
        return parse_form(body)
