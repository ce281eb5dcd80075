"""The status, code and text of every error of the OAuth endpoints, and errors of settings.

Never change a text: some clients compare the whole body.
"""

from __future__ import annotations

from typing import ClassVar


class OAuthError(Exception):
    """An error response (RFC 6749 section 5.2).

    ``status``: the HTTP status. ``code``: the value of ``error``. ``description``: the value of
    ``error_description``; it repeats nothing that the client has sent.
    """

    status: int = 400
    code: str
    description: str

    def __init__(self, description: str | None = None) -> None:
        if description is not None:
            self.description = description
        super().__init__(self.description)


class InvalidRequestError(OAuthError):
    """A parameter is missing, repeated or malformed."""

    code = "invalid_request"
    description = "The request is malformed"


class RequestTooLargeError(InvalidRequestError):
    """The body exceeds the limit."""

    status = 413
    description = "The request is too large"


class InvalidClientError(OAuthError):
    """The client is unknown, or its secret is wrong.

    ``basic``: the client used HTTP Basic, so the response has a challenge (RFC 6749 section 5.2).
    """

    status = 401
    code = "invalid_client"
    description = "Client authentication failed"

    def __init__(self, *, basic: bool = False) -> None:
        super().__init__()
        self.basic = basic


class InvalidTokenError(OAuthError):
    """The access token is invalid or missing (RFC 6750 section 3.1).

    ``given``: whether the request has a token.
    """

    status = 401
    code = "invalid_token"
    description = "The access token is not valid"

    def __init__(self, *, given: bool = True) -> None:
        super().__init__()
        self.given = given


class UnauthorizedClientError(OAuthError):
    """The client may not use this grant."""

    code = "unauthorized_client"
    description = "The client may not use this grant"


class RelayedError(OAuthError):
    """An error of Authentik's token endpoint, passed on."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code


class UnsupportedGrantTypeError(OAuthError):
    """The grant type is not supported."""

    code = "unsupported_grant_type"
    description = "The grant type is not supported"


class InvalidGrantError(OAuthError):
    """The credentials are wrong. Himmelblau recognizes that by this text."""

    code = "invalid_grant"
    description = "Invalid username or password"


class InteractionRequiredError(OAuthError):
    """The password is right, but the next step needs the user."""

    code = "interaction_required"
    description = "User interaction required"


class MFARequiredError(InteractionRequiredError):
    """The password is right, but a second factor is required."""

    description = "Multi-factor authentication required"


class AccessDeniedError(OAuthError):
    """Access is denied for a reason other than the password."""

    code = "access_denied"
    description = "Access denied"


class NetworkNotAllowedError(AccessDeniedError):
    """The client's network is not allowed."""

    status = 403


class SlowDownError(OAuthError):
    """Too many attempts. ``retry_after``: seconds until another attempt may succeed."""

    status = 429
    code = "slow_down"
    description = "Too many attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class TemporarilyUnavailableError(OAuthError):
    """The password cannot be checked now. ``retry_after``: as in :class:`SlowDownError`."""

    status = 503
    code = "temporarily_unavailable"
    description = "The service is temporarily unavailable"
    retry_after: ClassVar[int] = 30


class AbortedError(TemporarilyUnavailableError):
    """The same, answered by dropping the connection.

    For clients that take every response for a wrong password.
    """


class NotFoundError(OAuthError):
    """The path does not exist."""

    status = 404
    code = "not_found"
    description = "There is nothing at this address"


class MethodNotAllowedError(OAuthError):
    """The path does not accept the method. ``allowed``: the methods that it accepts."""

    status = 405
    code = "method_not_allowed"
    description = "The method is not allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed
