"""Values of the metrics: each changes for its reason, and for no other."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted import __version__, service
from ropg_twisted.authentik.evidence import LIFETIME
from ropg_twisted.grants import password as password_grant
from ropg_twisted.guard.circuit_breaker import OUTAGES_TO_OPEN, SECONDS_OPEN
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.oauth import tokens
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.certificates import Identity, identity
from tests.client import Connection, post
from tests.memory import InMemoryDaemon
from tests.scrape import Scrape

ADMIN = "tcp:8582"
EXECUTOR = "/api/v3/flows/executor/default-authentication-flow/"
INVALIDATION = "default-invalidation-flow"
ME = "/api/v3/core/users/me/"
NOW = 1_800_000_000.0
"""The time of the wall clock at first, where a test sets it."""

TWO_CLIENTS = """
[[clients]]
id = "jamf-connect"

[[clients]]
id = "xcreds"
"""

CODE_CLIENT = """
[[clients]]
id = "jamf-connect"
mfa = "code"
"""


class MetricsTestCase(SynchronousTestCase):
    """A daemon with an admin listener."""

    def start(self, clients: str = "", **environ: str) -> InMemoryDaemon:
        """The daemon. The rate limits are off, unless the test sets some."""
        settings = {"ROPG_ADMIN_LISTEN": ADMIN, "ROPG_LIMITS": "off", **environ}
        self.daemon = InMemoryDaemon(self, clients, **settings)
        return self.daemon

    def set_wall_clock(self) -> None:
        """Let the test say what time it is, in ``now``."""
        self.now = NOW
        self.patch(service, "time", SimpleNamespace(time=lambda: self.now))

    def scrape(self) -> Scrape:
        """The metrics now."""
        admin: Any = self.daemon.clock.tcpServers[-1][1]
        # TLS is left out.
        connection = Connection(getattr(admin, "wrappedFactory", admin))
        connection.send(b"GET /metrics HTTP/1.0\r\n\r\n")
        return Scrape.of(connection.transport.value().partition(b"\r\n\r\n")[2].decode())

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a series now."""
        return self.scrape().value(name, **labels)

    def slow_down(self, seconds: float, where: str = "") -> None:
        """Make Authentik respond late to requests with ``where`` in their URL."""
        clock, respond = self.daemon.clock, self.daemon.agent.request

        def request(method: bytes, uri: bytes, *more: Any) -> Deferred[Any]:
            if where.encode() not in uri:
                return respond(method, uri, *more)
            return deferLater(clock, seconds, respond, method, uri, *more)

        self.patch(self.daemon.agent, "request", request)

    def ask(self, username: str, password: str = USUAL_PASSWORD) -> Connection:
        """A connection that waits for the result of a check."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        connection = self.daemon.connect()
        connection.send(post(urlencode({**form, "password": password})))
        return connection

    def pass_time(self, seconds: int) -> None:
        """Let each second pass."""
        for _ in range(seconds):
            self.daemon.clock.advance(1)


class CheckTests(MetricsTestCase):
    """Counts and times of checks."""

    def test_checks_are_counted_by_client(self) -> None:
        """Each client has a series for each verdict that it was given."""
        daemon = self.start(TWO_CLIENTS)
        daemon.password("alice")
        daemon.password("alice")
        daemon.password("alice", "wrong", client_id="xcreds")
        daemon.password("bob", client_id="unknown")
        counts = [s for s in self.scrape().samples if s.name == "ropg_client_checks_total"]
        self.assertEqual(
            {(s.labels["client"], s.labels["verdict"]): s.value for s in counts},
            {("jamf-connect", "verified"): 2, ("xcreds", "rejected"): 1},
        )

    def test_stages_of_a_check_add_up_its_requests(self) -> None:
        """Every request takes a second here; those of the flow are one stage."""
        self.start()
        self.slow_down(1)
        asked = self.ask("alice")
        self.pass_time(14)
        [reply] = asked.replies
        self.assertEqual(reply.status, 200)
        metrics = self.scrape()
        stages = metrics.values("ropg_check_stage_seconds_sum", "stage")
        requests = metrics.values("ropg_upstream_request_seconds_count", "kind")
        del requests["removal"]
        self.assertGreater(requests["flow"], 1)
        self.assertEqual({**stages, "signing": 0}, {**requests, "queue": 0, "signing": 0})
        counts = metrics.values("ropg_check_stage_seconds_count", "stage")
        self.assertEqual(counts, dict.fromkeys(stages, 1))

    def test_a_stage_that_is_not_reached_has_no_time(self) -> None:
        """A wrong password ends at the password; the daemon's own answers have no stages."""
        daemon = self.start()
        daemon.password("alice", "wrong")
        daemon.password("alice", "wrong")
        counts = self.scrape().values("ropg_check_stage_seconds_count", "stage")
        self.assertEqual(counts, {"queue": 1, "flow": 1, "password": 1})

    def test_upstream_tokens_are_a_stage(self) -> None:
        """Codes and tokens from Authentik, and our signature below its id token."""
        client = '[[clients]]\nid = "jamf-connect"\ntokens = "authentik"\n'
        daemon = self.start(client + 'redirect_uri = "https://127.0.0.1/jamfconnect"\n')
        self.assertEqual(daemon.password("alice").status, 200)
        metrics = self.scrape()
        for stage in ("tokens", "signing"):
            self.assertEqual(metrics.value("ropg_check_stage_seconds_count", stage=stage), 1, stage)

    def test_time_in_the_queue_is_a_stage(self) -> None:
        """The second check waits for the whole of the first."""
        self.start(ROPG_MAX_CHECKS="1", ROPG_DEADLINE="30")
        self.slow_down(1)
        first, second = self.ask("alice"), self.ask("bob")
        metrics = self.scrape()
        self.assertEqual(metrics.value("ropg_check_slots"), 1)
        self.assertEqual(metrics.value("ropg_checks_in_progress"), 1)
        self.assertEqual(metrics.value("ropg_checks_waiting"), 1)
        seconds = 0
        while not first.replies and seconds < 14:
            self.pass_time(1)
            seconds += 1
        self.pass_time(14)
        self.assertEqual(len(second.replies), 1)
        metrics = self.scrape()
        self.assertEqual(metrics.value("ropg_checks_in_progress"), 0)
        self.assertEqual(metrics.value("ropg_checks_waiting"), 0)
        self.assertEqual(metrics.value("ropg_check_stage_seconds_sum", stage="queue"), seconds)
        self.assertEqual(metrics.value("ropg_check_stage_seconds_count", stage="queue"), 2)

    def test_signing_is_a_stage_after_the_check(self) -> None:
        """It is measured for each token response, and is no part of the time of the check."""
        daemon = self.start()
        sign = tokens.sign

        def slow_sign(*arguments: Any) -> str:
            daemon.clock.advance(2)
            return sign(*arguments)

        self.patch(tokens, "sign", slow_sign)
        self.patch(password_grant, "monotonic", daemon.clock.seconds)
        daemon.password("bob")
        daemon.password("alice", "wrong")
        self.slow_down(1)
        asked = self.ask("alice")
        seconds = 0
        while not asked.replies and seconds < 14:
            self.pass_time(1)
            seconds += 1
        metrics = self.scrape()
        self.assertEqual(metrics.value("ropg_check_stage_seconds_count", stage="signing"), 1)
        self.assertEqual(metrics.value("ropg_check_stage_seconds_sum", stage="signing"), 4)
        self.assertEqual(metrics.value("ropg_check_seconds_sum", verdict="verified"), seconds)

    def test_the_last_verified_check(self) -> None:
        """Refusals do not move it, and before the first there is none."""
        self.set_wall_clock()
        daemon = self.start()
        daemon.password("alice", "wrong")
        daemon.password("bob")
        self.assertIsNone(self.value("ropg_last_verified_timestamp_seconds"))
        daemon.password("alice")
        self.assertEqual(self.value("ropg_last_verified_timestamp_seconds"), NOW)
        self.now += 60
        daemon.password("bob")
        self.assertEqual(self.value("ropg_last_verified_timestamp_seconds"), NOW)


class UpstreamTests(MetricsTestCase):
    """Counts and times of requests to Authentik."""

    def counts(self, kind: str) -> dict[str, float]:
        """The requests of a kind, by status."""
        samples = self.scrape().samples
        return {
            sample.labels["status"]: sample.value
            for sample in samples
            if sample.name == "ropg_upstream_requests_total" and sample.labels["kind"] == kind
        }

    def test_requests_are_counted_by_kind_and_status(self) -> None:
        """A login has one password, one look at the access and one at the user."""
        daemon = self.start()
        daemon.password("alice")
        self.assertEqual(self.counts("password"), {"3xx": 1})
        self.assertEqual(self.counts("user"), {"2xx": 1})
        self.assertEqual(self.counts("removal"), {"2xx": 1})
        daemon.password("alice", "wrong")
        self.assertEqual(self.counts("password"), {"3xx": 1, "2xx": 1})
        daemon.redeem("a code")
        self.assertEqual(self.counts("tokens"), {"4xx": 1})
        daemon.get("/.well-known/openid-configuration")
        self.assertEqual(self.counts("metadata"), {"2xx": 1})
        daemon.get("/ready")
        self.assertEqual(self.counts("probe"), {"2xx": 1})

    def test_failures_have_a_status_as_well(self) -> None:
        """5xx for what Authentik calls an error, none where no answer came."""
        daemon = self.start()
        daemon.authentik.overrides[EXECUTOR] = 502
        daemon.password("alice")
        self.assertEqual(self.counts("flow"), {"5xx": 2})
        daemon.agent.failure = ConnectionRefusedError()
        daemon.password("alice")
        self.assertEqual(self.counts("flow"), {"5xx": 2, "none": 2})

    def test_a_status_that_http_does_not_know_is_none(self) -> None:
        """Whoever answers in place of Authentik adds no series."""
        daemon = self.start()
        for status in (600, 999, 1234):
            daemon.authentik.overrides[EXECUTOR] = status
            daemon.password("alice")
        self.assertEqual(set(self.counts("flow")), {"none"})


class GuardTests(MetricsTestCase):
    """What the guards did."""

    def test_the_breaker(self) -> None:
        """It is 1 from the last of the outages until Authentik answers again."""
        daemon = self.start()
        daemon.agent.failure = ConnectionRefusedError()
        for number in range(OUTAGES_TO_OPEN):
            self.assertEqual(self.value("ropg_circuit_breaker_open"), 0)
            daemon.password(f"user{number}")
        self.assertEqual(self.value("ropg_circuit_breaker_open"), 1)
        daemon.agent.failure = None
        daemon.clock.advance(SECONDS_OPEN)
        daemon.password("alice")
        self.assertEqual(self.value("ropg_circuit_breaker_open"), 0)

    def test_a_shared_store_that_fails(self) -> None:
        """A daemon without one has none that fails."""
        self.start()
        self.assertEqual(self.value("ropg_limits_store_failing"), 0)
        for failing in (True, False):
            with patch.object(SharedStore, "failing", failing):
                self.start(ROPG_LIMITS_STORE="redis://127.0.0.1:1")
                self.assertEqual(self.value("ropg_limits_store_failing"), failing)

    def test_joined_checks(self) -> None:
        """Only a check that is the same as a running one joins it."""
        self.start()
        self.slow_down(1)
        for username in ("alice", "alice", "alice", "bob"):
            self.ask(username)
        self.assertEqual(self.value("ropg_checks_joined_total"), 2)
        self.pass_time(14)
        self.ask("alice")
        self.assertEqual(self.value("ropg_checks_joined_total"), 2)

    def test_rejected_passwords(self) -> None:
        """The first refusal is Authentik's, the next ones are ours."""
        daemon = self.start()
        for hits in range(3):
            daemon.password("alice", "wrong")
            self.assertEqual(self.value("ropg_rejected_passwords_hits_total"), hits)
        daemon.password("alice", "also wrong")
        daemon.password("alice")
        self.assertEqual(self.value("ropg_rejected_passwords_hits_total"), 2)

    def limited(self) -> dict[str, float]:
        """The checks above each limit."""
        return self.scrape().values("ropg_rate_limited_total", "limit")

    def test_the_limit_of_an_address(self) -> None:
        """Only what is above it counts."""
        daemon = self.start(ROPG_LIMITS="address 2 per minute")
        for _ in range(5):
            daemon.password("alice")
        self.assertEqual(self.limited(), {"address": 3, "user": 0, "codes": 0})

    def test_the_limit_of_a_user(self) -> None:
        """Wrong passwords use it up; other users are not affected."""
        daemon = self.start(ROPG_LIMITS="user 2 per minute")
        for number in range(5):
            daemon.password("alice", f"wrong {number}")
        daemon.password("bob", "wrong")
        self.assertEqual(self.limited(), {"address": 0, "user": 3, "codes": 0})

    def test_the_limit_of_codes(self) -> None:
        """Wrong codes of a user whose network is known do not use up the passwords."""
        daemon = self.start(CODE_CLIENT, ROPG_LIMITS="user 2 per minute")
        for number in range(3):
            daemon.password("bob", f"{USUAL_PASSWORD};00000{number}")
        self.assertEqual(self.limited(), {"address": 0, "user": 0, "codes": 1})


class FlowTests(MetricsTestCase):
    """Evidence, readiness and sessions."""

    def evidence(self) -> set[str]:
        """The evidence whose value is 1. The others are 0."""
        values = self.scrape().values("ropg_flow_evidence", "evidence")
        self.assertEqual(set(values), {"in_place", "restarts", "unknown"})
        self.assertEqual(sorted(values.values())[:2], [0, 0])
        return {evidence for evidence, value in values.items() if value == 1}

    def test_evidence_and_its_age(self) -> None:
        """A refusal in place confirms it."""
        daemon = self.start()
        daemon.clock.advance(100)
        self.assertEqual(self.evidence(), {"in_place"})
        self.assertEqual(self.value("ropg_flow_evidence_age_seconds"), 100)
        daemon.password("alice")
        self.assertEqual(self.value("ropg_flow_evidence_age_seconds"), 100)
        daemon.password("alice", "wrong")
        self.assertEqual(self.value("ropg_flow_evidence_age_seconds"), 0)

    def test_a_flow_that_restarts(self) -> None:
        """The next canary sees it."""
        daemon = self.start(FLOW_SLUG="restart")
        daemon.clock.advance(LIFETIME)
        daemon.get("/ready")
        self.assertEqual(self.evidence(), {"restarts"})
        self.assertEqual(self.value("ropg_ready"), 0)

    def test_a_flow_that_is_not_proven(self) -> None:
        """A warning, and checks go on."""
        daemon = self.start(FLOW_SLUG="no-pretend")
        daemon.get("/ready")
        self.assertEqual(self.scrape().values("ropg_warning", "reason"), {})
        daemon.clock.advance(LIFETIME)
        daemon.get("/ready")
        self.assertEqual(self.evidence(), {"unknown"})
        self.assertEqual(self.scrape().values("ropg_warning", "reason"), {"flow_unproven": 1})
        self.assertEqual(self.value("ropg_ready"), 1)

    def test_readiness_is_that_of_the_last_probe(self) -> None:
        """A scrape itself asks Authentik nothing."""
        daemon = self.start()
        self.assertIsNone(self.value("ropg_ready"))
        daemon.get("/ready")
        daemon.agent.failure = ConnectionRefusedError()
        self.assertEqual(self.value("ropg_ready"), 1)
        daemon.get("/ready")
        self.assertEqual(self.value("ropg_ready"), 0)

    def test_a_probe_without_an_answer_is_not_ready(self) -> None:
        """The deadline ends it."""
        daemon = self.start()
        daemon.get("/ready")
        daemon.agent.silent = True
        daemon.connect().send(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.value("ropg_ready"), 1)
        self.pass_time(15)
        self.assertEqual(self.value("ropg_ready"), 0)

    def test_sessions_that_wait_for_their_removal(self) -> None:
        """Eight are removed at a time; the others wait."""
        daemon = self.start()
        self.slow_down(1, INVALIDATION)
        for _ in range(10):
            daemon.password("alice")
        metrics = self.scrape()
        self.assertEqual(metrics.value("ropg_sessions_waiting"), 2)
        self.assertEqual(metrics.value("ropg_sessions_removed_total"), 0)
        self.pass_time(2)
        metrics = self.scrape()
        self.assertEqual(metrics.value("ropg_sessions_waiting"), 0)
        self.assertEqual(metrics.value("ropg_sessions_removed_total"), 10)
        self.assertEqual(metrics.value("ropg_sessions_left_total"), 0)


class KeyTests(MetricsTestCase):
    """Keys, certificates and versions."""

    def setUp(self) -> None:
        self.set_wall_clock()

    def test_the_age_of_the_signing_key(self) -> None:
        """It counts from when the key may sign, and falls with a new key."""
        daemon = self.start()
        self.now += 1000
        self.assertEqual(self.value("ropg_signing_key_age_seconds"), 1000)
        path = daemon.state_dir / "keys.json"
        keys = json.loads(path.read_text())
        keys["keys"][0]["nbf"] = NOW + 900
        path.write_text(json.dumps(keys))
        self.assertEqual(self.value("ropg_signing_key_age_seconds"), 100)

    def test_a_shared_secret_has_no_age(self) -> None:
        """Nobody knows since when it is in use."""
        self.start(JWT_SECRET="0123456789abcdef0123456789abcdef")
        self.assertIsNone(self.value("ropg_signing_key_age_seconds"))

    def write(self, path: Path, mine: Identity) -> None:
        """Put a certificate where the daemon reads it, as a tool that renews it does."""
        draft = path.with_name("draft")
        draft.write_text(mine.key + mine.pem)
        draft.replace(path)

    def seconds_left(self, mine: Identity) -> float:
        """The seconds until a certificate ends."""
        return mine.certificate.not_valid_after_utc.timestamp() - NOW

    def expiries(self) -> dict[str, float]:
        """The seconds until the certificate of each listener ends."""
        return self.scrape().values("ropg_certificate_expiry_seconds", "listener")

    def test_a_certificate_that_is_renewed(self) -> None:
        """The next connection gets the new one, so it counts; an unusable one does not."""
        folder = Path(self.mktemp())
        folder.mkdir()
        first, path = folder / "first.pem", folder / "second.pem"
        plain = "tcp:8580"
        other, old, new = (identity("localhost", days=days) for days in (9, 5, 90))
        self.write(first, other)
        self.write(path, old)
        listen = [plain, f"ssl:8443:privateKey={first}", f"ssl:8444:privateKey={path}"]
        self.start(ROPG_LISTEN=" ".join(listen))
        expected = {"2": self.seconds_left(other), "3": self.seconds_left(old)}
        self.assertEqual(self.expiries(), expected)
        self.write(path, new)
        expected["3"] = self.seconds_left(new)
        self.assertEqual(self.expiries(), expected)
        path.write_text("nothing of use")
        self.assertEqual(self.expiries(), expected)

    def test_a_folder_of_certificates(self) -> None:
        """The one that ends first counts. The admin listener has its own name."""
        folder = Path(self.mktemp())
        folder.mkdir()
        later, sooner = identity("a.example.com", days=8), identity("b.example.com", days=3)
        self.write(folder / "a.pem", later)
        self.write(folder / "b.pem", sooner)
        admin = f"ssl:8582:privateKey={folder / 'a.pem'}"
        self.start(ROPG_LISTEN=f"tls:{folder}:8443", ROPG_ADMIN_LISTEN=admin)
        self.assertEqual(
            self.expiries(), {"1": self.seconds_left(sooner), "admin": self.seconds_left(later)}
        )

    def test_versions(self) -> None:
        """The daemon's, Python's and Twisted's."""
        self.start()
        [info] = [s for s in self.scrape().samples if s.name == "ropg_build_info"]
        self.assertEqual(set(info.labels), {"version", "python", "twisted"})
        self.assertEqual((info.labels["version"], info.value), (__version__, 1))

    def test_no_series_tells_when_it_was_created(self) -> None:
        """They would double the series of every counter and histogram."""
        daemon = self.start()
        daemon.password("alice")
        daemon.password("alice", "wrong")
        daemon.redeem("a code")
        self.assertEqual({n for n in self.scrape().names if n.endswith("_created")}, set())
