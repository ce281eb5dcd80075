"""The audit log: the fields of its lines are those of the schema, whatever is in them."""

from __future__ import annotations

import json
from io import StringIO
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import InvalidClientError, SlowDownError
from ropg_twisted.interfaces import CheckTrace, RequestKind, UpstreamRequest
from ropg_twisted.remedies import help_url
from ropg_twisted.telemetry.audit import MAX_ERROR, VERSION, AuditLog
from ropg_twisted.telemetry.log import make_observer
from ropg_twisted.telemetry.observers import CheckRecord
from ropg_twisted.trace_context import TraceContext
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.audit_lines import SCHEMA, audit_lines, check

OWN = TraceContext("a" * 32, "b" * 16)
OTHER = TraceContext("c" * 32, "d" * 16)

anything = st.text(st.characters(exclude_categories=[]), min_size=1)
"""Text with everything that Unicode has, halves of characters included."""

seconds = st.floats(0, 1e6)


def context(client: str = "mac", address: str | None = "192.0.2.7") -> RequestContext:
    """The context of a request."""
    return RequestContext(
        OWN.span_id, client, None if address is None else ip_address(address), OWN
    )


def record(username: str = "alice", trace: CheckTrace | None = None, **more: Any) -> CheckRecord:
    """A check that has ended."""
    outcome = Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
    return CheckRecord(
        **{
            "context": context(),
            "username": username,
            "outcome": outcome,
            "seconds": 0.25,
            "trace": trace,
            **more,
        }
    )


class AuditTestCase(SynchronousTestCase):
    """An audit log whose lines are kept, as JSON."""

    def setUp(self) -> None:
        self.audit = AuditLog()

    def lines(self, *calls: Any) -> list[Any]:
        """The lines that these calls leave. Each is as the schema says."""
        out = StringIO()
        observer = make_observer(out, "json")
        globalLogPublisher.addObserver(observer)
        try:
            for call in calls:
                call()
        finally:
            globalLogPublisher.removeObserver(observer)
        found = audit_lines(out.getvalue().splitlines())
        self.assertEqual(len(found), len(calls))
        return found

    def line(self, check: CheckRecord) -> Any:
        """The line of a check."""
        [line] = self.lines(lambda: self.audit.check(check))
        return line


class CheckTests(AuditTestCase):
    """Lines of checks."""

    def test_the_course_of_a_check(self) -> None:
        """The line has the stages, the time in the queue and at Authentik, and the requests."""
        requests = [
            UpstreamRequest(RequestKind.FLOW, 200, 0.1004),
            UpstreamRequest(RequestKind.PASSWORD, None, 0.25),
        ]
        stages = ["ak-stage-identification", "ak-stage-password"]
        line = self.line(record(trace=CheckTrace(0.5, stages, requests, OWN)))
        del line["time"]
        self.assertEqual(
            line,
            {
                "level": "info",
                "message": "check of 'alice' for mac from 192.0.2.7: rejected (wrong_credentials)",
                "event": "check",
                "version": VERSION,
                "username": "alice",
                "client": "mac",
                "address": "192.0.2.7",
                "verdict": "rejected",
                "reason": "wrong_credentials",
                "help": help_url(Reason.WRONG_CREDENTIALS),
                "seconds": 0.25,
                "queue_seconds": 0.5,
                "upstream_seconds": 0.35,
                "requests": 2,
                "stages": stages,
                "joined": None,
                "request": OWN.span_id,
                "trace": OWN.trace_id,
            },
        )

    def test_nothing_is_known_of_the_course(self) -> None:
        """A check that did not ask Authentik, or whose client has gone, does not claim zeros."""
        line = self.line(record())
        names = ("queue_seconds", "upstream_seconds", "requests", "stages", "joined")
        self.assertEqual({line[name] for name in names}, {None})

    def test_a_check_that_joined_another(self) -> None:
        """The line names the trace that Authentik was told, also if the client repeats its own."""
        again = TraceContext(OWN.trace_id, OTHER.span_id)
        for theirs in (OTHER, again):
            line = self.line(record(trace=CheckTrace(context=theirs)))
            self.assertEqual((line["trace"], line["joined"]), (OWN.trace_id, theirs.trace_id))

    def test_every_reason_and_verdict(self) -> None:
        """Each is one that the schema lists, and leads to its own part of the documents."""
        self.assertEqual(set(SCHEMA["$defs"]["reason"]["enum"]), set(Reason))
        helps = set()
        for verdict in Verdict:
            for reason in Reason:
                helps.add(self.line(record(outcome=Outcome(verdict, reason)))["help"])
        self.assertEqual(len(helps), len(Reason))

    @given(
        anything,
        anything,
        st.none() | st.ip_addresses().map(str),
        st.none() | st.tuples(seconds, st.lists(anything), st.lists(seconds)),
        seconds,
    )
    def test_whatever_somebody_types(
        self, username: str, client: str, address: str | None, course: Any, took: float
    ) -> None:
        """The line is one object of the schema, and the name in it is the one that was typed."""
        trace = None
        if course is not None:
            waited, stages, requests = course
            made = [UpstreamRequest(RequestKind.FLOW, 200, each) for each in requests]
            trace = CheckTrace(waited, stages, made)
        line = self.line(
            record(username, trace, context=context(client=client, address=address), seconds=took)
        )
        self.assertEqual((line["username"], line["client"]), (username, client))
        self.assertEqual(line["stages"], None if trace is None else trace.stages)


class OtherLineTests(AuditTestCase):
    """Lines of other requests."""

    def test_relayed_grants(self) -> None:
        """The result is a word of RFC 6749 or a reason; only a reason has a help."""
        relay = self.audit.relay
        tokens, theirs, other, outage = self.lines(
            lambda: relay(context(), "refresh_token", "tokens"),
            lambda: relay(context(), "refresh_token", "invalid_grant"),
            lambda: relay(context(), "authorization_code", "other", "x" * 2 * MAX_ERROR),
            lambda: relay(context(), "authorization_code", "upstream_timeout"),
        )
        self.assertEqual((tokens["event"], tokens["result"]), ("relay", "tokens"))
        self.assertEqual((tokens["trace"], tokens["request"]), (OWN.trace_id, OWN.span_id))
        self.assertEqual(other["error"], "x" * MAX_ERROR)
        self.assertTrue(outage["help"].endswith("#upstream_timeout"))
        for line in (tokens, theirs, other):
            self.assertNotIn("help", line)

    def test_introspections(self) -> None:
        """The result is a word or a reason; only a reason has a help."""
        active, outage = self.lines(
            lambda: self.audit.introspection(context(), "active"),
            lambda: self.audit.introspection(context(address=None), "upstream_timeout"),
        )
        self.assertEqual((active["event"], active["result"]), ("introspection", "active"))
        self.assertEqual((active["trace"], active["request"]), (OWN.trace_id, OWN.span_id))
        self.assertNotIn("help", active)
        self.assertTrue(outage["help"].endswith("#upstream_timeout"))

    def test_refused_requests(self) -> None:
        """The line has the error that the client got, and the ids of the request."""
        for error in (InvalidClientError(), SlowDownError(9)):
            [line] = self.lines(lambda e=error: self.audit.refused(OWN, None, e))
            self.assertEqual((line["event"], line["error"]), ("refused", error.code))
            self.assertEqual((line["trace"], line["request"]), (OWN.trace_id, OWN.span_id))

    @given(anything, anything)
    def test_whatever_authentik_says(self, error: str, result: str) -> None:
        """The line is one object of the schema."""
        self.lines(lambda: self.audit.relay(context(), "refresh_token", result, error))


class SchemaTests(AuditTestCase):
    """The schema itself."""

    def test_each_kind_of_line_has_all_its_fields(self) -> None:
        """One that is missing, unknown, or of another type or version breaks the schema."""
        line = self.line(record(trace=CheckTrace()))
        check(line)
        broken = [{key: line[key] for key in line if key != name} for name in line]
        broken += [{**line, "another": 1}, {**line, "version": VERSION + 1}]
        broken += [{**line, name: {"an": "object"}} for name in line]
        broken += [{**line, "trace": "0" * 32}, {**line, "address": "somewhere"}]
        broken += [{**line, "seconds": -1}, {**line, "event": "relay"}, {**line, "time": "now"}]
        for fields in broken:
            with self.assertRaises(AssertionError, msg=str(fields)):
                check(fields)

    def test_each_field_is_described(self) -> None:
        """An operator finds a sentence for every field."""
        for kind in ("check", "relay", "introspection", "refused"):
            for name, field in SCHEMA["$defs"][kind]["properties"].items():
                where = SCHEMA["$defs"][field["$ref"].split("/")[-1]] if "$ref" in field else field
                self.assertTrue("description" in where or "const" in where or "enum" in where, name)

    def test_lines_of_others_are_none_of_it(self) -> None:
        """The rest of the log has no event."""
        out = StringIO()
        Logger("ropg_twisted.test", observer=make_observer(out, "json")).info("ready")
        self.assertEqual(audit_lines([out.getvalue(), "text", json.dumps([1])]), [])
