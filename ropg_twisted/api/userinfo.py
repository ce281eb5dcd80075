"""The userinfo endpoint (OpenID Connect Core section 5.3)."""

from __future__ import annotations

from collections.abc import Mapping

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.errors import InvalidTokenError, TemporarilyUnavailableError
from ropg_twisted.oauth.access_tokens import AccessTokens, bearer_token
from ropg_twisted.oauth.forms import Form, check_form, parse_form
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.verdict import UpstreamError


class UserinfoEndpoint:
    """``GET`` and ``POST /userinfo``, for our own access tokens and for Authentik's."""

    def __init__(self, network_policy: NetworkPolicy, tokens: AccessTokens, relay: Relay) -> None:
        self._network_policy = network_policy
        self._tokens = tokens
        self._relay = relay

    async def answer(self, request: BoundedRequest) -> Mapping[str, object]:
        """Return the claims. Raises :exc:`OAuthError` for every other answer (RFC 6750 3.1)."""
        self._network_policy.check(self._network_policy.client_address(request))
        form: Form = {}
        if request.method == b"POST" and request.read_body():
            check_form(request.header("Content-Type"), b"")
            form = parse_form(request.read_body())
        token = bearer_token(request.header("Authorization"), form)
        own_claims = self._tokens.userinfo(token)
        if own_claims is not None:
            return own_claims
        try:
            upstream_claims = await self._relay.userinfo(token)
        except UpstreamError:
            raise TemporarilyUnavailableError from None
        if upstream_claims is None:
            raise InvalidTokenError
        return upstream_claims
