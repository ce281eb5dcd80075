"""Every error answer of the OAuth endpoints: status, code and text, each in one place.

Bodies are byte-stable: some clients compare them whole.
"""

from __future__ import annotations

from typing import ClassVar


class OAuthError(Exception):
    """An answer of RFC 6749 section 5.2: a JSON object of ``error`` and ``error_description``.

    ``status``: the HTTP status. ``code``: the value of ``error``. ``description``: a text for
    people that names no value that a client has sent.
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
    """The body is larger than the limit."""

    status = 413
    description = "The request is too large"


class InvalidClientError(OAuthError):
    """The client is not known, or its secret is wrong.

    ``basic``: it tried HTTP Basic, and must be challenged to (RFC 6749 section 5.2).
    """

    status = 401
    code = "invalid_client"
    description = "Client authentication failed"

    def __init__(self, *, basic: bool = False) -> None:
        super().__init__()
        self.basic = basic


class InvalidTokenError(OAuthError):
    """An access token that is not valid (RFC 6750 section 3.1). ``given``: there was one."""

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
    """An error that Authentik has answered with."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code


class UnsupportedGrantTypeError(OAuthError):
    """A grant that is not served here."""

    code = "unsupported_grant_type"
    description = "The grant type is not supported"


class InvalidGrantError(OAuthError):
    """Wrong credentials. Himmelblau knows them by this very text."""

    code = "invalid_grant"
    description = "Invalid username or password"


class InteractionRequiredError(OAuthError):
    """The password is right, and something that only a person can do comes next."""

    code = "interaction_required"
    description = "User interaction required"


class MFARequiredError(InteractionRequiredError):
    """The password is right, and a second factor comes next."""

    description = "Multi-factor authentication required"


class AccessDeniedError(OAuthError):
    """Refused for another reason than the password."""

    code = "access_denied"
    description = "Access denied"


class NetworkNotAllowedError(AccessDeniedError):
    """The network of the client may not ask."""

    status = 403


class SlowDownError(OAuthError):
    """Too many attempts. ``retry_after``: seconds after which there may be room again."""

    status = 429
    code = "slow_down"
    description = "Too many attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class TemporarilyUnavailableError(OAuthError):
    """Nothing can be said about the password now. ``retry_after``: as of :class:`SlowDownError`."""

    status = 503
    code = "temporarily_unavailable"
    description = "The service is temporarily unavailable"
    retry_after: ClassVar[int] = 30


class AbortedError(TemporarilyUnavailableError):
    """The same, for a client that takes every answer for a wrong password: it gets none."""


class NotFoundError(OAuthError):
    """No such path."""

    status = 404
    code = "not_found"
    description = "There is nothing at this address"


class MethodNotAllowedError(OAuthError):
    """A method that the path does not take. ``allowed``: those that it takes."""

    status = 405
    code = "method_not_allowed"
    description = "The method is not allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed
