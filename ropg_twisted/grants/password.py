"""The password grant (RFC 6749 section 4.3)."""

from __future__ import annotations

from time import monotonic
from typing import ClassVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ropg_twisted.grants.outcomes import check_error
from ropg_twisted.interfaces import (
    CheckResult,
    CodeRequest,
    IPasswordVerifier,
    LoginAttempt,
    UpstreamTokenResponse,
    User,
)
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.request import PasswordGrant, TokenRequest, split_code
from ropg_twisted.oauth.scopes import allowed_scope
from ropg_twisted.oauth.tokens import TokenIssuer, TokenResponse
from ropg_twisted.settings.model import SecondFactor
from ropg_twisted.telemetry.observers import CheckRecord, IRequestObserver
from ropg_twisted.verdict import Outcome, Reason, Verdict


class PasswordGrantHandler:
    """Checks a password and answers with our own tokens or with Authentik's."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        verifier: IPasswordVerifier,
        issuer: TokenIssuer,
        reissuer: Reissuer,
        observer: IRequestObserver,
    ) -> None:
        self._verifier = verifier
        self._issuer = issuer
        self._reissuer = reissuer
        self._observer = observer

    async def answer(
        self, request: TokenRequest, grant: PasswordGrant
    ) -> TokenResponse | UpstreamTokenResponse:
        """Return the token response. Raises :exc:`OAuthError` for every other answer."""
        client = request.client
        check = await self._check(request, _login(grant, request))
        if check.tokens is not None:
            return self._reissuer.reissue(check.tokens, client)
        user = check.user
        if check.outcome.reason is Reason.MFA and client.second_factor is SecondFactor.TOKENS:
            user = User.from_username(grant.username)
        if user is None:
            raise check_error(check, drop_on_outage=client.drop_on_outage)
        with_code = check.outcome.reason is Reason.VERIFIED_WITH_CODE
        methods = ["pwd", "otp"] if with_code else ["pwd"]
        return self._issuer.issue(client, grant, user, amr=methods)

    async def _check(self, request: TokenRequest, login: LoginAttempt) -> CheckResult:
        """Check the password and record the result. An internal error is ``unverifiable``."""
        started = monotonic()

        def record(check: CheckResult) -> CheckResult:
            seconds = monotonic() - started
            self._observer.check(
                CheckRecord(request.context, login.username, check.outcome, seconds, check.trace)
            )
            return check

        try:
            return record(await self._verifier.verify(login))
        except CancelledError:
            record(CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.CLIENT_GONE)))
            raise
        except Exception:
            self.log.failure("internal_error", request=request.context.id)
            return record(CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.INTERNAL_ERROR)))


def _login(grant: PasswordGrant, request: TokenRequest) -> LoginAttempt:
    client = request.client
    password, code = grant.password, None
    if client.second_factor is SecondFactor.CODE:
        password, code = split_code(grant.password)
    tokens = None
    if client.upstream_tokens:
        assert client.redirect_uri is not None
        tokens = CodeRequest(
            client_id=client.id,
            client_secret=client.secret,
            redirect_uri=client.redirect_uri,
            scope=allowed_scope(grant.scope, client),
            nonce=grant.nonce,
        )
    return LoginAttempt(
        grant.username,
        password,
        request.context.address,
        code,
        tokens,
        client.rates,
        trace_context=request.context.trace_context,
    )
