"""What is kept of each request: one line in the log, and counts."""

from __future__ import annotations

from typing import ClassVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from twisted.logger import Logger

from ropg_twisted.errors import OAuthError
from ropg_twisted.oauth.clients import TokenRequest
from ropg_twisted.verdict import Outcome

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
"""Seconds. A login costs Authentik about one; the deadline is 15 by default."""


class Record:
    """Writes down what became of requests. Passwords and tokens never come here."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Counter(
            "ropg_checks", "Password checks.", ["verdict", "reason"], registry=registry
        )
        self._refused = Counter(
            "ropg_refused", "Requests that could not be served.", ["error"], registry=registry
        )
        self._relayed = Counter(
            "ropg_relayed", "Grants that Authentik answers.", ["grant", "result"], registry=registry
        )
        self._seconds = Histogram(
            "ropg_check_seconds",
            "Time that checks took.",
            ["verdict"],
            registry=registry,
            buckets=BUCKETS,
        )

    def check(self, request: TokenRequest, username: str, outcome: Outcome, seconds: float) -> None:
        """Log and count one password check that took ``seconds``."""
        verdict, reason = outcome.verdict.value, outcome.reason.value
        self._checks.labels(verdict, reason).inc()
        self._seconds.labels(verdict).observe(seconds)
        self.log.info(
            "check of {username} for {client} from {address}: {verdict} ({reason})",
            username=username,
            client=request.client.id,
            address=request.address,
            verdict=verdict,
            reason=reason,
            seconds=round(seconds, 3),
            request=request.id,
        )

    def relay(self, request: TokenRequest, result: str) -> None:
        """Log and count one request that Authentik has answered, or has not."""
        grant = request.form["grant_type"]
        self._relayed.labels(grant, result).inc()
        self.log.info(
            "{grant} for {client} from {address}: {result}",
            grant=grant,
            client=request.client.id,
            address=request.address,
            result=result,
            request=request.id,
        )

    def refused(self, request_id: str, address: str | None, error: OAuthError) -> None:
        """Log and count one request that was refused before anybody was asked."""
        self._refused.labels(error.code).inc()
        self.log.warn(
            "request from {address} refused: {error} ({description})",
            address=address,
            error=error.code,
            description=error.description,
            request=request_id,
        )
