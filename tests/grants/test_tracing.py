"""The trace of a request, from the client to Authentik and into the log."""

from __future__ import annotations

from pathlib import Path

import requests
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from ropg_twisted.guard.coalesce import CoalescedChecks
from ropg_twisted.interfaces import CheckResult, LoginAttempt
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.server.request import BoundedRequest
from ropg_twisted.trace_context import new_trace_context
from tests.audit_lines import audit_lines
from tests.daemon import PATIENCE, DaemonProcess, SandboxProcess
from tests.fakes import RIGHT, PendingVerifier
from tests.memory import TOKEN, InMemoryDaemon

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
HEADERS = f"traceparent: {TRACEPARENT}\r\ntracestate: of=the-client\r\n"


class CheckTests(SynchronousTestCase):
    """Checks, before a sandbox in memory."""

    def sent(self, daemon: InMemoryDaemon, headers: str) -> tuple[set[str], str]:
        """The headers that Authentik gets with a check, and the id of the request."""
        daemon.sandbox.traced.clear()
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
        reply = daemon.post("/oauth/token", {**form, "password": USUAL_PASSWORD}, headers)
        self.assertEqual(reply.status, 200)
        asked = [request for request, _ in daemon.sandbox.traced]
        for path in ("flows/executor", "applications/jamf-connect", "users/me"):
            self.assertTrue(any(path in request for request in asked), (path, asked))
        self.assertIn("/api/v3/flows/executor/default-invalidation-flow/", asked[-1])
        return {header for _, header in daemon.sandbox.traced}, reply.headers["x-request-id"]

    def test_each_request_of_a_check_has_it(self) -> None:
        """The trace id is the client's, the parent is our request, up to the session removal."""
        daemon = InMemoryDaemon(self)
        sent, request = self.sent(daemon, HEADERS)
        self.assertEqual(sent, {f"00-{TRACE}-{request}-01"})
        self.assertEqual(daemon.logged("trace"), [TRACE])

    def test_without_one_a_trace_begins(self) -> None:
        """So it does with one that is malformed or repeated, which Authentik never sees."""
        daemon = InMemoryDaemon(self)
        malformed = f"traceparent: 00-{TRACE}-x\r\n"
        for headers in ("", malformed, f"traceparent: {TRACEPARENT}\r\n" * 2):
            sent, request = self.sent(daemon, headers)
            trace = daemon.logged("trace")[-1]
            self.assertEqual(sent, {f"00-{trace}-{request}-03"})
            self.assertNotEqual(trace, TRACE)
        self.assertEqual(len(set(daemon.logged("trace"))), 3)

    def test_the_state_of_other_systems_is_not_sent_on(self) -> None:
        """``tracestate`` ends here."""
        daemon = InMemoryDaemon(self)
        seen = []

        def answer(request: Request) -> int:
            seen.append((request.getHeader("traceparent"), request.getHeader("tracestate")))
            return 500

        daemon.authentik.overrides[TOKEN] = answer
        reply = daemon.redeem("a code", HEADERS)
        request = reply.headers["x-request-id"]
        self.assertEqual(seen, [(f"00-{TRACE}-{request}-01", None)])
        self.assertEqual(daemon.logged("event"), ["relay"])
        self.assertEqual(daemon.logged("trace"), [TRACE])

    def test_a_refused_request_has_it_in_its_line(self) -> None:
        """Though Authentik was not asked."""
        daemon = InMemoryDaemon(self)
        reply = daemon.redeem("a code", HEADERS, client_id="nobody")
        self.assertEqual((reply.status, daemon.logged("event")), (401, ["refused"]))
        self.assertEqual(daemon.logged("trace"), [TRACE])
        self.assertEqual(daemon.logged("request"), [reply.headers["x-request-id"]])

    def test_a_check_that_joins_another_has_the_trace_of_that(self) -> None:
        """Authentik is asked once, in the trace of the check that runs."""
        pending = PendingVerifier()
        guard = CoalescedChecks(pending)
        first, second = (
            LoginAttempt("alice", "x", trace_context=new_trace_context()) for _ in range(2)
        )
        results: list[CheckResult] = []
        for login in (first, second):
            Deferred.fromCoroutine(guard.verify(login)).addCallback(results.append)
        [asked] = pending.asked
        self.assertEqual(asked.trace_context, first.trace_context)
        pending.waiting[0].callback(RIGHT)
        self.assertEqual(len(results), 2)


class RequestTests(SynchronousTestCase):
    """The context of one request."""

    def test_it_is_the_same_at_each_reading(self) -> None:
        """Line and headers have the same trace, also a new one."""
        request = BoundedRequest(DummyChannel(), False)
        self.assertEqual(request.trace_context, request.trace_context)
        self.assertEqual(request.trace_context.span_id, request.id)


class ProcessTests(SynchronousTestCase):
    """The daemon and the sandbox as processes."""

    def test_it_arrives_and_is_logged(self) -> None:
        """The page of the sandbox shows the trace that the line in the log names."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
        form["password"] = USUAL_PASSWORD
        with (
            SandboxProcess(folder) as sandbox,
            DaemonProcess(folder, AUTHENTIK_URL=sandbox.url) as daemon,
        ):
            answers = [
                requests.post(f"{daemon.url}/oauth/token", form, headers=headers, timeout=PATIENCE)
                for headers in ({}, {"traceparent": TRACEPARENT})
            ]
            page = requests.get(sandbox.url, timeout=PATIENCE).text
            daemon.end()
        lines = audit_lines(daemon.output)
        self.assertEqual([line["trace"] == TRACE for line in lines], [False, True])
        for line, answer in zip(lines, answers, strict=True):
            self.assertEqual(line["request"], answer.headers["X-Request-ID"])
            self.assertIn(f"00-{line['trace']}-{line['request']}-0", page)
            self.assertEqual(line["stages"][:2], ["ak-stage-identification", "ak-stage-password"])
            self.assertGreaterEqual(line["requests"], 5)
