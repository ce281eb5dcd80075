"""Metrics: their labels are words of this program, whatever anybody sends."""

from __future__ import annotations

import json
import platform
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

import twisted
from ropg_twisted import __version__
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.context import RequestContext
from ropg_twisted.errors import OAuthError
from ropg_twisted.grants.relay import TOKEN_ERRORS
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.settings.model import GRANTS
from ropg_twisted.telemetry.audit import MAX_ERROR, AuditLog
from ropg_twisted.telemetry.observers import REQUEST_STAGES
from ropg_twisted.verdict import Reason, Verdict
from tests.client import Connection, post
from tests.fakes import CapturedLog
from tests.memory import TOKEN, InMemoryDaemon

EXECUTOR = "/api/v3/flows/executor/default-authentication-flow/"

HOSTILE = [f"error-{number}" for number in range(50)]
HOSTILE += ["tokens", "", "x" * 10_000, "a\nb 1", '"} 1', "\u202e\ud800", "invalid_grant "]


KNOWN_AND_LONG = [*sorted(TOKEN_ERRORS), "'x" * MAX_ERROR]


def every_error(kind: type[OAuthError] = OAuthError) -> set[str]:
    """The code of each error that there is."""
    own = {kind.code} if "code" in vars(kind) else set()
    return own.union(*map(every_error, kind.__subclasses__()))


class LabelTests(SynchronousTestCase):
    """A daemon with an admin listener, and people who send it what they like."""

    def series(self, daemon: InMemoryDaemon) -> list[tuple[str, dict[str, str]]]:
        """All that Prometheus sees: names with their labels."""
        admin: Any = daemon.clock.tcpServers[1][1]
        wire = Connection(admin).send(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = wire.transport.value().partition(b"\r\n\r\n")[2].decode()
        families = text_string_to_metric_families(text)
        return [(s.name, s.labels) for family in families for s in family.samples]

    def test_nobody_can_add_a_series(self) -> None:
        """Errors of Authentik, grants, clients, names, scopes, targets and headers: none does."""
        daemon = InMemoryDaemon(self, ROPG_ADMIN_LISTEN="tcp:8582", ROPG_LIMITS="off")
        for number, error in enumerate(HOSTILE):

            def answer(request: Request, error: str = error) -> bytes:
                request.setResponseCode(400)
                return json.dumps({"error": error}).encode()

            daemon.authentik.overrides[EXECUTOR] = 200 + 31 * number
            daemon.password("alice")
            del daemon.authentik.overrides[EXECUTOR]

            daemon.authentik.overrides[TOKEN] = answer
            daemon.redeem("a code")
            text = error.encode("ascii", "replace").decode() or "x"
            daemon.redeem("a code", grant_type=text)
            daemon.redeem("a code", client_id=text)
            daemon.password(text, text, scope=text, nonce=text)
            target = "".join(c for c in text if c.isalnum())
            daemon.get(f"/{target}", f"User-Agent: {target}\r\nX-Request-ID: {target}\r\n")
            daemon.connect().send(f"{target} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            daemon.connect().send(post(error.encode("utf-8", "replace")))
        allowed = {
            "verdict": set(Verdict),
            "reason": set(Reason),
            "error": every_error(),
            "grant": set(GRANTS),
            "result": {"tokens", "other", *TOKEN_ERRORS, *Reason},
            "client": {"jamf-connect"},
            "stage": {"queue", *REQUEST_STAGES, "signing"},
            "kind": set(RequestKind),
            "status": {"2xx", "3xx", "4xx", "5xx", "none"},
            "limit": {"address", "user", "codes"},
            "evidence": set(Evidence),
            "version": {__version__},
            "python": {platform.python_version()},
            "twisted": {twisted.__version__},
        }
        seen: dict[str, set[str]] = {}
        for name, labels in self.series(daemon):
            self.assertTrue(name.startswith("ropg_"), name)
            for label, value in labels.items():
                if label != "le":
                    self.assertIn(value, allowed[label], name)
                    seen.setdefault(label, set()).add(value)
        self.assertEqual(seen["result"], {"other"})
        self.assertEqual(seen["status"], allowed["status"])
        self.assertLess(len(self.series(daemon)), 250)

    @given(st.text(st.characters(exclude_categories=[])) | st.sampled_from(KNOWN_AND_LONG))
    def test_an_error_that_is_not_known_is_quoted(self, error: str) -> None:
        """The log has it, or the beginning of it, where it cannot be taken for a word of ours."""
        events = CapturedLog(self).events
        context = RequestContext("id", "mac", ip_address("192.0.2.7"))
        if error in TOKEN_ERRORS:
            AuditLog().relay(context, "refresh_token", error)
        else:
            AuditLog().relay(context, "refresh_token", "other", error)
        [event] = events
        self.assertEqual(event["address"], "192.0.2.7")
        line = formatEvent(event)
        start = "refresh_token for mac from 192.0.2.7: "
        if error in TOKEN_ERRORS:
            self.assertEqual((line, event["result"]), (start + error, error))
        else:
            self.assertEqual(line, f"{start}other ({error[:MAX_ERROR]!r})")
            self.assertEqual((event["result"], event["error"]), ("other", error[:MAX_ERROR]))
