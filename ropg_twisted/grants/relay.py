"""The grants that are relayed to Authentik: authorization code and refresh token."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from ropg_twisted.authentik.relay import ErrorResponse, Relay
from ropg_twisted.errors import RelayedError
from ropg_twisted.grants.outcomes import outage_error
from ropg_twisted.interfaces import UpstreamTokenResponse
from ropg_twisted.oauth.clients import matching_secret
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.request import TokenRequest
from ropg_twisted.telemetry.observers import IRequestObserver
from ropg_twisted.verdict import UpstreamError

TOKEN_ERRORS: Final = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    )
)
"""The errors of a token endpoint (RFC 6749 section 5.2)."""


class RelayedGrantHandler:
    """Relays ``authorization_code`` and ``refresh_token`` (RFC 6749 sections 4.1.3 and 6).

    Authentik authenticates the client: its secret there may differ from the one in the settings.
    """

    def __init__(self, relay: Relay, reissuer: Reissuer, observer: IRequestObserver) -> None:
        self._relay = relay
        self._reissuer = reissuer
        self._observer = observer

    async def answer(self, request: TokenRequest) -> UpstreamTokenResponse:
        """Return the token response. Raises :exc:`OAuthError` for every other answer."""
        client = request.client
        try:
            granted = await self._relay.token(
                request.context, request.form, _authorization(request)
            )
        except UpstreamError as error:
            self._observer.relay(request.context, request.grant_type, error.reason.value)
            raise outage_error(drop_on_outage=client.drop_on_outage) from None
        if isinstance(granted, ErrorResponse):
            if granted.error in TOKEN_ERRORS:
                self._observer.relay(request.context, request.grant_type, granted.error)
            else:
                self._observer.relay(request.context, request.grant_type, "other", granted.error)
            raise RelayedError(granted.status, granted.error, granted.description)
        self._observer.relay(request.context, request.grant_type, "tokens")
        return self._reissuer.reissue(granted, client)


def _authorization(request: TokenRequest) -> str | None:
    """Return the Authorization header for Authentik, which does not form-decode the secret.

    If the settings do not tell the client's secret, one with a ``%`` in it counts as form-encoded.
    """
    credentials = request.credentials
    if not credentials.basic:
        return None
    decoded, raw = credentials.secrets or ("", "")
    guess = decoded if "%" in raw else raw
    secret = matching_secret(request.client, credentials) or guess
    return "Basic " + b64encode(f"{credentials.id}:{secret}".encode()).decode("ascii")
