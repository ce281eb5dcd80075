"""The advice of ``ropg try``: what to do about a result, and where to read more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from ropg_twisted.cli.diagnosis import Exit, advice, readiness_reason
from ropg_twisted.cli.try_password import TryOptions
from ropg_twisted.errors import (
    AccessDeniedError,
    InteractionRequiredError,
    InvalidClientError,
    InvalidGrantError,
    MFARequiredError,
    NetworkNotAllowedError,
    OAuthError,
    SlowDownError,
    TemporarilyUnavailableError,
)
from ropg_twisted.remedies import REMEDIES, help_url
from ropg_twisted.server.responses import error_body
from ropg_twisted.verdict import Reason

reactor: Any = global_reactor

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


class FixedDaemon(Resource):
    """Answers every check alike, and counts the requests to ``/ready``."""

    isLeaf = True

    def __init__(self, answer: Callable[[Any], bytes | int], ready: bytes) -> None:
        super().__init__()
        self._answer = answer
        self._ready = ready
        self.requests = 0

    def render_POST(self, request: Any) -> bytes | int:
        """Answer a check."""
        return self._answer(request)

    def render_GET(self, request: Any) -> bytes:
        """Answer a probe."""
        self.requests += 1
        assert request.path == b"/ready", request.path
        return self._ready


def answer_error(error: OAuthError, request: Any) -> bytes:
    """Answer with an error."""
    return error_body(request, error)


def drop(request: Any) -> int:
    """Drop the connection, as with ``ROPG_OUTAGE=abort``."""
    request.channel.forceAbortClient()
    return NOT_DONE_YET


class AdviceTests(TestCase):
    """``ropg try`` says what to do."""

    async def try_(
        self, answer: Callable[[Any], bytes | int], ready: bytes = b"{}"
    ) -> tuple[int, str, int]:
        """The exit status, what is printed, and the number of requests to ``/ready``."""
        daemon = FixedDaemon(answer, ready)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Site(daemon))
        self.addCleanup(port.stopListening)
        out = StringIO()
        self.patch(sys, "stdin", TextIOWrapper(BytesIO(b"password\n")))
        self.patch(sys, "stdout", out)
        command = TryOptions()
        command.parseOptions(["--url", f"http://127.0.0.1:{port.getHost().port}", "alice"])
        return await command.run(reactor), out.getvalue(), daemon.requests

    async def test_an_answer(self) -> None:
        """The reason that an answer leads to is explained, without a further request."""
        for error, reason in (
            (InvalidGrantError(), Reason.WRONG_CREDENTIALS),
            (MFARequiredError(), Reason.MFA),
            (InteractionRequiredError(), Reason.INTERACTION),
            (AccessDeniedError(), Reason.POLICY),
            (SlowDownError(77), Reason.THROTTLED),
        ):
            _, text, requests = await self.try_(partial(answer_error, error))
            self.assertTrue(text.endswith(f"{advice(reason)}\n"), f"{error!r}: {text}")
            self.assertIn(REMEDIES[reason].remedy, text)
            self.assertIn(help_url(reason), text)
            self.assertEqual(requests, 0)

    async def test_other_answers(self) -> None:
        """An answer that leads to no reason has no advice."""
        for error in (InvalidClientError(), NetworkNotAllowedError()):
            _, text, requests = await self.try_(partial(answer_error, error))
            self.assertNotIn("What to do", text)
            self.assertEqual(requests, 0)

    async def test_an_outage(self) -> None:
        """The daemon is asked for the reason of an outage, told by 503 or a dropped connection."""
        for answer in (partial(answer_error, TemporarilyUnavailableError()), drop):
            for body in (
                {"status": "unavailable", "reason": "upstream_tls"},
                {"status": "ready", "warning": "upstream_tls"},
            ):
                status, text, requests = await self.try_(answer, json.dumps(body).encode())
                self.assertEqual((status, requests), (Exit.UNKNOWN, 1), text)
                self.assertIn(f"says upstream_tls: {REMEDIES[Reason.UPSTREAM_TLS].summary}", text)
                self.assertIn(advice(Reason.UPSTREAM_TLS), text)

    async def test_an_outage_without_a_reason(self) -> None:
        """A daemon that is ready again, or something else, gives none, and nothing goes wrong."""
        for ready in (b'{"status":"ready"}', b'{"reason":"news"}', b'["reason"]', b"<html>", b""):
            status, text, requests = await self.try_(drop, ready)
            self.assertEqual((status, requests), (Exit.UNKNOWN, 1), text)
            self.assertNotIn("What to do", text)


class ReadinessReasonTests(SynchronousTestCase):
    """The reason in a response of ``/ready``."""

    def test_every_reason(self) -> None:
        """Each is found, as reason or as warning."""
        for reason in Reason:
            self.assertIs(readiness_reason({"reason": reason.value}), reason)
            self.assertIs(readiness_reason({"warning": reason.value}), reason)

    @given(st.dictionaries(st.sampled_from(("reason", "warning", "status")), JSON))
    def test_anything_else(self, payload: dict[str, object]) -> None:
        """Nothing else is a reason."""
        words = {reason.value for reason in Reason}
        found = readiness_reason(payload)
        self.assertTrue(found is None or found.value in words)
