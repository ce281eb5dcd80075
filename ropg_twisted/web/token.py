"""The token endpoint: a request's way from its bytes to the grant that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ropg_twisted.errors import (
    NetworkNotAllowed,
    OAuthError,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from ropg_twisted.networks import Networks, client_address
from ropg_twisted.oauth.clients import Clients, TokenRequest
from ropg_twisted.oauth.request import (
    Form,
    check_form,
    parse_client,
    parse_form,
    parse_grant_type,
    parse_undecoded_form,
)
from ropg_twisted.watch.record import Record
from ropg_twisted.web.password import PasswordGrants
from ropg_twisted.web.relay import RelayedGrants
from ropg_twisted.web.request import BoundedRequest


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in, and whose word about addresses is taken."""

    allowed: Networks
    trusted_proxies: Networks

    def admit(self, request: BoundedRequest) -> str | None:
        """The client's address, ``None`` if nobody knows it.

        Raises :exc:`NetworkNotAllowed`.
        """
        peer = getattr(request.getClientAddress(), "host", None)
        hops = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
        forwarded_for = [value.decode("latin-1") for value in hops]
        address = client_address(peer, forwarded_for, self.trusted_proxies)
        if address not in self.allowed:
            raise NetworkNotAllowed
        return None if address is None else str(address)


Grants: TypeAlias = PasswordGrants | RelayedGrants


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
        self._record = record
        self._door = door
        self._clients = clients
        self._grants: dict[str, Grants] = {
            "password": passwords,
            "authorization_code": relayed,
            "refresh_token": relayed,
        }

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        try:
            asked, grants = self._accept(request)
        except OAuthError as error:
            self._record.refused(request.id, request.getClientAddress(), error)
            raise
        return await grants.answer(asked)

    def _accept(self, request: BoundedRequest) -> tuple[TokenRequest, Grants]:
        """Who asks for what, and who answers it."""
        address = self._door.admit(request)
        form = self._parse(request)
        grant_type = parse_grant_type(form)
        grants = self._grants.get(grant_type)
        if grants is None:
            raise UnsupportedGrantType
        credentials = parse_client(form, request.header("Authorization"))
        if grant_type == "password":
            client = self._clients.authenticate(credentials)
        else:
            client = self._clients.named(credentials)
        if grant_type not in client.grants:
            raise UnauthorizedClient
        return TokenRequest(request.id, client, credentials, form, address), grants

    def _parse(self, request: BoundedRequest) -> Form:
        body = request.read_body()
        check_form(request.header("Content-Type"), request.uri.partition(b"?")[2])
        undecoded = parse_undecoded_form(body)
        if undecoded is not None:
            client = self._clients.find(undecoded.get("client_id"))
            if client is not None and client.undecoded:
                return undecoded
        return parse_form(body)
