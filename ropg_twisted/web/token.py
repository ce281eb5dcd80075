"""The token endpoint: a request's whole way, from its bytes to its tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.logger import Logger

from ropg_twisted.errors import (
    AccessDenied,
    InteractionRequired,
    InvalidGrant,
    MFARequired,
    OAuthError,
    TemporarilyUnavailable,
    UnsupportedGrantType,
)
from ropg_twisted.interfaces import Check, IPasswordVerifier
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.request import (
    parse_client,
    parse_form,
    parse_grant_type,
    parse_password_grant,
)
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.verdict import Outcome, Reason, Verdict
from ropg_twisted.web.http import BoundedRequest


class TokenEndpoint:
    """``POST /oauth/token`` with ``grant_type=password`` (RFC 6749 section 4.3)."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, clients: Clients, verifier: IPasswordVerifier, issuer: TokenIssuer) -> None:
        self._clients = clients
        self._verifier = verifier
        self._issuer = issuer

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        form = parse_form(
            request.getHeader("Content-Type"),
            request.uri.partition(b"?")[2],
            request.read_body(),
        )
        if parse_grant_type(form) != "password":
            raise UnsupportedGrantType
        client = self._clients.authenticate(parse_client(form, request.getHeader("Authorization")))
        grant = parse_password_grant(form)
        check = await self._verifier.verify(grant.credentials)
        self._log(request, client.id, grant.credentials.username, check)
        if check.person is None:
            raise refusal(check.outcome)
        return self._issuer.issue(client.id, grant, check.person)

    def _log(self, request: BoundedRequest, client_id: str, username: str, check: Check) -> None:
        self.log.info(
            "check of {username} for {client} from {address}: {verdict} ({reason})",
            username=username,
            client=client_id,
            address=request.getClientAddress().host,
            verdict=check.outcome.verdict.value,
            reason=check.outcome.reason.value,
            request=request.id,
        )


def refusal(outcome: Outcome) -> OAuthError:
    """The error that a client is told for an outcome that brings no tokens."""
    match outcome.verdict:
        case Verdict.REJECTED:
            return InvalidGrant()
        case Verdict.DENIED:
            return AccessDenied()
        case Verdict.INTERACTION_REQUIRED if outcome.reason is Reason.MFA:
            return MFARequired()
        case Verdict.INTERACTION_REQUIRED:
            return InteractionRequired()
        case _:
            return TemporarilyUnavailable()
