"""The grants that Authentik answers itself: authorization code and refresh token."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from ropg_twisted.authentik.relay import Refusal, Relay
from ropg_twisted.errors import AbortedError, OAuthError, RelayedError, TemporarilyUnavailableError
from ropg_twisted.oauth.clients import TokenRequest, matching_secret
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.settings.model import Client
from ropg_twisted.telemetry.audit import AuditLog
from ropg_twisted.verdict import UnverifiableError


class RelayedGrantHandler:
    """Hands ``authorization_code`` and ``refresh_token`` on to Authentik (RFC 6749 4.1.3, 6).

    Authentik authenticates the client: its secret there may be another than the one here.
    """

    def __init__(self, relay: Relay, reissuer: Reissuer, audit: AuditLog) -> None:
        self._relay = relay
        self._reissuer = reissuer
        self._audit = audit

    async def answer(self, request: TokenRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        try:
            granted = await self._relay.token(
                request.client.id, request.form, _authorization(request), request.context.address
            )
        except UnverifiableError as unverifiable:
            self._audit.relay(request.context, unverifiable.reason.value)
            raise outage(request.client) from None
        if isinstance(granted, Refusal):
            self._audit.relay_refused(request.context, granted.error)
            raise RelayedError(granted.status, granted.error, granted.description)
        self._audit.relay(request.context, "tokens")
        return self._reissuer.reissue(granted, request.client)


def _authorization(request: TokenRequest) -> str | None:
    """HTTP Basic as Authentik reads it: it takes the secret as it stands, and decodes nothing.

    A secret that is not known here is taken as form-encoded only if it looks like that.
    """
    credentials = request.credentials
    if not credentials.basic:
        return None
    decoded, raw = credentials.secrets or ("", "")
    likely = decoded if "%" in raw else raw
    secret = matching_secret(request.client, credentials) or likely
    return "Basic " + b64encode(f"{credentials.id}:{secret}".encode()).decode("ascii")


def outage(client: Client) -> OAuthError:
    """What a client is told when Authentik cannot be asked."""
    return AbortedError() if client.drop_on_outage else TemporarilyUnavailableError()
