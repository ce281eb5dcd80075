"""Metrics that are read from the parts of the daemon at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.authentik.readiness import ReadinessProbe
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.guard.chain import Guards
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.lifecycle import Listener
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.telemetry.metrics import CallbackCollector, Reading, RequestMetrics


def metric_readers(
    guards: Guards,
    evidence: FlowEvidence,
    sessions: SessionRemover,
    readiness: ReadinessProbe,
    plausibility: Plausibility,
    store: SharedStore | None,
    requests: RequestMetrics,
    keys: Callable[[], KeyRing],
    site: BoundedSite,
    listeners: Mapping[str, Listener],
    dropped_lines: Callable[[], int],
    now: Callable[[], float],
) -> CallbackCollector:
    """Return the metrics of these parts.

    Args:
        listeners: by the values of the label ``listener``.
        now: returns the time in seconds since the epoch.
    """
    counters = {
        "ropg_checks_joined": Reading(
            "Checks that joined an identical one.", lambda: guards.coalesced.joined
        ),
        "ropg_rejected_passwords_hits": Reading(
            "Checks answered from the cache of rejected passwords.", lambda: guards.rejected.hits
        ),
        "ropg_rate_limited": Reading(
            "Checks above a rate limit.", lambda: _rate_limited(guards), "limit"
        ),
        "ropg_sessions_removed": Reading(
            "Sessions removed at Authentik.", lambda: sessions.removed
        ),
        "ropg_sessions_left_to_expire": Reading(
            "Sessions not removed because they end within five minutes.",
            lambda: sessions.left_to_expire,
        ),
        "ropg_sessions_left": Reading(
            "Sessions that could not be removed.", lambda: sessions.failed
        ),
        "ropg_log_lines_dropped": Reading(
            "Log lines that were dropped because the reader stalled.", dropped_lines
        ),
    }
    gauges = {
        "ropg_checks_in_progress": Reading(
            "Checks at Authentik now.", lambda: guards.concurrency.running
        ),
        "ropg_checks_waiting": Reading(
            "Checks that wait for a slot.", lambda: guards.concurrency.waiting
        ),
        "ropg_check_slots": Reading(
            "Checks that can be at Authentik at a time.", lambda: guards.concurrency.max_checks
        ),
        "ropg_circuit_breaker_open": Reading(
            "1 while Authentik is known to be down.", lambda: guards.breaker.is_open
        ),
        "ropg_limits_store_failing": Reading(
            "1 while the shared store fails, and each daemon counts for itself.",
            lambda: store is not None and store.failing,
        ),
        "ropg_refusals_implausible": Reading(
            "1 while no refusal of a password is believed.", lambda: plausibility.implausible
        ),
        "ropg_flow_evidence": Reading(
            "1 for the way in which the flow was seen to refuse a password.",
            lambda: {each.value: each is evidence.current for each in Evidence},
            "evidence",
        ),
        "ropg_flow_evidence_age_seconds": Reading(
            "Time since the flow was last seen to refuse.", lambda: evidence.age
        ),
        "ropg_sessions_waiting": Reading("Sessions to be removed.", lambda: sessions.waiting),
        "ropg_signing_key_age_seconds": Reading(
            "Time for which the signing key has signed.", lambda: _signing_key_age(keys(), now())
        ),
        "ropg_certificate_expiry_seconds": Reading(
            "Time until the certificate of a listener expires.",
            lambda: _seconds_until_expiry(listeners, now()),
            "listener",
        ),
        "ropg_last_verified_timestamp_seconds": Reading(
            "Time of the last check with the verdict verified.", lambda: requests.last_verified
        ),
        "ropg_ready": Reading(
            "1 if the last readiness probe found that passwords can be checked.",
            lambda: None if readiness.last is None else readiness.last.reason is None,
        ),
        "ropg_warning": Reading(
            "1 for the warning of the last readiness probe.", lambda: _warning(readiness), "reason"
        ),
        "ropg_connections": Reading("Open connections of clients.", lambda: site.connections),
    }
    return CallbackCollector(counters, gauges)


def _rate_limited(guards: Guards) -> Mapping[str, float]:
    return {
        "address": guards.address_limit.throttled,
        "user": guards.user_limit.throttled,
        "codes": guards.user_limit.throttled_codes,
    }


def _signing_key_age(ring: KeyRing, now: float) -> float | None:
    """Return the age of the signing key; ``None`` for a shared secret, whose age is not known."""
    return None if ring.signing.kid is None else now - ring.signing.signs_from


def _seconds_until_expiry(listeners: Mapping[str, Listener], now: float) -> Mapping[str, float]:
    ends = {name: listener.certificate_expires for name, listener in listeners.items()}
    return {name: end - now for name, end in ends.items() if end is not None}


def _warning(readiness: ReadinessProbe) -> Mapping[str, float]:
    if readiness.last is None or readiness.last.warning is None:
        return {}
    return {readiness.last.warning.value: 1}
