"""Audit log: one log line and the counts of each request."""

from __future__ import annotations

from typing import ClassVar, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from twisted.logger import Logger

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.networks import Address
from ropg_twisted.verdict import Outcome

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
"""Seconds. A login at Authentik takes about one; the default deadline is 15."""

TOKEN_ERRORS: Final = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    )
)
"""The errors of a token endpoint (RFC 6749 section 5.2)."""

MAX_ERROR: Final = 100
"""Characters of another error that are logged."""


class AuditLog:
    """Logs and counts the results of requests. It never sees a password or a token.

    Values from outside are quoted in messages, so they cannot pass for words of the daemon. They
    are never labels of a metric.
    """

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

    def check(
        self, context: RequestContext, username: str, outcome: Outcome, seconds: float
    ) -> None:
        """Log and count one password check that took ``seconds``."""
        verdict, reason = outcome.verdict.value, outcome.reason.value
        self._checks.labels(verdict, reason).inc()
        self._seconds.labels(verdict).observe(seconds)
        self.log.info(
            "check of {username!r} for {client} from {address}: {verdict} ({reason})",
            username=username,
            client=context.client,
            address=_text(context.address),
            verdict=verdict,
            reason=reason,
            seconds=round(seconds, 3),
            request=context.id,
        )

    def relay(self, context: RequestContext, result: str) -> None:
        """Log and count one relayed request. ``result``: one of our own words."""
        self._relayed.labels(context.grant, result).inc()
        self.log.info(
            "{grant} for {client} from {address}: {result}",
            grant=context.grant,
            client=context.client,
            address=_text(context.address),
            result=result,
            request=context.id,
        )

    def relay_refused(self, context: RequestContext, error: str) -> None:
        """Log and count one relayed request that Authentik refused with ``error``."""
        if error in TOKEN_ERRORS:
            self.relay(context, error)
            return
        self._relayed.labels(context.grant, "other").inc()
        self.log.info(
            "{grant} for {client} from {address}: {result} ({error!r})",
            grant=context.grant,
            client=context.client,
            address=_text(context.address),
            result="other",
            error=error[:MAX_ERROR],
            request=context.id,
        )

    def refused(self, request_id: str, address: Address | None, error: OAuthError) -> None:
        """Log and count one request that was refused before Authentik was asked."""
        self._refused.labels(error.code).inc()
        self.log.warn(
            "request from {address} refused: {error} ({description})",
            address=_text(address),
            error=error.code,
            description=error.description,
            request=request_id,
        )


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
