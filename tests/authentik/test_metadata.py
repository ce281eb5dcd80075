"""Authentik's documents: kept for a while, and published again with ours in them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.metadata import (
    FRESH_SECONDS,
    REFETCH_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
    StaleIfErrorCache,
)
from ropg_twisted.oauth.metadata import AUTHENTIK_ONLY
from ropg_twisted.verdict import Reason, UpstreamError
from tests.composition import AUTHENTIK, ISSUER
from tests.memory import DISCOVERY, JWKS, OAUTH, InMemoryDaemon, signing_key
from tests.parametrize import parametrize

THEIRS = f"{OAUTH}jamf-connect{DISCOVERY}"
KEYS = f"{OAUTH}jamf-connect/jwks/"


class KeptTests(SynchronousTestCase):
    """A document, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fetches: list[Deferred[str]] = []
        self.kept = StaleIfErrorCache(self.fetch, self.clock)

    async def fetch(self) -> str:
        """Begin a fetch, which ends when the test says so."""
        self.fetches.append(Deferred())
        return await self.fetches[-1]

    def get(self) -> Deferred[str]:
        """Ask for the document."""
        return Deferred.fromCoroutine(self.kept.get())

    def refetch(self) -> Deferred[str]:
        """Ask for a new copy of it."""
        return Deferred.fromCoroutine(self.kept.refetch())

    def test_a_copy_is_used_while_it_is_fresh(self) -> None:
        """For five minutes nothing is fetched, then once again."""
        first = self.get()
        self.fetches[0].callback("one")
        self.assertEqual(self.successResultOf(first), "one")
        self.clock.advance(FRESH_SECONDS - 0.1)
        self.assertEqual(self.successResultOf(self.get()), "one")
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(0.1)
        second = self.get()
        self.assertNoResult(second)
        self.fetches[1].callback("two")
        self.assertEqual(self.successResultOf(second), "two")
        self.assertEqual(self.successResultOf(self.get()), "two")
        self.assertEqual(len(self.fetches), 2)

    def test_an_old_copy_is_used_while_there_is_no_other(self) -> None:
        """For a day a fetch that fails is made up for."""
        first = self.get()
        self.fetches[0].callback("one")
        self.successResultOf(first)
        age = 0.0
        for advance in (FRESH_SECONDS, 3600, STALE_SECONDS - FRESH_SECONDS - 3600 - 0.1, 0.1):
            self.clock.advance(advance)
            age += advance
            waiter = self.get()
            self.fetches[-1].errback(UpstreamError(Reason.UPSTREAM_CONNECTION))
            if age < STALE_SECONDS:
                self.assertEqual(self.successResultOf(waiter), "one", age)
            else:
                self.failureResultOf(waiter, UpstreamError)
        self.assertEqual(len(self.fetches), 5)
        last = self.get()
        self.fetches[-1].callback("two")
        self.assertEqual(self.successResultOf(last), "two")

    def test_nobody_waits_twice_for_what_did_not_come(self) -> None:
        """After a fetch that failed, the old copy is used at once for half a minute."""
        first = self.get()
        self.fetches[0].callback("one")
        self.successResultOf(first)
        self.clock.advance(FRESH_SECONDS)
        second = self.get()
        self.fetches[-1].errback(UpstreamError(Reason.UPSTREAM_TIMEOUT))
        self.assertEqual(self.successResultOf(second), "one")
        self.clock.advance(RETRY_SECONDS - 0.1)
        self.assertEqual(self.successResultOf(self.get()), "one")
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(0.1)
        self.assertNoResult(self.get())
        self.assertEqual(len(self.fetches), 3)

    def test_a_new_copy_may_be_forced_now_and_then(self) -> None:
        """A fresh copy is no reason not to fetch, a copy that was forced just now is."""
        first = self.get()
        self.fetches[0].callback("one")
        self.successResultOf(first)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(self.get()), "one")
        newer = self.refetch()
        self.fetches[-1].callback("two")
        self.assertEqual(self.successResultOf(newer), "two")
        self.clock.advance(REFETCH_SECONDS - 0.1)
        self.assertEqual(self.successResultOf(self.refetch()), "two")
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(0.1)
        self.assertNoResult(self.refetch())
        self.assertEqual(len(self.fetches), 3)

    def test_many_who_wait_share_one_fetch(self) -> None:
        """Its result, good or bad, is told to all; who goes away takes nothing from the others."""
        for end in ("callback", "errback"):
            self.setUp()
            waiters = [self.get() for _ in range(5)]
            gone = waiters.pop(0)
            gone.cancel()
            self.failureResultOf(gone)
            self.assertEqual(len(self.fetches), 1)
            if end == "callback":
                self.fetches[0].callback("one")
                self.assertEqual([self.successResultOf(waiter) for waiter in waiters], ["one"] * 4)
            else:
                self.fetches[0].errback(UpstreamError(Reason.UPSTREAM_STATUS))
                for waiter in waiters:
                    self.failureResultOf(waiter, UpstreamError)

    def test_who_waits_no_longer_stops_the_fetch(self) -> None:
        """The fetch is cancelled after the last waiter, and the next request begins another."""
        waiters = [self.get() for _ in range(2)]
        for waiter in waiters:
            waiter.cancel()
            self.failureResultOf(waiter)
        self.assertTrue(self.fetches[0].called)
        self.get()
        self.assertEqual(len(self.fetches), 2)


class DocumentsTests(SynchronousTestCase):
    """The discovery document and the keys, as clients see them."""

    def test_authentiks_document_with_us_in_it(self) -> None:
        """Issuer, token endpoint, keys and userinfo are ours; the rest is Authentik's."""
        daemon = InMemoryDaemon(self)
        document = daemon.get(DISCOVERY).json
        theirs = daemon.authentik_get(THEIRS)
        ours = {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/oauth/token",
            "jwks_uri": f"{ISSUER}{JWKS}",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_post",
                "client_secret_basic",
            ],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "password"],
        }
        lists = ("scopes_supported", "claims_supported")
        for name, value in document.items():
            if name in lists:
                self.assertLessEqual(set(theirs[name]), set(value))
                self.assertEqual(len(set(value)), len(value), name)
            else:
                self.assertEqual(value, ours.get(name, theirs.get(name)), name)
        self.assertEqual(set(document) - set(theirs), set())
        self.assertEqual(set(theirs) - set(document), set(AUTHENTIK_ONLY))
        # What clients look for that were not made for us.
        self.assertTrue(document["authorization_endpoint"].startswith(AUTHENTIK))
        self.assertTrue(document["device_authorization_endpoint"].startswith(AUTHENTIK))
        self.assertIn("S256", document["code_challenge_methods_supported"])

    def test_what_is_named_is_served(self) -> None:
        """Each endpoint on our host is there, in either document."""
        for slug in ("jamf-connect", "unknown"):
            daemon = InMemoryDaemon(self, CLIENT_ID=slug)
            document = daemon.get(DISCOVERY).json
            named = [
                value.removeprefix(ISSUER)
                for name, value in document.items()
                if name != "issuer" and isinstance(value, str) and value.startswith(ISSUER)
            ]
            self.assertEqual(sorted(named), [JWKS, "/oauth/token", "/userinfo"])
            for path in named:
                self.assertNotEqual(daemon.get(path).status, 404, path)

    def test_no_application(self) -> None:
        """The document of an unknown application names password checks only."""
        daemon = InMemoryDaemon(self, CLIENT_ID="unknown")
        for _ in range(3):
            document = daemon.get(DISCOVERY).json
            self.assertEqual(document["grant_types_supported"], ["password"])
            self.assertEqual(document["authorization_endpoint"], f"{AUTHENTIK}{OAUTH}authorize/")
            self.assertEqual(len(daemon.get(JWKS).json["keys"]), 1)
        self.assertEqual(daemon.authentik.count("GET", f"{OAUTH}unknown{DISCOVERY}"), 1)
        self.assertEqual(daemon.authentik.count("GET", f"{OAUTH}unknown/jwks/"), 0)
        self.assertEqual(daemon.get("/ready").json, {"status": "ready"})

    def test_a_named_application_must_be_there(self) -> None:
        """Not ready, and the reason is said plainly; nothing is answered in its place."""
        daemon = InMemoryDaemon(self, ROPG_APP_SLUG="unknown")
        ready = daemon.get("/ready")
        self.assertEqual(
            (ready.status, ready.json),
            (503, {"status": "unavailable", "reason": "application_missing"}),
        )
        self.assertEqual(daemon.get(DISCOVERY).status, 503)
        self.assertEqual(daemon.password("alice").status, 503)
        self.assertEqual(daemon.logged("reason"), ["application_missing"])

    def test_an_application_of_another_name(self) -> None:
        """A slug that is set is that of the document, whatever the client is called."""
        daemon = InMemoryDaemon(self, ROPG_APP_SLUG="mac-fleet")
        self.assertEqual(
            daemon.get(DISCOVERY).json["end_session_endpoint"],
            f"{AUTHENTIK}{OAUTH}mac-fleet/end-session/",
        )

    def test_both_key_sets_are_published(self) -> None:
        """Ours come first, Authentik's as they are; ours alone while it is down."""
        daemon = InMemoryDaemon(self)
        daemon.agent.failure = ConnectionRefusedError()
        [ours] = daemon.get(JWKS).json["keys"]
        self.assertEqual((ours["alg"], "d" in ours), ("ES256", False))
        daemon.agent.failure = None
        self.assertEqual(daemon.get(JWKS).json["keys"], [ours, dict(signing_key(0).public)])
        for broken in (b'{"keys":"none"}', b'{"keys":[5]}', b"{}", b"[]", 404):
            daemon.clock.advance(STALE_SECONDS)
            daemon.authentik.overrides[KEYS] = broken
            self.assertEqual(daemon.get(JWKS).json["keys"], [ours], broken)

    def test_both_documents_are_kept(self) -> None:
        """Authentik is asked every five minutes, and may be down for a day."""
        daemon = InMemoryDaemon(self)
        before = [daemon.get(path).body for path in (DISCOVERY, JWKS) for _ in range(3)]
        self.assertEqual([daemon.authentik.count("GET", path) for path in (THEIRS, KEYS)], [1, 1])
        daemon.clock.advance(FRESH_SECONDS)
        daemon.agent.failure = ConnectionRefusedError()
        after = [daemon.get(path).body for path in (DISCOVERY, JWKS) for _ in range(3)]
        self.assertEqual(before, after)
        daemon.agent.failure = None
        daemon.clock.advance(RETRY_SECONDS)
        daemon.get(DISCOVERY)
        daemon.get(JWKS)
        self.assertEqual([daemon.authentik.count("GET", path) for path in (THEIRS, KEYS)], [2, 2])
        daemon.clock.advance(STALE_SECONDS)
        daemon.agent.failure = ConnectionRefusedError()
        reply = daemon.get(DISCOVERY)
        self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))

    def test_an_authentik_that_hangs_is_waited_for_in_bounds(self) -> None:
        """After the deadline there is an old copy, or an error."""
        for has_copy, status in ((True, 200), (False, 503)):
            daemon = InMemoryDaemon(self, ROPG_DEADLINE="5")
            if has_copy:
                daemon.get(DISCOVERY)
            daemon.clock.advance(FRESH_SECONDS)
            daemon.agent.silent = True
            peer = daemon.connect()
            peer.send(f"GET {DISCOVERY} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.assertEqual(peer.replies, [])
            daemon.clock.advance(5)
            self.assertEqual([reply.status for reply in peer.replies], [status])

    def test_readiness_says_that_authentik_hangs(self) -> None:
        """A look has the time of a check, and then its reason is told."""
        daemon = InMemoryDaemon(self, ROPG_DEADLINE="5")
        daemon.agent.silent = True
        peer = daemon.connect()
        peer.send(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(peer.replies, [])
        daemon.clock.advance(5)
        [reply] = peer.replies
        self.assertEqual(
            (reply.status, reply.json),
            (503, {"status": "unavailable", "reason": "upstream_timeout"}),
        )


KEPT, NOT_KEPT = (200, "public, max-age=300"), (200, "no-store")


class AbortingDiscoveryTests(SynchronousTestCase):
    """Discovery for clients that take nothing but a broken connection for an outage."""

    CLIENTS = """
        [[clients]]
        id = "jamf-connect"
        [[clients]]
        id = "xcreds"
        profile = "xcreds"
        """

    def ask(self, daemon: InMemoryDaemon, query: str) -> Any:
        """The status of the discovery document, ``None`` if the connection is cut."""
        reply = daemon.send(f"GET {DISCOVERY}{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return None if reply is None else (reply.status, reply.headers["cache-control"])

    @parametrize(
        {
            "503 for all": ("503", "", KEPT, KEPT),
            "503, a client that wants it cut": ("503", "?client_id=xcreds", NOT_KEPT, None),
            "503, a client that does not": ("503", "?client_id=jamf-connect", KEPT, KEPT),
            "503, an unknown client": ("503", "?client_id=nobody", KEPT, KEPT),
            "503, no UTF-8": ("503", "?client_id=%FF", KEPT, KEPT),
            "503, an empty client": ("503", "?client_id=", KEPT, KEPT),
            "abort for all": ("abort", "", NOT_KEPT, None),
            "abort, a client that wants it cut": ("abort", "?client_id=xcreds", NOT_KEPT, None),
            "abort, a client that does not": ("abort", "?client_id=jamf-connect", NOT_KEPT, None),
            "abort, an unknown client": ("abort", "?client_id=nobody", NOT_KEPT, None),
        }
    )
    def test_discovery_while_authentik_is_down(
        self, outage: str, query: str, up: Any, down: Any
    ) -> None:
        """Discovery fails for all, or for the client that names itself; others get the old copy."""
        daemon = InMemoryDaemon(self, self.CLIENTS, ROPG_OUTAGE=outage)
        self.assertEqual(self.ask(daemon, query), up)
        daemon.agent.failure = ConnectionRefusedError()
        self.assertEqual(self.ask(daemon, query), down)
        daemon.agent.failure = None
        self.assertEqual(self.ask(daemon, query), up)

    def test_an_authentik_without_its_flow_is_down(self) -> None:
        """The document is there, but no password could be checked."""
        daemon = InMemoryDaemon(self, self.CLIENTS, FLOW_SLUG="no-such-flow")
        self.assertEqual(self.ask(daemon, ""), (200, "public, max-age=300"))
        self.assertIsNone(self.ask(daemon, "?client_id=xcreds"))

    def test_a_client_may_say_otherwise_than_all(self) -> None:
        """A client whose table says 503 gets a 503, although other clients are cut off."""
        clients = '[[clients]]\nid = "jamf-connect"\noutage = "503"\n'
        daemon = InMemoryDaemon(self, clients, ROPG_OUTAGE="abort")
        daemon.agent.failure = ConnectionRefusedError()
        reply = daemon.get(f"{DISCOVERY}?client_id=jamf-connect")
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "30"))
