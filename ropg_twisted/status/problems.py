"""Problems of the daemon, and what to do about each. Rules without I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Final

from ropg_twisted.interfaces import Readiness
from ropg_twisted.remedies import DOCUMENTATION, REMEDIES, help_url
from ropg_twisted.settings.model import MAX_TOKEN_LIFETIME
from ropg_twisted.status.state import PROBE_SECONDS, State
from ropg_twisted.telemetry.history import Interval, total
from ropg_twisted.verdict import Reason, Verdict

RECENT: Final = 600
"""Seconds for which a check without a verdict is a problem."""

DAYS_AHEAD: Final = 14
"""Days before the end of a certificate or key at which it becomes a problem."""

MIN_TURNED_AWAY: Final = 3
"""Checks after which a policy or a stage that nobody passes is a problem."""

MIN_REFUSED: Final = 10
"""Wrong passwords after which it is a problem that no password was right."""

_DAY: Final = 86400

_OWN_LIMITS: Final = frozenset((Reason.THROTTLED, Reason.OVERLOADED, Reason.CLIENT_GONE))
"""Reasons of checks without a verdict that say nothing about Authentik."""


class Severity(IntEnum):
    """The severity of a problem; the worst is the lowest."""

    DOWN = 0
    """No password can be checked."""
    ATTENTION = 1
    """Passwords are checked, but something is to be done."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, in plain text.

    Attributes:
        meaning: one or two sentences on what is wrong.
        remedy: one sentence that says what to do.
        help: URL of the documents about it.
        help_text: the name of that part.
        since: in seconds since the epoch, ``None`` if that is not known.
    """

    severity: Severity
    title: str
    meaning: str
    remedy: str
    help: str
    help_text: str
    since: float | None = None


def find_problems(state: State) -> list[Problem]:
    """Return the problems of the daemon, the worst first."""
    problems = [
        *_no_verdict(state),  # Its reason is more exact than a warning of the probe.
        *_readiness(state),
        *_overload(state),
        *_nobody_let_in(state),
        *_store(state),
        *_certificates(state),
        *_keys(state),
    ]
    return sorted(problems, key=lambda problem: problem.severity)


def _readiness(state: State) -> Iterator[Problem]:
    if state.readiness is None:
        lead = f"The readiness probe has waited for {PROBE_SECONDS} seconds, and goes on."
        title = "Authentik does not answer"
        yield _of(Reason.UPSTREAM_TIMEOUT, Severity.ATTENTION, title, state.since, lead)
    elif state.readiness.reason is not None:
        title = "No password can be checked"
        yield _of(state.readiness.reason, Severity.DOWN, title, state.since)
    elif state.readiness.warning is not None:
        title = "Passwords are checked, with a restriction"
        yield _of(state.readiness.warning, Severity.ATTENTION, title, state.since)


def _overload(state: State) -> Iterator[Problem]:
    recent = state.hour.latest(RECENT)
    if count := recent.reason(Reason.OVERLOADED):
        title = "Too many checks at a time"
        lead = _share(count, recent, "were turned away")
        yield _of(Reason.OVERLOADED, Severity.ATTENTION, title, lead=lead)


def _no_verdict(state: State) -> Iterator[Problem]:
    """Yield a problem of checks that the readiness probe does not see."""
    recent = state.hour.latest(RECENT)
    reasons = _reasons(recent, Verdict.UNVERIFIABLE)
    readiness = state.readiness or Readiness()
    for known in _OWN_LIMITS | {readiness.warning}:
        if known is not None:
            reasons.pop(known, None)
    if readiness.reason is not None or not reasons:
        return
    [(reason, _)] = reasons.most_common(1)
    lead = _share(reasons.total(), recent, "ended without a verdict")
    decided = recent.checks - recent.verdict(Verdict.UNVERIFIABLE)
    if decided or reasons.total() < MIN_TURNED_AWAY:
        yield _of(reason, Severity.ATTENTION, "Some checks end without a verdict", lead=lead)
    else:
        yield _of(reason, Severity.DOWN, "Checks end without a verdict", lead=lead)


def _nobody_let_in(state: State) -> Iterator[Problem]:
    hour = total(state.hour.intervals)
    if hour.verdict(Verdict.VERIFIED) or hour.reason(Reason.MFA):
        return
    turned_away = _reasons(hour, Verdict.DENIED) + _reasons(hour, Verdict.INTERACTION_REQUIRED)
    refused = hour.reason(Reason.WRONG_CREDENTIALS)
    if turned_away.total() >= MIN_TURNED_AWAY:
        [(reason, count)] = turned_away.most_common(1)
        lead = f"In the last hour nobody was let in; {_checks(count)} ended like this."
        yield _of(reason, Severity.ATTENTION, "Nobody is let in", lead=lead)
    elif refused >= MIN_REFUSED:
        lead = f"In the last hour {_checks(refused)} had a wrong password, and none a right one."
        title = "No password is right"
        yield _of(Reason.WRONG_CREDENTIALS, Severity.ATTENTION, title, lead=lead)


def _store(state: State) -> Iterator[Problem]:
    if state.store_failing:
        yield Problem(
            Severity.ATTENTION,
            "The shared counts cannot be reached",
            "The Redis of ROPG_LIMITS_STORE does not answer. Each daemon counts attempts alone.",
            "See that the Redis runs, and that this machine reaches it.",
            f"{DOCUMENTATION}operations.html#several-daemons",
            "several daemons",
        )


def _certificates(state: State) -> Iterator[Problem]:
    for certificate in state.certificates:
        left = certificate.expires - state.now
        if left < DAYS_AHEAD * _DAY:
            yield Problem(
                Severity.DOWN if left <= 0 else Severity.ATTENTION,
                "A certificate has ended" if left <= 0 else "A certificate is about to end",
                "Clients then refuse to connect. The section on keys and certificates has its "
                "listener and date.",
                "Renew the certificate; the daemon takes the new file into use by itself.",
                f"{DOCUMENTATION}operations.html#tls",
                "TLS",
            )


def _keys(state: State) -> Iterator[Problem]:
    signing = state.keys.signing
    ends = [
        key.published_until - MAX_TOKEN_LIFETIME
        for key in (signing, *state.keys.published)
        if key.algorithm == signing.algorithm and key.signs_from < inf
    ]
    left = max(ends) - state.now
    if left < DAYS_AHEAD * _DAY:
        yield Problem(
            Severity.ATTENTION,
            "No signing key may sign any more" if left <= 0 else "The signing key is about to end",
            "No other key is there to take its place.",
            "Make a new one with: ropg keys rotate",
            f"{DOCUMENTATION}operations.html#changing-keys",
            "changing keys",
        )


def _of(
    reason: Reason, severity: Severity, title: str, since: float | None = None, lead: str = ""
) -> Problem:
    remedy = REMEDIES[reason]
    meaning = f"{lead} {remedy.summary}".strip()
    return Problem(severity, title, meaning, remedy.remedy, help_url(reason), reason.value, since)


def _reasons(interval: Interval, verdict: Verdict) -> Counter[Reason]:
    """Return the checks with a verdict, by reason."""
    reasons: Counter[Reason] = Counter()
    for outcome, count in interval.outcomes.items():
        if outcome.verdict is verdict:
            reasons[outcome.reason] += count
    return reasons


def _share(count: int, interval: Interval, fate: str) -> str:
    return f"In the last ten minutes {count:,} of {_checks(interval.checks)} {fate}."


def _checks(count: int) -> str:
    return f"{count:,} check" if count == 1 else f"{count:,} checks"
