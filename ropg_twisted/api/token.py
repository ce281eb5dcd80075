"""The token endpoint (RFC 6749 section 3.2)."""

from __future__ import annotations

from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError, UnauthorizedClientError, UnsupportedGrantTypeError
from ropg_twisted.grants.password import PasswordGrantHandler
from ropg_twisted.grants.relay import RelayedGrantHandler
from ropg_twisted.interfaces import UpstreamTokenResponse
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.forms import Form, check_form, parse_form, parse_unencoded_form
from ropg_twisted.oauth.request import (
    TokenRequest,
    parse_client,
    parse_grant_type,
    parse_password_grant,
)
from ropg_twisted.oauth.tokens import TokenResponse
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.settings.model import GRANTS, PASSWORD_GRANT
from ropg_twisted.telemetry.observers import IRequestObserver


class TokenEndpoint:
    """``POST /oauth/token``."""

    def __init__(
        self,
        network_policy: NetworkPolicy,
        clients: Clients,
        passwords: PasswordGrantHandler,
        relayed: RelayedGrantHandler,
        observer: IRequestObserver,
    ) -> None:
        self._network_policy = network_policy
        self._clients = clients
        self._passwords = passwords
        self._relayed = relayed
        self._observer = observer

    async def answer(self, request: BoundedRequest) -> TokenResponse | UpstreamTokenResponse:
        """Return the token response. Raises :exc:`OAuthError` for every other answer.

        A request that is refused in phases 1 to 4 is logged here; the grant handlers log theirs.
        """
        address = self._network_policy.client_address(request)
        try:
            # 1. Check the network.
            self._network_policy.check(address)

            # 2. Read the form.
            form = self._read_form(request)
            grant_type = parse_grant_type(form)
            if grant_type not in GRANTS:
                raise UnsupportedGrantTypeError
            is_password = grant_type == PASSWORD_GRANT

            # 3. Authenticate the client. Authentik does that for the grants relayed to it.
            credentials = parse_client(form, request.header("Authorization"))
            if is_password:
                client = self._clients.authenticate(credentials)
            else:
                client = self._clients.identify(credentials)

            # 4. Check the grant.
            if grant_type not in client.grants:
                raise UnauthorizedClientError
            password_grant = parse_password_grant(form) if is_password else None
        except OAuthError as error:
            self._observer.refused(request.trace_context, address, error)
            raise

        # 5. Answer.
        context = RequestContext(request.id, client.id, address, request.trace_context)
        token_request = TokenRequest(context, client, grant_type, credentials, form)
        if password_grant is None:
            return await self._relayed.answer(token_request)
        return await self._passwords.answer(token_request, password_grant)

    def _read_form(self, request: BoundedRequest) -> Form:
        body = request.read_body()
        check_form(request.header("Content-Type"), request.uri.partition(b"?")[2])
        unencoded = parse_unencoded_form(body)
        if unencoded is not None:
            client = self._clients.find(unencoded.get("client_id"))
            if client is not None and client.unencoded:
                return unencoded
        return parse_form(body)
