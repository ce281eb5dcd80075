"""The trace context: what is taken from a client, and what is ignored."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.trace_context import TraceContext, new_trace_context, read_trace_context

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00f067aa0ba902b7"
SPAN = "0123456789abcdef"
VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")
"""The header of the version that is sent."""


def read(*values: bytes) -> TraceContext:
    """The context of a request with these headers."""
    return read_trace_context(values, SPAN)


class TakenTests(SynchronousTestCase):
    """The values that are valid."""

    def test_the_trace_is_the_clients_and_the_span_is_ours(self) -> None:
        """Authentik gets the same trace id, and the id of the request as its parent."""
        context = read(b"00-" + TRACE + b"-" + PARENT + b"-01")
        self.assertEqual(context, TraceContext(TRACE.decode(), SPAN, 1))
        self.assertEqual(context.traceparent, f"00-{TRACE.decode()}-{SPAN}-01")

    def test_flags_that_nobody_knows_are_dropped(self) -> None:
        """Sampled and random (level 2) stay."""
        for sent, kept in ((b"00", "00"), (b"02", "02"), (b"ff", "03"), (b"fd", "01")):
            context = read(b"-".join((b"00", TRACE, PARENT, sent)))
            self.assertEqual(context.traceparent[-2:], kept, sent)

    def test_a_later_version_is_read_as_far_as_it_is_known(self) -> None:
        """It may have more fields, which are not sent on."""
        for more in (b"", b"-", b"-what the future -\xff holds"):
            context = read(b"-".join((b"cc", TRACE, PARENT, b"01")) + more)
            self.assertEqual(context.traceparent, f"00-{TRACE.decode()}-{SPAN}-01", more)


class IgnoredTests(SynchronousTestCase):
    """The values that are not."""

    def test_a_new_trace_begins(self) -> None:
        """It is random, says so, and has the id of the request."""
        good = b"-".join((b"00", TRACE, PARENT, b"01"))
        for values in (
            [],
            [b""],
            [good, good],
            [good[:-1]],
            [good + b"0"],
            [good + b"-"],
            [good + b"-00"],
            [good + b"\n"],
            [good.upper()],
            [b"ff" + good[2:]],
            [b"0" + good],
            [good.replace(TRACE, b"0" * 32)],
            [good.replace(PARENT, b"0" * 16)],
            [good.replace(b"-", b"_")],
            [b"cc" + good[2:] + b"00"],
            [b"00-" + PARENT + b"-" + TRACE + b"-01"],
            [good.replace(b"4bf", b"\xb4bf")],
        ):
            context = read(*values)
            self.assertNotEqual(context.trace_id, TRACE.decode(), values)
            self.assertEqual((context.span_id, context.flags), (SPAN, 3), values)
            self.assertRegex(context.traceparent, VALID)
            self.assertNotEqual(context, read(*values), "each is another")

    def test_a_trace_of_our_own(self) -> None:
        """A check that nobody asked for has ids of its own."""
        first, second = new_trace_context(), new_trace_context()
        self.assertRegex(first.traceparent, VALID)
        self.assertNotIn(second.trace_id, first.traceparent)
        self.assertNotIn(second.span_id, first.traceparent)

    @given(
        st.binary(max_size=80)
        | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True)
    )
    @example(b"00-" + TRACE + b"-" + PARENT + b"-01")
    def test_what_is_sent_is_valid_whatever_came(self, value: bytes) -> None:
        """Nothing but hexadecimal digits of a client reaches a log or Authentik."""
        context = read(value)
        self.assertTrue(VALID.fullmatch(context.traceparent), context)
