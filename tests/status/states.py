"""States of a daemon for the tests of the status page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ropg_twisted.interfaces import Readiness
from ropg_twisted.oauth.keys import shared_secret
from ropg_twisted.status.state import State
from ropg_twisted.telemetry.history import DAY, HOUR, Interval, Period
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.composition import make_settings

NOW = 1_800_000_000.0
"""2027-01-15 08:00 UTC."""

SECRET = "0123456789abcdef0123456789abcdef"


def interval(**checks: int) -> Interval:
    """An interval with so many checks by reason."""
    outcomes = Counter({outcome(Reason(name)): number for name, number in checks.items()})
    clients = Counter({("mac", each.verdict): number for each, number in outcomes.items()})
    return Interval(outcomes=outcomes, clients=clients)


def outcome(reason: Reason) -> Outcome:
    """The outcome that a reason belongs to."""
    return Outcome(_VERDICTS.get(reason, Verdict.UNVERIFIABLE), reason)


def hour(*intervals: Interval) -> Period:
    """An hour with these minutes at its end."""
    return Period(*HOUR, 30.0, intervals or (Interval(),))


def day(*intervals: Interval) -> Period:
    """A day with these half hours at its end."""
    return Period(*DAY, 30.0, intervals or (Interval(),))


def make_state(reason: Reason | None = None, warning: Reason | None = None, **fields: Any) -> State:
    """The state of a daemon that is ready, and has done nothing. ``fields``: other values."""
    usual: dict[str, Any] = {
        "settings": make_settings(),
        "now": NOW,
        "started": NOW - 600,
        "readiness": Readiness(reason, warning),
        "since": NOW - 300,
        "hour": hour(),
        "day": day(),
        "keys": shared_secret(SECRET),
    }
    return State(**usual | fields)


_VERDICTS = {
    Reason.VERIFIED: Verdict.VERIFIED,
    Reason.VERIFIED_WITH_CODE: Verdict.VERIFIED,
    Reason.WRONG_CREDENTIALS: Verdict.REJECTED,
    Reason.STALE_PASSWORD: Verdict.REJECTED,
    Reason.WRONG_CODE: Verdict.REJECTED,
    Reason.POLICY: Verdict.DENIED,
    Reason.MFA: Verdict.INTERACTION_REQUIRED,
    Reason.INTERACTION: Verdict.INTERACTION_REQUIRED,
}
