"""Observers of requests: the audit log, the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zope.interface import Interface, implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.interfaces import CheckTrace, RequestKind
from ropg_twisted.networks import Address
from ropg_twisted.trace_context import TraceContext
from ropg_twisted.verdict import Outcome

REQUEST_STAGES: Final = (
    RequestKind.FLOW,
    RequestKind.PASSWORD,
    RequestKind.ACCESS,
    RequestKind.USER,
    RequestKind.TOKENS,
)
"""The stages of a check that consist of requests to Authentik."""


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """A password check that has ended, without its secrets.

    Attributes:
        username: as the user typed it.
        seconds: the duration of the check.
        trace: its course, ``None`` if Authentik was not asked.
        signing_seconds: the time to make the token response, ``None`` if there is none.
    """

    context: RequestContext
    username: str
    outcome: Outcome
    seconds: float
    trace: CheckTrace | None = None
    signing_seconds: float | None = None


class IRequestObserver(Interface):
    """Is told the result of each request. It never sees a password or a token."""

    def check(record: CheckRecord) -> None:
        """Observe a password check."""

    def relay(
        context: RequestContext, grant_type: str, result: str, error: str | None = None
    ) -> None:
        """Observe a relayed grant.

        ``result``: one of our own words. ``error``: the error that Authentik returned, if it is not
        one of RFC 6749; ``result`` is ``other`` then.
        """

    def introspection(context: RequestContext, result: str) -> None:
        """Observe the introspection of a token.

        ``result``: ``active``, ``inactive``, or the reason of an outage.
        """

    def refused(trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """Observe a request that was refused before Authentik was asked.

        ``trace``: its trace context, whose span has the id of the request.
        """


@implementer(IRequestObserver)
class RequestObservers:
    """Tells several observers, in order."""

    def __init__(self, *observers: IRequestObserver) -> None:
        self._observers = observers

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        for observer in self._observers:
            observer.check(record)

    def relay(
        self, context: RequestContext, grant_type: str, result: str, error: str | None = None
    ) -> None:
        """See :class:`IRequestObserver`."""
        for observer in self._observers:
            observer.relay(context, grant_type, result, error)

    def introspection(self, context: RequestContext, result: str) -> None:
        """See :class:`IRequestObserver`."""
        for observer in self._observers:
            observer.introspection(context, result)

    def refused(self, trace: TraceContext, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        for observer in self._observers:
            observer.refused(trace, address, error)
