"""Audit log: one line for each request. ``audit.schema.json`` describes its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.networks import Address
from ropg_twisted.remedies import help_url
from ropg_twisted.telemetry.log import LogDestination, make_observer
from ropg_twisted.telemetry.observers import CheckRecord, IRequestObserver
from ropg_twisted.trace_context import TraceContext
from ropg_twisted.verdict import Reason

VERSION: Final = 1
"""Version of the fields. It grows when one changes its meaning or is removed, not with a new one or
a new reason."""

MAX_ERROR: Final = 100
"""Characters of an error of Authentik that are logged."""

Fields: TypeAlias = dict[str, object]


@implementer(IRequestObserver)
class AuditLog:
    """Logs the results of requests.

    Values from outside are quoted in messages, so they cannot pass for words of the daemon.

    ``show_user``: returns what is logged of a user name. ``out``: gets the lines as JSON, in place
    of the log.
    """

    def __init__(
        self, show_user: Callable[[str], str] = str, out: LogDestination | None = None
    ) -> None:
        self._show_user = show_user
        self.log = Logger() if out is None else Logger(observer=make_observer(out, "json"))

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        reason = record.outcome.reason
        self.log.info(
            "check of {username!r} for {client} from {address}: {verdict} ({reason})",
            event="check",
            version=VERSION,
            username=self._show_user(record.username),
            client=record.context.client,
            address=_text(record.context.address),
            verdict=record.outcome.verdict.value,
            reason=reason.value,
            help=help_url(reason),
            seconds=_rounded(record.seconds),
            **_course(record),
            **_ids(record.context.trace_context, record.context.id),
        )

    def relay(
        self, context: RequestContext, grant_type: str, result: str, error: str | None = None
    ) -> None:
        """See :class:`IRequestObserver`."""
        message = "{grant} for {client} from {address}: {result}"
        details = _help(result)
        if error is not None:
            message += " ({error!r})"
            details["error"] = error[:MAX_ERROR]
        self.log.info(
            message,
            event="relay",
            version=VERSION,
            grant=grant_type,
            client=context.client,
            address=_text(context.address),
            result=result,
            **details,
            **_ids(context.trace_context, context.id),
        )

    def introspection(self, context: RequestContext, result: str) -> None:
        """See :class:`IRequestObserver`."""
        self.log.info(
            "introspection for {client} from {address}: {result}",
            event="introspection",
            version=VERSION,
            client=context.client,
            address=_text(context.address),
            result=result,
            **_help(result),
            **_ids(context.trace_context, context.id),
        )

    def refused(self, trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        self.log.warn(
            "request from {address} refused: {error} ({description})",
            event="refused",
            version=VERSION,
            address=_text(address),
            error=error.code,
            description=error.description,
            **_ids(trace, trace.span_id),
        )


_REASONS: Final = frozenset(Reason)


def _help(result: str) -> Fields:
    """Return the field ``help`` if the result is a reason."""
    return {"help": help_url(Reason(result))} if result in _REASONS else {}


def _ids(trace: TraceContext, request: str) -> Fields:
    return {"request": request, "trace": trace.trace_id}


def _course(record: CheckRecord) -> Fields:
    """Return the fields about a check's course at Authentik.

    They are ``None`` if nothing is known of it: Authentik was not asked, or the client hung up.
    """
    trace = record.trace
    if trace is None:
        return dict.fromkeys(("queue_seconds", "upstream_seconds", "requests", "stages", "joined"))
    own = trace.context == record.context.trace_context
    return {
        "queue_seconds": _rounded(trace.queue_seconds),
        "upstream_seconds": _rounded(sum(request.seconds for request in trace.requests)),
        "requests": len(trace.requests),
        "stages": list(trace.stages),
        "joined": None if own else trace.context.trace_id,
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
