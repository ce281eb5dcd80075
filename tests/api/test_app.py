"""Responses to clients, to the byte and the header."""

from __future__ import annotations

import json
import pickle
import re
import tempfile
from ast import literal_eval
from dataclasses import fields
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

import jwt
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import CheckResult, LoginAttempt
from ropg_twisted.networks import EVERYWHERE, Networks
from ropg_twisted.server.request import MAX_BODY, MAX_DISCARDED
from ropg_twisted.server.site import IDLE_SECONDS
from ropg_twisted.settings.model import Client
from ropg_twisted.telemetry.audit import AuditLog
from ropg_twisted.telemetry.log import text_line
from ropg_twisted.telemetry.observers import CheckRecord
from ropg_twisted.verdict import Reason, Verdict
from tests.client import FORM, GOOD, Connection, Reply, post
from tests.composition import daemon_site
from tests.fakes import (
    RIGHT,
    CapturedLog,
    FailingVerifier,
    FakeReadiness,
    FixedVerifier,
    PendingVerifier,
    outcome,
)
from tests.parametrize import parametrize

LATER = (503, "temporarily_unavailable", "The service is temporarily unavailable")


def ask(verifier: Any, body: str, *clients: Client, headers: str = FORM) -> Reply:
    """The response to a token request."""
    [reply] = Connection(daemon_site(verifier, *clients)).send(post(body, headers)).replies
    return reply


def refused(error: str, description: str) -> bytes:
    """The exact bytes of an error answer."""
    return json.dumps(
        {"error": error, "error_description": description}, separators=(",", ":")
    ).encode()


class TokenEndpointTests(SynchronousTestCase):
    """``POST /oauth/token``."""

    def test_a_right_password_brings_tokens(self) -> None:
        """A verified password is answered with a token response, and nothing may keep it."""
        reply = ask(FixedVerifier(RIGHT), urlencode(GOOD))
        self.assertEqual(reply.status, 200)
        self.assertEqual(
            set(reply.json), {"token_type", "access_token", "id_token", "expires_in", "scope"}
        )
        self.assertEqual((reply.json["token_type"], reply.json["expires_in"]), ("Bearer", 3600))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["pragma"], "no-cache")
        self.assertEqual(reply.headers["content-type"], "application/json")
        claims = jwt.decode(reply.json["id_token"], options={"verify_signature": False})
        self.assertEqual((claims["sub"], claims["aud"]), ("5ub", "mac"))

    @parametrize(
        {
            "wrong password": (
                outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS),
                (400, "invalid_grant", "Invalid username or password"),
            ),
            "second factor": (
                outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA),
                (400, "interaction_required", "Multi-factor authentication required"),
            ),
            "interaction": (
                outcome(Verdict.INTERACTION_REQUIRED, Reason.INTERACTION),
                (400, "interaction_required", "User interaction required"),
            ),
            "policy": (
                outcome(Verdict.DENIED, Reason.POLICY),
                (400, "access_denied", "Access denied"),
            ),
            "timeout": (outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_TIMEOUT), LATER),
            "flow error": (outcome(Verdict.UNVERIFIABLE, Reason.FLOW_ERROR), LATER),
        }
    )
    def test_outcome(self, check: CheckResult, answer: tuple[int, str, str]) -> None:
        """Status and body of each refusal are fixed to the byte."""
        status, error, description = answer
        reply = ask(FixedVerifier(check), urlencode(GOOD))
        self.assertEqual(reply.status, status)
        self.assertEqual(reply.body, refused(error, description))
        self.assertEqual("retry-after" in reply.headers, status == 503)
        self.assertEqual(reply.headers["cache-control"], "no-store")

    @parametrize(
        {
            "no password": ({"password": ""}, FORM, (400, "invalid_request")),
            "no user name": ({"username": ""}, FORM, (400, "invalid_request")),
            "no grant type": ({"grant_type": ""}, FORM, (400, "invalid_request")),
            "no client": ({"client_id": ""}, FORM, (400, "invalid_request")),
            "a line end": ({"username": "al\nice"}, FORM, (400, "invalid_request")),
            "another grant": (
                {"grant_type": "client_credentials"},
                FORM,
                (400, "unsupported_grant_type"),
            ),
            "an unknown client": ({"client_id": "other"}, FORM, (401, "invalid_client")),
            "no content type": ({}, "", (400, "invalid_request")),
            "JSON": ({}, "Content-Type: application/json\r\n", (400, "invalid_request")),
        }
    )
    def test_not_understood(
        self, change: dict[str, str], headers: str, expected: tuple[int, str]
    ) -> None:
        """A request with a missing, repeated or malformed parameter is refused before a check."""
        verifier = FixedVerifier(RIGHT)
        reply = ask(verifier, urlencode({**GOOD, **change}), headers=headers)
        self.assertEqual((reply.status, reply.json["error"]), expected)
        self.assertEqual(verifier.asked, [])

    def test_malformed_bodies(self) -> None:
        """A body that is no form is refused before anybody is asked."""
        verifier = FixedVerifier(RIGHT)
        for body in ("", "%ff=%ff", "grant_type", urlencode(GOOD) + "&username=bob"):
            self.assertEqual(ask(verifier, body).status, 400, body)
        self.assertEqual(verifier.asked, [])

    def test_parameters_in_the_url_are_refused(self) -> None:
        """A password in the URL would be in logs, and is not looked at."""
        verifier = FixedVerifier(RIGHT)
        target = "/oauth/token?" + urlencode(GOOD)
        [reply] = Connection(daemon_site(verifier)).send(post("", target=target)).replies
        self.assertEqual((reply.status, reply.json["error"]), (400, "invalid_request"))
        self.assertEqual(verifier.asked, [])

    @parametrize(
        {
            "network": (Networks(), GOOD, "access_denied"),
            "no grant type": (EVERYWHERE, {"grant_type": ""}, "invalid_request"),
            "grant": (EVERYWHERE, {**GOOD, "grant_type": "magic"}, "unsupported_grant_type"),
            "client": (EVERYWHERE, {**GOOD, "client_id": "other"}, "invalid_client"),
            "grant of the client": (
                EVERYWHERE,
                {**GOOD, "grant_type": "refresh_token"},
                "unauthorized_client",
            ),
            "user name": (EVERYWHERE, {**GOOD, "username": " "}, "invalid_request"),
        }
    )
    def test_refusal_is_logged(self, networks: Networks, form: dict[str, str], error: str) -> None:
        """A refused request leaves one line, in whichever phase it is refused."""
        client = Client("mac", grants=("password",))
        events = CapturedLog(self).events
        site = daemon_site(FixedVerifier(RIGHT), client, allowed_networks=networks)
        [reply] = Connection(site).send(post(urlencode(form))).replies
        self.assertEqual(reply.json["error"], error)
        logged = [(event["error"], event["address"]) for event in events if "error" in event]
        self.assertEqual(logged, [(error, "192.0.2.7")])

    def test_the_password_arrives_as_it_was_typed(self) -> None:
        """Blanks, quotes, signs and letters of any script survive the form."""
        verifier = FixedVerifier(RIGHT)
        typed = ' it\'s "1+1" & 100% %2B žluťoučký 密码 '
        ask(verifier, urlencode({**GOOD, "password": typed}))
        self.assertEqual(verifier.asked, [LoginAttempt("alice", typed, ip_address("192.0.2.7"))])

    def test_a_wrong_secret_tried_by_basic_is_challenged(self) -> None:
        """HTTP Basic with a wrong secret is answered 401 with a challenge; a right one goes on."""
        client = Client("mac", "s3cret")
        rest = urlencode({k: v for k, v in GOOD.items() if k != "client_id"})
        for header, status in (("bWFjOnMzY3JldA==", 200), ("bWFjOndyb25n", 401)):
            headers = f"{FORM}Authorization: Basic {header}\r\n"
            reply = ask(FixedVerifier(RIGHT), rest, client, headers=headers)
            self.assertEqual(reply.status, status)
            self.assertEqual("www-authenticate" in reply.headers, status == 401)
        reply = ask(FixedVerifier(RIGHT), urlencode(GOOD), client)
        self.assertEqual((reply.status, "www-authenticate" in reply.headers), (401, False))

    def test_a_header_that_comes_twice_is_refused(self) -> None:
        """Of two that say who asks, or how, a proxy may have looked at the other one."""
        client = Client("mac", "s3cret")
        right, wrong = "Basic bWFjOnMzY3JldA==", "Basic bWFjOndyb25n"
        form = "application/x-www-form-urlencoded"
        rest = urlencode({k: v for k, v in GOOD.items() if k != "client_id"})
        verifier = FixedVerifier(RIGHT)
        for headers in (
            f"{FORM}Authorization: {wrong}\r\nAuthorization: {right}\r\n",
            f"{FORM}Authorization: {right}\r\nAuthorization: {right}\r\n",
            f"{FORM}Authorization: {right}\r\nauthorization: Bearer x\r\n",
            f"{FORM}Authorization: {right}, {right}\r\n",
            f"{FORM}{FORM}Authorization: {right}\r\n",
            f"Content-Type: text/plain\r\n{FORM}Authorization: {right}\r\n",
            f"Content-Type: {form}, {form}\r\nAuthorization: {right}\r\n",
            f"Content-Type: {form}; charset=utf-8, text/plain\r\nAuthorization: {right}\r\n",
        ):
            reply = ask(verifier, rest, client, headers=headers)
            self.assertEqual((reply.status, reply.json["error"]), (400, "invalid_request"), headers)
        self.assertEqual(verifier.asked, [])
        reply = ask(verifier, rest, client, headers=f"{FORM}Authorization: {right}\r\n")
        self.assertEqual(reply.status, 200)

    def test_a_mistake_of_ours_is_no_verdict(self) -> None:
        """A mistake inside is answered as an outage, and its text stays inside."""
        reply = ask(FailingVerifier(RIGHT), urlencode(GOOD))
        self.assertEqual(
            (reply.status, reply.body),
            (503, refused("temporarily_unavailable", "The service is temporarily unavailable")),
        )
        [failure] = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("canary", str(failure.value))

    def test_a_client_that_hangs_up_gives_up_its_check(self) -> None:
        """The check of a client that is gone is cancelled."""
        verifier = PendingVerifier()
        wire = Connection(daemon_site(verifier)).send(post(urlencode(GOOD)))
        self.assertEqual(len(verifier.waiting), 1)
        wire.transport.loseConnection()
        wire.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(verifier.waiting, [])


class BoundTests(SynchronousTestCase):
    """Bounds on a request."""

    def test_a_large_body_is_refused_and_never_on_disk(self) -> None:
        """Over 64 KiB a body is read to its end and refused, and no file holds any of it."""
        self.patch(tempfile, "TemporaryFile", self.fail)
        verifier = FixedVerifier(RIGHT)
        body = urlencode({**GOOD, "password": "x" * MAX_BODY})
        wire = Connection(daemon_site(verifier)).send(post(body))
        [reply] = wire.replies
        self.assertEqual((reply.status, reply.json["error"]), (413, "invalid_request"))
        self.assertFalse(wire.transport.disconnecting)
        self.assertEqual(verifier.asked, [])

    def test_the_largest_body_is_answered(self) -> None:
        """Exactly 64 KiB are taken."""
        rest = MAX_BODY - len(urlencode({**GOOD, "password": ""}))
        verifier = FixedVerifier(RIGHT)
        reply = ask(verifier, urlencode({**GOOD, "password": "x" * rest}))
        self.assertEqual(reply.status, 200)

    def test_chunked_bodies_have_the_same_bound(self) -> None:
        """A body without a length is refused as well, and needs no file either."""
        self.patch(tempfile, "TemporaryFile", self.fail)
        head = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        wire = Connection(daemon_site(FixedVerifier(RIGHT))).send(
            head.encode() + chunk * 3 + b"0\r\n\r\n"
        )
        [reply] = wire.replies
        self.assertEqual(reply.status, 413)

    def test_a_body_without_end_is_cut(self) -> None:
        """After a mebibyte there is an answer, and the connection closes."""
        head = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        wire = Connection(daemon_site(FixedVerifier(RIGHT))).send(head.encode())
        for _ in range(MAX_DISCARDED // 0x8000 + 5):
            wire.send(chunk)
        [reply] = wire.replies
        self.assertEqual((reply.status, reply.headers["connection"]), (413, "close"))
        self.assertTrue(wire.transport.disconnecting)

    def test_a_length_without_measure_is_cut_at_once(self) -> None:
        """A client that announces too much is answered before it sends anything."""
        head = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 9999999999\r\n\r\n"
        wire = Connection(daemon_site(FixedVerifier(RIGHT))).send(head.encode())
        [reply] = wire.replies
        self.assertEqual((reply.status, reply.json["error"]), (413, "invalid_request"))
        self.assertTrue(wire.transport.disconnecting)

    def test_a_silent_connection_is_closed(self) -> None:
        """A connection that does not finish its request goes away in time."""
        clock = Clock()
        wire = Connection(daemon_site(FixedVerifier(RIGHT), reactor=clock)).send(
            b"POST /oauth/token HTTP/1.1\r\n"
        )
        clock.advance(IDLE_SECONDS + 1)
        self.assertTrue(wire.transport.disconnecting)


class RouteTests(SynchronousTestCase):
    """The other routes."""

    def get(self, target: str, readiness: Any = None, method: str = "GET") -> Reply:
        """The response to a request without a body."""
        wire = Connection(daemon_site(FixedVerifier(RIGHT), readiness=readiness))
        wire.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        [reply] = wire.replies
        return reply

    def test_health(self) -> None:
        """A living process says so, whatever Authentik does."""
        reply = self.get("/health", FakeReadiness(Reason.UPSTREAM_TIMEOUT))
        self.assertEqual((reply.status, reply.json), (200, {"status": "healthy"}))

    def test_ready(self) -> None:
        """Readiness is Authentik's, with the reason if it is not there."""
        reply = self.get("/ready")
        self.assertEqual((reply.status, reply.json), (200, {"status": "ready"}))
        reply = self.get("/ready", FakeReadiness(Reason.UPSTREAM_CONNECTION))
        self.assertEqual(
            (reply.status, reply.json),
            (503, {"status": "unavailable", "reason": "upstream_connection"}),
        )
        reply = self.get("/ready", FakeReadiness(warning=Reason.OUTPOST_TOKEN_REFUSED))
        self.assertEqual(
            (reply.status, reply.json),
            (200, {"status": "ready", "warning": "outpost_token_refused"}),
        )

    def test_discovery_and_keys_may_be_kept_for_minutes(self) -> None:
        """Both documents are JSON, and cacheable."""
        for target in ("/.well-known/openid-configuration", "/.well-known/jwks.json"):
            reply = self.get(target)
            self.assertEqual(
                (reply.status, reply.headers["content-type"]), (200, "application/json")
            )
            self.assertEqual(reply.headers["cache-control"], "public, max-age=300")

    def test_what_is_not_there(self) -> None:
        """Other paths and methods are JSON as well, and 405 says what is allowed."""
        for target in ("/", "/oauth", "/oauth/token/", "/OAUTH/TOKEN"):
            reply = self.get(target)
            self.assertEqual((reply.status, reply.json["error"]), (404, "not_found"), target)
        reply = self.get("/oauth/token")
        self.assertEqual((reply.status, reply.json["error"]), (405, "method_not_allowed"))
        self.assertEqual(reply.headers["allow"], "POST")
        self.assertEqual(self.get("/health", method="DELETE").headers["allow"], "GET, HEAD")

    def test_targets_that_are_no_path(self) -> None:
        """Targets for a proxy, and ``*`` (RFC 9112 section 3.2), are answered in JSON as well."""
        for method in ("OPTIONS", "GET", "POST", "PUT", "CONNECT"):
            reply = self.get("*", method=method)
            self.assertEqual((reply.status, reply.json["error"]), (405, "method_not_allowed"))
            self.assertEqual(reply.headers["allow"], "GET, POST")
            self.assertIn("x-request-id", reply.headers)
            for target in ("x:443", "http://x/health", "http://x", "http://[::1/health", "health"):
                reply = self.get(target, method=method)
                self.assertEqual((reply.status, reply.json["error"]), (404, "not_found"), target)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_every_answer_carries_an_id_of_its_own(self) -> None:
        """X-Request-ID differs from answer to answer."""
        ids = {self.get("/health").headers["x-request-id"] for _ in range(5)}
        self.assertEqual(len(ids), 5)


class CheckLogTests(SynchronousTestCase):
    """The one line that a check leaves in the log."""

    def test_the_line_names_who_and_why_but_no_secret(self) -> None:
        """User, client, address, verdict, reason and request id; the password nowhere."""
        events = CapturedLog(self).events
        check: CheckResult = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_STATUS)
        reply = ask(FixedVerifier(check), urlencode({**GOOD, "password": "canary"}))
        [event] = [event for event in events if "verdict" in event]
        self.assertEqual(
            (event["username"], event["client"], event["verdict"], event["reason"]),
            ("alice", "mac", "unverifiable", "upstream_status"),
        )
        self.assertEqual(event["request"], reply.headers["x-request-id"])
        self.assertNotIn("canary", repr(events))

    def test_what_is_told_of_a_request_holds_no_secret(self) -> None:
        """The record that the audit log gets does not contain the password."""
        told: list[CheckRecord] = []
        self.patch(AuditLog, "check", lambda _, record: told.append(record))
        ask(FixedVerifier(RIGHT), urlencode({**GOOD, "password": "canary"}))
        [record] = told
        context = record.context
        self.assertEqual(
            {field.name: getattr(context, field.name) for field in fields(context)},
            {
                "id": context.id,
                "client": "mac",
                "address": ip_address("192.0.2.7"),
                "trace_context": context.trace_context,
            },
        )
        self.assertEqual(record.username, "alice")
        self.assertNotIn(b"canary", pickle.dumps(told))

    def test_no_name_can_be_taken_for_a_verdict(self) -> None:
        """It is quoted where it stands among our own words."""
        events = CapturedLog(self).events
        check: CheckResult = outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
        for name in (
            "alice",
            "x for mac from 192.0.2.7: verified (verified)",
            "x' for mac from 192.0.2.7: verified (verified)",
            """x' for "mac" from 192.0.2.7: verified (verified)""",
            "x\\",
        ):
            ask(FixedVerifier(check), urlencode({**GOOD, "username": name}))
            [event] = [event for event in events if event.get("username") == name]
            line = text_line(event)
            self.assertIn(f" check of {name!r} for mac from 192.0.2.7: rejected ", line)
            [shown] = re.findall("check of (.*) for mac from ", line)
            self.assertEqual(literal_eval(shown), name)
