"""The introspection endpoint (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.grants.outcomes import outage_error
from ropg_twisted.oauth.access_tokens import INACTIVE, AccessTokens
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.forms import check_form, parse_form
from ropg_twisted.oauth.request import parse_client, parse_token
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.telemetry.observers import IRequestObserver
from ropg_twisted.verdict import UpstreamError


class IntrospectionEndpoint:
    """``POST /introspect``, for our own access tokens and for Authentik's tokens."""

    def __init__(
        self,
        network_policy: NetworkPolicy,
        clients: Clients,
        tokens: AccessTokens,
        relay: Relay,
        observer: IRequestObserver,
    ) -> None:
        self._network_policy = network_policy
        self._clients = clients
        self._tokens = tokens
        self._relay = relay
        self._observer = observer

    async def answer(self, request: BoundedRequest) -> Mapping[str, object]:
        """Return the introspection response (RFC 7662 section 2.2).

        A client learns about its own tokens only: every other token is inactive to it.

        Raises :exc:`OAuthError` for every other answer.
        """
        address = self._network_policy.client_address(request)
        try:
            self._network_policy.check(address)
            check_form(request.header("Content-Type"), request.uri.partition(b"?")[2])
            form = parse_form(request.read_body())
            credentials = parse_client(form, request.header("Authorization"))
            client, secret = self._clients.authenticate_confidential(credentials)
            token = parse_token(form)
        except OAuthError as error:
            self._observer.refused(request.trace_context, address, error)
            raise
        context = RequestContext(request.id, client.id, address, request.trace_context)
        response = self._tokens.introspect(token, client.id)
        if response is None:
            try:
                response = await self._relay.introspect(context, token, secret)
            except UpstreamError as error:
                self._observer.introspection(context, error.reason.value)
                raise outage_error(drop_on_outage=client.drop_on_outage) from None
        self._observer.introspection(context, "active" if response["active"] else "inactive")
        return response if response["active"] else INACTIVE
