"""The words for what a password check can come to, and for why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What Authentik's answers say about one typed password."""

    VERIFIED = "verified"
    """The password was asked for, sent and accepted, and its login is complete."""

    INTERACTION_REQUIRED = "interaction_required"
    """The password was accepted; something that only a person can do comes next."""

    REJECTED = "rejected"
    """Authentik refused the credentials."""

    DENIED = "denied"
    """Refused for another reason than the password."""

    UNVERIFIABLE = "unverifiable"
    """Nothing was learned about the password."""


class Reason(StrEnum):
    """The one word by which the log explains a check. Clients never see it."""

    VERIFIED = "verified"
    VERIFIED_WITH_CODE = "verified_with_code"
    """A code of a second factor came with the password and was accepted as well."""
    WRONG_CREDENTIALS = "wrong_credentials"
    WRONG_CODE = "wrong_code"
    """The password is right; the code that came with it is not."""
    MFA = "mfa"
    INTERACTION = "interaction"
    POLICY = "policy"

    APPLICATION_MISSING = "application_missing"
    """Authentik has no application of the slug that is set."""
    APPLICATION_NO_CODE = "application_no_code"
    """Authentik gave no authorization code to a session that may have one."""
    PROVIDER_WITHOUT_KEY = "provider_without_key"
    """Authentik's provider has no signing key, so its tokens cannot be verified."""
    PROVIDER_TOKEN = "provider_token"
    """An id token of Authentik's that does not verify."""

    FLOW_DENIED = "flow_denied"
    """Authentik refuses the flow itself, before any name was sent."""
    FLOW_ENDED_EARLY = "flow_ended_early"
    """The flow ended without a password having been accepted."""
    FLOW_ERROR = "flow_error"
    """Authentik reports an error of the flow, or refuses an answer as malformed."""
    FLOW_MISSING = "flow_missing"
    """Authentik has no flow of the slug that is set."""
    FLOW_LOOP = "flow_loop"
    """The flow did not end within the bound on its steps."""
    FLOW_NOT_HEADLESS = "flow_not_headless"
    """The flow wants a browser, or another order of stages, before the password."""
    FLOW_RESTARTS = "flow_restarts"
    """The flow begins again after the password, so a refusal looks like an acceptance."""
    FLOW_UNPROVEN = "flow_unproven"
    """The flow has not been seen to refuse a password, and this answer rests on that."""
    FLOW_UNKNOWN_STAGE = "flow_unknown_stage"
    """A component that is not known here."""
    SESSION_LOST = "session_lost"
    """Authentik has forgotten the login under way."""

    OUTPOST_TOKEN_REFUSED = "outpost_token_refused"
    """Authentik fails on every request that comes with our outpost token."""

    UPSTREAM_BODY = "upstream_body"
    """An answer that is no JSON object, is encoded, or is too large."""
    UPSTREAM_CONNECTION = "upstream_connection"
    """The connection could not be made, or broke."""
    UPSTREAM_IDENTITY = "upstream_identity"
    """The password is right, but Authentik did not say whose it is, or names another person."""
    UPSTREAM_REDIRECT = "upstream_redirect"
    """A redirect to anywhere but the flow itself, or one that is not the end of the flow."""
    UPSTREAM_STATUS = "upstream_status"
    """An HTTP status that no flow answers with."""
    UPSTREAM_TIMEOUT = "upstream_timeout"
    """The deadline of the check passed."""
    UPSTREAM_TLS = "upstream_tls"
    """Authentik's certificate is not trusted, or TLS failed."""

    BREAKER_OPEN = "breaker_open"
    """Authentik is known to be down, and was not asked."""
    OVERLOADED = "overloaded"
    """Too many checks at a time: the queue was full, or no place at Authentik came free in time."""
    STALE_PASSWORD = "stale_password"
    """Authentik has refused the same password of the same user a short while ago."""
    THROTTLED = "throttled"
    """Too many attempts."""

    CLIENT_GONE = "client_gone"
    """The client hung up before there was an answer."""

    INTERNAL_ERROR = "internal_error"
    """A mistake in this program."""


OUTAGES: Final = frozenset(
    (
        Reason.UPSTREAM_BODY,
        Reason.UPSTREAM_CONNECTION,
        Reason.UPSTREAM_STATUS,
        Reason.UPSTREAM_TIMEOUT,
        Reason.UPSTREAM_TLS,
    )
)
"""What an Authentik that is down, or is not there, looks like."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and the word for its cause."""

    verdict: Verdict
    reason: Reason

    @property
    def accepts_password(self) -> bool:
        """Whether the password itself is known to be right."""
        right = (Verdict.VERIFIED, Verdict.INTERACTION_REQUIRED)
        return self.verdict in right or self.reason is Reason.WRONG_CODE


class UnverifiableError(Exception):
    """Nothing was learned about the password.

    ``transient`` says that the connection broke, or that Authentik answered with a server error.
    ``name_sent``: the user name had been sent by then.
    """

    def __init__(self, reason: Reason, *, transient: bool = False, name_sent: bool = True) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.transient = transient
        self.name_sent = name_sent

    @property
    def authentik_down(self) -> bool:
        """Whether Authentik itself is down.

        Once the name has been sent, a slow directory or a firewall in front may fail for this user
        alone: only a broken connection or a server error counts then.
        """
        broken = self.transient or self.reason is Reason.UPSTREAM_TLS
        return broken or (not self.name_sent and self.reason in OUTAGES)


class RetryableError(UnverifiableError):
    """A blip before the password was sent: one fresh try is safe."""
