"""Authorization requests: their parameters, and the redirects that answer them.

RFC 6749 section 4.1, RFC 7636 and OpenID Connect Core section 3.1.2, for ``response_type=code``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.sessions import Session
from ropg_twisted.sandbox.oauth2.applications import Application, Applications
from ropg_twisted.sandbox.oauth2.grants import Code, Grant

Form: TypeAlias = Mapping[str, str]
"""The parameters of a query or a form."""

CODE_LIFETIME = 60
"""Seconds, which is what Authentik sets by itself."""


class Stop(Enum):
    """Reasons not to redirect the browser to the client."""

    UNKNOWN_CLIENT = "The client identifier (client_id) is missing or invalid."
    WRONG_REDIRECT_URI = (
        "The request fails due to a missing, invalid, or mismatching redirection URI "
        "(redirect_uri)."
    )
    NOT_LOGGED_IN = "Somebody has to log in first."
    REFUSED = "Permission denied"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request of a known client with a redirect URI of its own; the rest may be wrong."""

    application: Application
    redirect_uri: str
    query: Form = field(repr=False)

    @classmethod
    def read(cls, query: Form, applications: Applications) -> AuthorizationRequest | Stop:
        """Return the request, or the reason why it is invalid."""
        application = applications.find_client(query.get("client_id", ""))
        if application is None:
            return Stop.UNKNOWN_CLIENT
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in application.redirect_uris:
            return Stop.WRONG_REDIRECT_URI
        return cls(application, redirect_uri, query)

    def problem(self, account: Account | None) -> tuple[str, str] | None:
        """Return the error for the client with its description, or ``None``.

        ``account``: who is logged in.
        """
        method, prompt = self._method, self.query.get("prompt", "").split()
        if self.query.get("response_type") != "code":
            return "unsupported_response_type", (
                "The authorization server does not support obtaining an authorization code "
                "using this method"
            )
        if "authorization_code" not in self.application.grant_types:
            return "invalid_request", "The request is otherwise malformed"
        if self.query.get("code_challenge") and method not in ("plain", "S256"):
            return "invalid_request", f"Unsupported challenge method {method}"
        if self.query.get("request"):
            description = "The provider does not support use of the request parameter"
            return "request_not_supported", description
        if "none" in prompt and account is None:
            return "login_required", "The Authorization Server requires End-User authentication"
        return None

    def granted(self, account: Account, session: Session, now: float) -> Code:
        """Return the grant of a code for the user of this session.

        The scope is what is asked for and allowed; who asks for none gets all.
        """
        asked = self.query.get("scope", "").split() or self.application.scopes
        scope, nonce = self.application.allowed(asked), self.query.get("nonce")
        return Code(
            Grant(self.application, account, scope, session.auth_time, session, nonce),
            self.redirect_uri,
            now + CODE_LIFETIME,
            self.query.get("code_challenge") or None,
            self._method,
        )

    def with_code(self, code: str) -> str:
        """Return the redirect to the client with a code."""
        parts = urlsplit(self.redirect_uri)
        pairs = [*parse_qsl(parts.query), ("code", code), ("state", self.query.get("state", ""))]
        return parts._replace(query=urlencode(pairs)).geturl()

    def with_error(self, error: str, description: str) -> str:
        """Return the redirect to the client with an error."""
        url = f"{self.redirect_uri}?error={error}&error_description={quote(description)}"
        state = self.query.get("state")
        return f"{url}&state={quote(state)}" if state else url

    @property
    def _method(self) -> str:
        return self.query.get("code_challenge_method", "plain")
