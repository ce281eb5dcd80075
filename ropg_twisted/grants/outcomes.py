"""The OAuth error for each outcome of a password check, and for an outage."""

from __future__ import annotations

from ropg_twisted.errors import (
    AbortedError,
    AccessDeniedError,
    InteractionRequiredError,
    InvalidGrantError,
    MFARequiredError,
    OAuthError,
    SlowDownError,
    TemporarilyUnavailableError,
)
from ropg_twisted.interfaces import CheckResult
from ropg_twisted.verdict import Reason, Verdict


def check_error(check: CheckResult, *, drop_on_outage: bool) -> OAuthError:
    """Return the error for a check without tokens. ``drop_on_outage``: see :func:`outage_error`."""
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
            return outage_error(drop_on_outage=drop_on_outage)


def outage_error(*, drop_on_outage: bool) -> OAuthError:
    """Return the error for an outage: 503, or with ``drop_on_outage`` a dropped connection."""
    return AbortedError() if drop_on_outage else TemporarilyUnavailableError()
