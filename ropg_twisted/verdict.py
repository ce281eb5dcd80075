"""Verdicts of password checks, their reasons, and the errors of requests to Authentik."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """The result of one password check."""

    VERIFIED = "verified"
    """Authentik asked for the password, accepted it, and completed the login."""

    INTERACTION_REQUIRED = "interaction_required"
    """Authentik accepted the password, and then asks for something that only a user can do."""

    REJECTED = "rejected"
    """Authentik refused the credentials."""

    DENIED = "denied"
    """Authentik refused the login for another reason than the password."""

    UNVERIFIABLE = "unverifiable"
    """The password could be neither accepted nor rejected."""


class Reason(StrEnum):
    """The reason for a verdict, as in the log and the metrics. Clients never see it."""

    VERIFIED = "verified"
    VERIFIED_WITH_CODE = "verified_with_code"
    """The password came with the code of a second factor, and both were accepted."""
    WRONG_CREDENTIALS = "wrong_credentials"
    WRONG_CODE = "wrong_code"
    """The password is right, but the code that came with it is wrong."""
    MFA = "mfa"
    INTERACTION = "interaction"
    POLICY = "policy"

    APPLICATION_MISSING = "application_missing"
    """Authentik has no application with the configured slug."""
    APPLICATION_NO_CODE = "application_no_code"
    """Authentik did not give an authorization code to a session that may have one."""
    PROVIDER_WITHOUT_KEY = "provider_without_key"
    """Authentik's provider has no signing key, so its tokens cannot be verified."""
    PROVIDER_TOKEN = "provider_token"
    """The id token from Authentik is not valid."""

    FLOW_DENIED = "flow_denied"
    """Authentik denied the flow itself, before a user name was sent."""
    FLOW_ENDED_EARLY = "flow_ended_early"
    """The flow ended before it had accepted a password."""
    FLOW_ERROR = "flow_error"
    """Authentik reported an error of the flow, or refused a response as malformed."""
    FLOW_MISSING = "flow_missing"
    """Authentik has no flow with the configured slug."""
    FLOW_LOOP = "flow_loop"
    """The flow did not end within the maximum number of steps."""
    FLOW_NOT_HEADLESS = "flow_not_headless"
    """Before the password, the flow needs a browser, or has an unsupported order of stages."""
    FLOW_RESTARTS = "flow_restarts"
    """The flow restarts after the password, so a refusal looks like an acceptance."""
    FLOW_UNPROVEN = "flow_unproven"
    """The verdict would need evidence of how the flow refuses a password, and there is none."""
    FLOW_UNKNOWN_STAGE = "flow_unknown_stage"
    """The flow sent an unknown component."""
    SESSION_LOST = "session_lost"
    """Authentik has forgotten the session of the login."""

    REFUSALS_IMPLAUSIBLE = "refusals_implausible"
    """Authentik refuses passwords that it accepted before, of several users at once. A directory
    behind it may be down, so no refusal is believed."""
    REFUSAL_TOO_SLOW = "refusal_too_slow"
    """Authentik refused the password, but after so long that a directory may have timed out."""

    OUTPOST_TOKEN_REFUSED = "outpost_token_refused"
    """Authentik fails every request with our outpost token."""

    UPSTREAM_BODY = "upstream_body"
    """The response is not a JSON object, has a content encoding, or is too large."""
    UPSTREAM_CONNECTION = "upstream_connection"
    """The connection failed or broke."""
    UPSTREAM_IDENTITY = "upstream_identity"
    """The password is right, but Authentik did not name the user, or named another one."""
    UPSTREAM_REDIRECT = "upstream_redirect"
    """The response redirects elsewhere than to the flow, or before the end of the flow."""
    UPSTREAM_STATUS = "upstream_status"
    """The HTTP status is not one that Authentik normally responds with."""
    UPSTREAM_TIMEOUT = "upstream_timeout"
    """There was no response before the deadline."""
    UPSTREAM_TLS = "upstream_tls"
    """Authentik's certificate is not trusted, or TLS failed."""

    BREAKER_OPEN = "breaker_open"
    """The circuit breaker is open: Authentik is known to be down, and was not asked."""
    OVERLOADED = "overloaded"
    """Too many checks at a time: the queue was full, or the check waited in it for too long."""
    STALE_PASSWORD = "stale_password"
    """Authentik has rejected the same password of the same user recently."""
    THROTTLED = "throttled"
    """A rate limit was exceeded."""

    CLIENT_GONE = "client_gone"
    """The client closed the connection before the check ended."""

    INTERNAL_ERROR = "internal_error"
    """An error in this program."""


OUTAGES: Final = frozenset(
    (
        Reason.UPSTREAM_BODY,
        Reason.UPSTREAM_CONNECTION,
        Reason.UPSTREAM_STATUS,
        Reason.UPSTREAM_TIMEOUT,
        Reason.UPSTREAM_TLS,
    )
)
"""Reasons that an Authentik which is down or unreachable leads to."""


REFUSALS: Final = frozenset(
    (Reason.WRONG_CREDENTIALS, Reason.REFUSALS_IMPLAUSIBLE, Reason.REFUSAL_TOO_SLOW)
)
"""Reasons that a password which Authentik refuses leads to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and its reason."""

    verdict: Verdict
    reason: Reason

    @property
    def accepts_password(self) -> bool:
        """True if the password is known to be right."""
        right = (Verdict.VERIFIED, Verdict.INTERACTION_REQUIRED)
        return self.verdict in right or self.reason is Reason.WRONG_CODE

    @property
    def refuses_password(self) -> bool:
        """Whether Authentik has just refused the password, believably or not."""
        return self.reason in REFUSALS


class UpstreamError(Exception):
    """Authentik did not respond as needed, or could not be asked.

    Attributes:
        reason: as in the log.
        transient: the connection broke, or Authentik responded with a server error.
        name_sent: in a login, the user name had been sent before.
    """

    def __init__(self, reason: Reason, *, transient: bool = False, name_sent: bool = True) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.transient = transient
        self.name_sent = name_sent

    @property
    def authentik_down(self) -> bool:
        """True if Authentik itself is down.

        After the user name has been sent, a slow directory or a firewall may fail for this user
        alone. Only a broken connection or a server error counts then.
        """
        broken = self.transient or self.reason is Reason.UPSTREAM_TLS
        return broken or (not self.name_sent and self.reason in OUTAGES)


class RetryableError(UpstreamError):
    """A transient error before the password was sent: one new attempt is safe."""
