"""The token endpoint: a request's whole way, from its bytes to its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ropg_twisted.errors import (
    Aborted,
    AccessDenied,
    InteractionRequired,
    InvalidGrant,
    MFARequired,
    NetworkNotAllowed,
    OAuthError,
    SlowDown,
    TemporarilyUnavailable,
    UnsupportedGrantType,
)
from ropg_twisted.guard.throttle import Throttle
from ropg_twisted.interfaces import Check, Login
from ropg_twisted.networks import Networks, client_address
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.request import (
    Form,
    parse_client,
    parse_form,
    parse_grant_type,
    parse_password_grant,
    parse_undecoded_form,
)
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Outcome, Reason, Verdict
from ropg_twisted.watch.checks import CheckRecord
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


class TokenEndpoint:
    """``POST /oauth/token`` with ``grant_type=password`` (RFC 6749 section 4.3)."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        door: Door,
        clients: Clients,
        throttle: Throttle,
        issuer: TokenIssuer,
        record: CheckRecord,
    ) -> None:
        self._door = door
        self._clients = clients
        self._throttle = throttle
        self._issuer = issuer
        self._record = record

    async def answer(self, request: BoundedRequest) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        address = self._door.admit(request)
        form = self._parse(request)
        if parse_grant_type(form) != "password":
            raise UnsupportedGrantType
        client = self._clients.authenticate(parse_client(form, request.header("Authorization")))
        grant = parse_password_grant(form)
        login = Login(grant.username, grant.password, address)
        check = await self._check(request, client, login)
        if check.person is None:
            raise refusal(check.outcome, client)
        return self._issuer.issue(client.id, grant, check.person)

    def _parse(self, request: BoundedRequest) -> Form:
        body = request.read_body()
        undecoded = parse_undecoded_form(body)
        if undecoded is not None:
            client = self._clients.find(undecoded.get("client_id"))
            if client is not None and client.undecoded:
                return undecoded
        query = request.uri.partition(b"?")[2]
        return parse_form(request.header("Content-Type"), query, body)

    async def _check(self, request: BoundedRequest, client: Client, login: Login) -> Check:
        """Check the password, and write down what came of it. A mistake of ours is no verdict."""
        began = monotonic()

        def record(outcome: Outcome) -> None:
            self._record.write(request.id, client.id, login, outcome, monotonic() - began)

        try:
            check = await self._throttle.verify(login, client.rates)
        except SlowDown:
            record(Outcome(Verdict.UNVERIFIABLE, Reason.THROTTLED))
            raise
        except CancelledError:
            record(Outcome(Verdict.UNVERIFIABLE, Reason.CLIENT_GONE))
            raise
        except Exception:
            self.log.failure("internal_error", request=request.id)
            check = Check(Outcome(Verdict.UNVERIFIABLE, Reason.INTERNAL_ERROR))
        record(check.outcome)
        return check


def refusal(outcome: Outcome, client: Client) -> OAuthError:
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
            return Aborted() if client.aborts else TemporarilyUnavailable()
