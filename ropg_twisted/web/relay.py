"""The grants that Authentik answers itself: authorization code and refresh token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropg_twisted.authentik.documents import Documents
from ropg_twisted.authentik.relay import Refusal, Relay
from ropg_twisted.errors import Aborted, OAuthError, Relayed, TemporarilyUnavailable
from ropg_twisted.oauth.reissue import ForeignToken, Reissuer, key_id
from ropg_twisted.oauth.request import Form
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Unverifiable
from ropg_twisted.watch.record import Record
from ropg_twisted.web.request import BoundedRequest


def outage(client: Client) -> OAuthError:
    """What a client is told when Authentik cannot be asked."""
    return Aborted() if client.aborts else TemporarilyUnavailable()


class ForeignTokens:
    """Token responses of Authentik's, with their id tokens put under our issuer.

    Access and refresh tokens stay Authentik's. Raises :exc:`Unverifiable` for an id token that
    does not verify.
    """

    def __init__(self, documents: Documents, reissuer: Reissuer) -> None:
        self._documents = documents
        self._reissuer = reissuer

    async def reissue(self, tokens: Mapping[str, Any], client: Client) -> dict[str, Any]:
        """The response that ``client`` gets."""
        id_token = tokens.get("id_token")
        if id_token is None:
            return dict(tokens)
        discovery = await self._documents.discovery()
        try:
            key = await self._documents.key(key_id(id_token))
            ours = self._reissuer.reissue(
                id_token,
                key,
                issuer=str((discovery or {}).get("issuer")),
                client=client,
                access_token=tokens.get("access_token"),
            )
        except ForeignToken:
            raise Unverifiable(Reason.PROVIDER_TOKEN) from None
        return {**tokens, "id_token": ours}


class RelayedGrants:
    """Hands ``authorization_code`` and ``refresh_token`` on to Authentik (RFC 6749 4.1.3, 6).

    Authentik authenticates the client: its secret there may be another than the one here.
    """

    def __init__(self, relay: Relay, tokens: ForeignTokens, record: Record) -> None:
        self._relay = relay
        self._tokens = tokens
        self._record = record

    async def answer(
        self, request: BoundedRequest, client: Client, form: Form, address: str | None
    ) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        grant = form["grant_type"]
        try:
            answer = await self._relay.token(form, request.header("Authorization"), address)
            if isinstance(answer, Refusal):
                self._record.relay(request.id, client.id, grant, address, answer.error)
                raise Relayed(answer.status, answer.error, answer.description)
            tokens = await self._tokens.reissue(answer, client)
        except Unverifiable as unverifiable:
            self._record.relay(request.id, client.id, grant, address, unverifiable.reason.value)
            raise outage(client) from None
        self._record.relay(request.id, client.id, grant, address, "tokens")
        return tokens
