"""Audit log: one line for each request."""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.networks import Address
from ropg_twisted.telemetry.observers import CheckRecord, IRequestObserver

MAX_ERROR: Final = 100
"""Characters of an error of Authentik that are logged."""


@implementer(IRequestObserver)
class AuditLog:
    """Logs the results of requests.

    Values from outside are quoted in messages, so they cannot pass for words of the daemon.
    """

    log: ClassVar[Logger] = Logger()

    def check(self, record: CheckRecord) -> None:
        """See :class:`IRequestObserver`."""
        self.log.info(
            "check of {username!r} for {client} from {address}: {verdict} ({reason})",
            username=record.username,
            client=record.context.client,
            address=_text(record.context.address),
            verdict=record.outcome.verdict.value,
            reason=record.outcome.reason.value,
            seconds=round(record.seconds, 3),
            request=record.context.id,
        )

    def relay(self, context: RequestContext, result: str, error: str | None = None) -> None:
        """See :class:`IRequestObserver`."""
        message = "{grant} for {client} from {address}: {result}"
        details = {} if error is None else {"error": error[:MAX_ERROR]}
        self.log.info(
            message if error is None else f"{message} ({{error!r}})",
            grant=context.grant,
            client=context.client,
            address=_text(context.address),
            result=result,
            **details,
            request=context.id,
        )

    def refused(self, request_id: str, address: Address | None, error: OAuthError) -> None:
        """See :class:`IRequestObserver`."""
        self.log.warn(
            "request from {address} refused: {error} ({description})",
            address=_text(address),
            error=error.code,
            description=error.description,
            request=request_id,
        )


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
