"""Trace context of a request (W3C Trace Context, levels 1 and 2). No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

HEADER: Final = "traceparent"

SAMPLED: Final = 1
"""The sender has recorded the request. We always do: in the audit log."""

RANDOM: Final = 2
"""The trace id is random (level 2)."""

_VALUE: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Place of a request in a distributed trace.

    Attributes:
        trace_id: 32 hexadecimal digits, chosen by the client or at random. Not unique: a client may
            repeat it.
        span_id: 16 hexadecimal digits, our own part of the trace: the id of the request.
        flags: :data:`SAMPLED` and :data:`RANDOM`.
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED | RANDOM

    @property
    def traceparent(self) -> str:
        """The value of the header for requests to Authentik.

        ``tracestate`` is not sent on. Its content is free, and meant for tracing systems that the
        daemon does not take part in: nothing that a client writes reaches Authentik unread.
        """
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def new_trace_context() -> TraceContext:
    """Return the context of a new trace."""
    return TraceContext(token_hex(16), token_hex(8))


def read_trace_context(values: Sequence[bytes], span_id: str) -> TraceContext:
    """Return the context of a request with these values of the header, a new trace without any.

    A header that is repeated or malformed, has an id of zeros or the version ff is ignored. Fields
    that a version after 00 adds are dropped. ``span_id``: the id of the request.
    """
    match = _VALUE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return TraceContext(token_hex(16), span_id)
    version, trace_id, flags, more = match.groups()
    if version == b"00" and more is not None:
        return TraceContext(token_hex(16), span_id)
    return TraceContext(trace_id.decode("ascii"), span_id, int(flags, 16) & (SAMPLED | RANDOM))
