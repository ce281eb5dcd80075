"""The context of a request for the log."""

from __future__ import annotations

from dataclasses import dataclass, field

from ropg_twisted.networks import Address
from ropg_twisted.trace_context import TraceContext, new_trace_context


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request of a known client, without its secrets.

    Attributes:
        id: names the request in the log.
        client: the ``client_id``.
        address: the client's, ``None`` if it is unknown.
        trace_context: goes to Authentik with each request.
    """

    id: str
    client: str
    address: Address | None
    trace_context: TraceContext = field(default_factory=new_trace_context)
