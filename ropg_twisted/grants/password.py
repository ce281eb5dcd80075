"""The password grant (RFC 6749 section 4.3)."""

from __future__ import annotations

from time import monotonic
from typing import ClassVar, Final

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
from ropg_twisted.settings.model import Client, SecondFactor
from ropg_twisted.telemetry.observers import CheckRecord, IRequestObserver
from ropg_twisted.verdict import Outcome, Reason, Verdict

_CLIENT_GONE: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.CLIENT_GONE))
_INTERNAL_ERROR: Final = CheckResult(Outcome(Verdict.UNVERIFIABLE, Reason.INTERNAL_ERROR))


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
        login = _login(grant, request)
        started = monotonic()
        try:
            check = await self._check(request, login)
        except CancelledError:
            self._record(request, login, _CLIENT_GONE, monotonic() - started)
            raise
        seconds = monotonic() - started
        user = check.user
        if check.outcome.reason is Reason.MFA and client.second_factor is SecondFactor.TOKENS:
            user = User.from_username(grant.username)
        if user is None:
            self._record(request, login, check, seconds)
            raise check_error(check, drop_on_outage=client.drop_on_outage)
        verified = monotonic()
        try:
            return self._respond(client, grant, check, user)
        finally:
            self._record(request, login, check, seconds, monotonic() - verified)

    async def _check(self, request: TokenRequest, login: LoginAttempt) -> CheckResult:
        """Check the password. An internal error is ``unverifiable``."""
        try:
            return await self._verifier.verify(login)
        except CancelledError:
            raise
        except Exception:
            self.log.failure("internal_error", request=request.context.id)
            return _INTERNAL_ERROR

    def _respond(
        self, client: Client, grant: PasswordGrant, check: CheckResult, user: User
    ) -> TokenResponse | UpstreamTokenResponse:
        if check.tokens is not None:
            return self._reissuer.reissue(check.tokens, client)
        with_code = check.outcome.reason is Reason.VERIFIED_WITH_CODE
        return self._issuer.issue(client, grant, user, amr=["pwd", "otp"] if with_code else ["pwd"])

    def _record(
        self,
        request: TokenRequest,
        login: LoginAttempt,
        check: CheckResult,
        seconds: float,
        signing_seconds: float | None = None,
    ) -> None:
        self._observer.check(
            CheckRecord(
                request.context,
                login.username,
                check.outcome,
                seconds,
                check.trace,
                signing_seconds,
            )
        )


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
