"""The userinfo endpoint (OpenID Connect Core section 5.3)."""

from __future__ import annotations

from typing import Any

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.errors import InvalidTokenError, TemporarilyUnavailableError
from ropg_twisted.oauth.access_tokens import AccessTokens, bearer_token
from ropg_twisted.oauth.request import Form, check_form, parse_form
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.verdict import UnverifiableError


class UserinfoEndpoint:
    """Answers for our own access tokens from their claims; asks Authentik about its own."""

    def __init__(self, network_policy: NetworkPolicy, tokens: AccessTokens, relay: Relay) -> None:
        self._network_policy = network_policy
        self._tokens = tokens
        self._relay = relay

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The claims. Raises :exc:`OAuthError` for every other answer (RFC 6750 section 3.1)."""
        self._network_policy.check(self._network_policy.client_address(request))
        form: Form = {}
        if request.method == b"POST" and request.read_body():
            check_form(request.header("Content-Type"), b"")
            form = parse_form(request.read_body())
        token = bearer_token(request.header("Authorization"), form)
        ours = self._tokens.userinfo(token)
        if ours is not None:
            return ours
        try:
            claims = await self._relay.userinfo(token)
        except UnverifiableError:
            raise TemporarilyUnavailableError from None
        if claims is None:
            raise InvalidTokenError
        return claims
