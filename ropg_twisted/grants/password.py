"""The password grant (RFC 6749 section 4.3): a typed password in, tokens out."""

from __future__ import annotations

from time import monotonic
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ropg_twisted.errors import (
    AccessDeniedError,
    InteractionRequiredError,
    InvalidGrantError,
    MFARequiredError,
    OAuthError,
    SlowDownError,
)
from ropg_twisted.grants.relay import outage
from ropg_twisted.interfaces import CheckResult, CodeRequest, IPasswordVerifier, LoginAttempt, User
from ropg_twisted.oauth.claims import DEFAULT_SCOPE
from ropg_twisted.oauth.clients import TokenRequest
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.request import PasswordGrant, split_code
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.settings.model import Client, SecondFactor
from ropg_twisted.telemetry.audit import AuditLog
from ropg_twisted.verdict import Outcome, Reason, Verdict


class PasswordGrantHandler:
    """Checks passwords, and answers with our own tokens or with Authentik's."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        verifier: IPasswordVerifier,
        issuer: TokenIssuer,
        reissuer: Reissuer,
        audit: AuditLog,
    ) -> None:
        self._verifier = verifier
        self._issuer = issuer
        self._reissuer = reissuer
        self._audit = audit

    async def answer(self, request: TokenRequest, grant: PasswordGrant) -> dict[str, Any]:
        """The token response. Raises :exc:`OAuthError` for every other answer."""
        client = request.client
        check = await self._check(request, _login(grant, client, request.context.address))
        if check.tokens is not None:
            return self._reissuer.reissue(check.tokens, client)
        user = check.user
        if check.outcome.reason is Reason.MFA and client.second_factor is SecondFactor.TOKENS:
            user = User.from_username(grant.username)
        if user is None:
            raise refusal(check, client)
        with_code = check.outcome.reason is Reason.VERIFIED_WITH_CODE
        methods = ["pwd", "otp"] if with_code else ["pwd"]
        return self._issuer.issue(client, grant, user, amr=methods)

    async def _check(self, request: TokenRequest, login: LoginAttempt) -> CheckResult:
        """Check the password, and write down what came of it. A mistake of ours is no verdict."""
        began = monotonic()

        def audit(outcome: Outcome) -> None:
            self._audit.check(request.context, login.username, outcome, monotonic() - began)

        try:
            check = await self._verifier.verify(login)
        except CancelledError:
            audit(Outcome(Verdict.UNVERIFIABLE, Reason.CLIENT_GONE))
            raise
        except Exception:
            self.log.failure("internal_error", request=request.context.id)
            check = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.INTERNAL_ERROR))
        audit(check.outcome)
        return check


def _login(grant: PasswordGrant, client: Client, address: str | None) -> LoginAttempt:
    password, code = grant.password, None
    if client.second_factor is SecondFactor.CODE:
        password, code = split_code(grant.password)
    tokens = None
    if client.upstream_tokens:
        assert client.redirect_uri is not None
        scope = grant.scope or DEFAULT_SCOPE
        tokens = CodeRequest(
            client_id=client.id,
            client_secret=client.secret,
            redirect_uri=client.redirect_uri,
            scope=client.narrow((*scope, *client.extra_scopes)),
            nonce=grant.nonce,
        )
    return LoginAttempt(grant.username, password, address, code, tokens, client.rates)


def refusal(check: CheckResult, client: Client) -> OAuthError:
    """The error that a client is told for a check that brings no tokens."""
    if check.retry_after is not None:
        return SlowDownError(check.retry_after)
    match check.outcome.verdict:
        case Verdict.REJECTED:
            return InvalidGrantError()
        case Verdict.DENIED:
            return AccessDeniedError()
        case Verdict.INTERACTION_REQUIRED if check.outcome.reason is Reason.MFA:
            return MFARequiredError()
        case Verdict.INTERACTION_REQUIRED:
            return InteractionRequiredError()
        case _:
            return outage(client)
