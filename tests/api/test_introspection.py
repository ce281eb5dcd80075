"""The introspection endpoint: what a client learns about a token, and what nobody learns."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import jwt
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.relay import MAX_INTROSPECTIONS
from ropg_twisted.oauth.keystore import KeyStore
from ropg_twisted.sandbox.accounts import MAC_ADMINS, find
from ropg_twisted.sandbox.oauth2.applications import CONFIDENTIAL_SECRET
from tests.client import FORM, Connection, Reply, post
from tests.composition import ISSUER
from tests.memory import OAUTH, InMemoryDaemon
from tests.parametrize import parametrize
from tests.scrape import Scrape

INTROSPECT = "/introspect"
AUTHENTIKS = f"{OAUTH}introspect/"
MAIL = ("jamf-connect-confidential", CONFIDENTIAL_SECRET)
"""A client with a secret, which Authentik knows as well."""
OTHER = ("other", "the secret of the other")
CLIENTS = f"""
[[clients]]
id = "{MAIL[0]}"
profile = "dovecot"
secret = "{MAIL[1]}"

[[clients]]
id = "{OTHER[0]}"
secret = "{OTHER[1]}"

[[clients]]
id = "jamf-connect"
"""


def basic(client_id: str, secret: str) -> str:
    """The header of RFC 7617."""
    return f"Authorization: Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}\r\n"


class IntrospectionTestCase(SynchronousTestCase):
    """A daemon with confidential clients and a public one."""

    def setUp(self) -> None:
        self.daemon = InMemoryDaemon(self, CLIENTS, ROPG_APP_SLUG="jamf-connect-confidential")

    def introspect(self, token: str, client: tuple[str, str] = MAIL, **more: str) -> Reply:
        """The answer to a client about a token."""
        client_id, secret = client
        form = {"token": token, "client_id": client_id, "client_secret": secret, **more}
        return self.daemon.post(INTROSPECT, form)

    def own_token(self, client: tuple[str, str] = MAIL, **more: str) -> str:
        """The access token that a password of Alice brings."""
        client_id, secret = client
        form = {"client_id": client_id, "client_secret": secret, **more}
        token: str = self.daemon.password("alice", **form).json["access_token"]
        self.daemon.authentik.requests.clear()
        return token

    def authentiks_tokens(self) -> Any:
        """Tokens that a login in a browser brings."""
        code = self.daemon.code(client_id=MAIL[0])
        tokens = self.daemon.redeem(code, client_id=MAIL[0], client_secret=MAIL[1]).json
        self.daemon.authentik.requests.clear()
        return tokens

    def assert_inactive(self, reply: Reply, row: object = None) -> None:
        """Assert that an answer says nothing but that."""
        self.assertEqual((reply.status, reply.body), (200, b'{"active":false}'), row)


class OwnTokensTests(IntrospectionTestCase):
    """The daemon's own access tokens."""

    def test_an_active_token(self) -> None:
        """All claims of the token are told, and Authentik is not asked."""
        alice = find("alice")
        assert alice is not None
        token = self.own_token()
        reply = self.introspect(token)
        self.assertEqual((reply.status, reply.headers["cache-control"]), (200, "no-store"))
        found = reply.json
        self.assertEqual(found["exp"] - found["iat"], 3600)
        for name in ("iat", "exp", "auth_time", "jti"):
            del found[name]
        self.assertEqual(
            found,
            {
                "active": True,
                "token_type": "Bearer",
                "client_id": MAIL[0],
                "scope": "openid profile email",
                "username": "alice",
                "sub": alice.uid,
                "iss": ISSUER,
                "aud": MAIL[0],
                "azp": MAIL[0],
                "amr": ["pwd"],
                "preferred_username": "alice",
                "name": "Alice Example",
                "given_name": "Alice Example",
                "email": "alice@example.com",
                "email_verified": False,
                "groups": [MAC_ADMINS.name],
            },
        )
        self.assertEqual(self.daemon.authentik.requests, [])
        self.assertEqual(self.daemon.logged("result"), ["active"])

    def test_ways_to_ask(self) -> None:
        """The secret comes in the form or by HTTP Basic; a hint at the type changes nothing."""
        token = self.own_token()
        first = self.introspect(token).body
        for hint in ("access_token", "refresh_token", "x"):
            self.assertEqual(self.introspect(token, token_type_hint=hint).body, first)
        reply = self.daemon.post(INTROSPECT, {"token": token}, basic(*MAIL))
        self.assertEqual(reply.body, first)

    def test_a_token_without_the_name_of_the_user(self) -> None:
        """The scope decides here too."""
        token = self.own_token(OTHER, scope="openid")
        found = self.introspect(token, OTHER).json
        self.assertTrue(found["active"])
        self.assertNotIn("username", found)

    def test_a_dovecot_that_asks_for_one_scope(self) -> None:
        """Its profile adds the names that it compares with the one that was typed."""
        found = self.introspect(self.own_token(scope="openid")).json
        self.assertEqual((found["username"], found["email"]), ("alice", "alice@example.com"))

    def test_an_alias_never_makes_a_token_active(self) -> None:
        """Members of the answer are not replaced by claims of the token, but its username is."""
        table = 'aliases = "active=email, token_type=email, username=email"\n'
        daemon = InMemoryDaemon(self, f'[[clients]]\nid = "m"\nsecret = "s"\n{table}')
        form = {"client_id": "m", "client_secret": "s"}
        token = daemon.password("alice", **form).json["access_token"]
        found = daemon.post(INTROSPECT, {"token": token, **form}).json
        self.assertEqual(
            (found["active"], found["token_type"], found["username"]),
            (True, "Bearer", "alice@example.com"),
        )

    def test_tokens_that_are_not_active(self) -> None:
        """A short answer for all, and Authentik is not asked about tokens of ours."""
        key = KeyStore(self.daemon.state_dir, "ES256", time.time).ring().signing
        now = int(time.time())
        good = {"iss": ISSUER, "sub": "x", "aud": MAIL[0], "exp": now + 60}
        kid = {"kid": str(key.kid)}

        def signed(typ: str = "at+jwt", headers: dict[str, str] = kid, **changes: object) -> str:
            claims = {name: value for name, value in (good | changes).items() if value is not None}
            return jwt.encode(claims, key.private, key.algorithm, {"typ": typ, **headers})

        others = self.own_token(OTHER)
        self.assertTrue(self.introspect(signed()).json["active"])
        changed = signed()
        rows = {
            "expired": signed(exp=now - 60),
            "no expiry": signed(exp=None),
            "another issuer": signed(iss=f"{ISSUER}/"),
            "another client's": signed(aud=OTHER[0]),
            "of two clients": signed(aud=[MAIL[0], OTHER[0]]),
            "nobody's": signed(aud=None),
            "an unknown key": signed(headers={"kid": "nobody"}),
            "no signature": jwt.encode(good, "", "none", {"typ": "at+jwt", **kid}),
            "a changed one": changed[:-9] + ("A" if changed[-9] != "A" else "B") + changed[-8:],
            "issued to another client": others,
            "not ASCII": f"{changed}é",
            "a control character": f"{changed}\0",
        }
        for name, token in rows.items():
            self.assert_inactive(self.introspect(token), name)
        self.assertEqual(self.daemon.authentik.requests, [])
        self.assertEqual(set(self.daemon.logged("result")[1:]), {"inactive"})


class AuthentiksTokensTests(IntrospectionTestCase):
    """Tokens that the daemon did not issue."""

    def test_they_are_asked_about_at_authentik(self) -> None:
        """With the credentials of the client, in the form; the answer comes back as it is."""
        tokens = self.authentiks_tokens()
        for name in ("access_token", "refresh_token"):
            for reply in (
                self.introspect(tokens[name]),
                self.daemon.post(INTROSPECT, {"token": tokens[name]}, basic(*MAIL)),
            ):
                self.assertEqual(reply.status, 200)
                found = reply.json
                self.assertEqual((found["active"], found["client_id"]), (True, MAIL[0]))
                self.assertEqual(found["preferred_username"], "alice")
        for received in self.daemon.authentik.requests:
            self.assertEqual((received.method, received.path), ("POST", AUTHENTIKS))
            self.assertEqual(set(received.form), {"token", "client_id", "client_secret"})
            self.assertIsNone(received.authorization)
        self.assertEqual(set(self.daemon.logged("result")), {"tokens", "active"})

    def test_inactive_ones(self) -> None:
        """A token that has ended, another client's and one that never was are all alike."""
        tokens = self.authentiks_tokens()
        self.assert_inactive(self.introspect(tokens["access_token"], OTHER), "another client")
        for token in ("garbage", "a.b.c", tokens["id_token"]):
            self.assert_inactive(self.introspect(token), token)
        [row] = self.daemon.sandbox.sessions.authenticated
        self.daemon.sandbox.sessions.end(row)
        self.assert_inactive(self.introspect(tokens["access_token"]), "ended")

    def test_an_inactive_answer_says_nothing_else(self) -> None:
        """Even if Authentik's does."""
        self.daemon.authentik.overrides[AUTHENTIKS] = b'{"active": false, "sub": "x"}'
        self.assert_inactive(self.introspect("unknown"))

    @parametrize(
        {
            "no JSON": (b"<html>", "upstream_body"),
            "a list": (b"[]", "upstream_body"),
            "no member active": (b"{}", "upstream_body"),
            "a number": (b'{"active": 1}', "upstream_body"),
            "a word": (b'{"active": "true"}', "upstream_body"),
            "unauthorized": (401, "upstream_status"),
            "an error": (500, "upstream_status"),
            "a redirect": (302, "upstream_status"),
        }
    )
    def test_an_answer_that_is_none(self, answer: bytes | int, reason: str) -> None:
        """Nothing is known about the token then, so it is not called inactive."""
        self.daemon.authentik.overrides[AUTHENTIKS] = answer
        reply = self.introspect("unknown")
        self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))
        self.assertEqual(self.daemon.logged("result"), [reason])

    def test_an_outage(self) -> None:
        """503, or a dropped connection for a client that wants it; own tokens need nobody."""
        daemon = InMemoryDaemon(
            self,
            '[[clients]]\nid = "m"\nsecret = "s"\n'
            '[[clients]]\nid = "n"\nsecret = "s"\noutage = "abort"\n',
        )
        form = {"client_secret": "s"}
        own = daemon.password("alice", client_id="m", **form).json["access_token"]
        daemon.agent.failure = ConnectionRefusedError()
        ask = urlencode({"token": "unknown", "client_id": "m", **form})
        reply = daemon.send(post(ask, target=INTROSPECT))
        assert reply is not None
        self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))
        self.assertIsNone(daemon.send(post(ask.replace("=m", "=n"), target=INTROSPECT)))
        self.assertEqual(daemon.logged("result"), ["upstream_connection"] * 2)
        found = daemon.post(INTROSPECT, {"token": own, "client_id": "m", **form}).json
        self.assertTrue(found["active"])

    def test_so_many_at_a_time_and_no_more(self) -> None:
        """The others are told at once to come later; slots are free again after the deadline."""
        daemon = InMemoryDaemon(self, '[[clients]]\nid = "m"\nsecret = "s"\n', ROPG_DEADLINE="5")
        daemon.agent.silent = True
        form = urlencode({"token": "unknown", "client_id": "m", "client_secret": "s"})
        request = post(form, target=INTROSPECT)
        peers = [daemon.connect().send(request) for _ in range(MAX_INTROSPECTIONS)]
        self.assertEqual([peer.replies for peer in peers], [[]] * MAX_INTROSPECTIONS)
        reply = daemon.send(request)
        assert reply is not None
        self.assertEqual(reply.status, 503)
        self.assertEqual(daemon.logged("result"), ["overloaded"])
        daemon.clock.advance(5)
        self.assertEqual({peer.replies[0].status for peer in peers}, {503})
        daemon.agent.silent = False
        reply = daemon.send(request)
        assert reply is not None
        self.assertEqual(reply.body, b'{"active":false}')


class RefusalTests(IntrospectionTestCase):
    """Requests that are not answered."""

    def refused(self, reply: Reply | None, status: int, error: str, row: object = None) -> None:
        """Assert that an answer is this refusal, and that a line of the log tells it."""
        assert reply is not None
        self.assertEqual((reply.status, reply.json["error"]), (status, error), row)
        self.assertEqual(self.daemon.logged("error")[-1], error, row)

    @parametrize(
        {
            "public": ("jamf-connect", None),
            "public with a secret": ("jamf-connect", "anything"),
            "unknown": ("nobody", "anything"),
            "a wrong secret": (MAIL[0], "wrong"),
            "no secret": (MAIL[0], None),
        }
    )
    def test_client(self, client_id: str, secret: str | None) -> None:
        """A client must authenticate; all failures look the same, whatever the token is."""
        form = {"client_id": client_id, **({} if secret is None else {"client_secret": secret})}
        bodies = set()
        for token in (self.own_token(), self.own_token(("jamf-connect", "")), "unknown"):
            reply = self.daemon.post(INTROSPECT, {"token": token, **form})
            self.refused(reply, 401, "invalid_client")
            self.assertNotIn("www-authenticate", reply.headers)
            bodies.add(reply.body)
            reply = self.daemon.post(INTROSPECT, {"token": token}, basic(client_id, secret or ""))
            self.refused(reply, 401, "invalid_client")
            challenge = reply.headers["www-authenticate"]
            self.assertEqual(challenge, 'Basic realm="ropg", charset="UTF-8"')
            bodies.add(reply.body)
        self.assertEqual(len(bodies), 1)
        self.assertEqual(self.daemon.authentik.requests, [])

    def test_a_public_client_that_sends_no_colon(self) -> None:
        """It has no secret, so it is refused as well."""
        header = f"Authorization: Basic {b64encode(b'jamf-connect').decode()}\r\n"
        reply = self.daemon.post(INTROSPECT, {"token": "unknown"}, header)
        self.refused(reply, 401, "invalid_client")

    def test_malformed_requests(self) -> None:
        """A token is required, once, in a form; the URL has none."""
        form = urlencode({"token": "x", "client_id": MAIL[0], "client_secret": MAIL[1]})
        for request in (
            post(form.replace("token=x&", ""), target=INTROSPECT),
            post(form.replace("token=x", "token="), target=INTROSPECT),
            post(f"{form}&token=y", target=INTROSPECT),
            post(form, "", INTROSPECT),
            post(form, "Content-Type: application/json\r\n", INTROSPECT),
            post(form, FORM, f"{INTROSPECT}?token=x"),
            post("token=x", FORM + "Authorization: Bearer x\r\n", INTROSPECT),
            post(form, FORM + basic(*MAIL), INTROSPECT),
        ):
            self.refused(self.daemon.send(request), 400, "invalid_request", request)
        self.assertEqual(self.daemon.authentik.requests, [])

    def test_only_forms_are_posted(self) -> None:
        """A GET would have the token in its URL, where logs keep it."""
        reply = self.daemon.get(f"{INTROSPECT}?token=x")
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "POST"))

    def test_a_network_that_is_not_allowed(self) -> None:
        """As at the other endpoints."""
        self.daemon = InMemoryDaemon(self, CLIENTS, ROPG_ALLOWED_NETWORKS="203.0.113.0/24")
        self.refused(self.introspect("unknown"), 403, "access_denied")


class TelemetryTests(IntrospectionTestCase):
    """Log lines and metrics about it."""

    def test_the_line_of_an_introspection(self) -> None:
        """Client, address and result; never the token, nor who it is about."""
        token = self.own_token()
        self.daemon.events.clear()
        self.introspect(token)
        [line] = self.daemon.events
        found = {name: line[name] for name in ("event", "client", "address", "result")}
        expected = {
            "event": "introspection",
            "client": MAIL[0],
            "address": "192.0.2.7",
            "result": "active",
        }
        self.assertEqual(found, expected)
        shown = repr({name: line[name] for name in line if name != "log_logger"})
        for secret in (token, MAIL[1], "alice"):
            self.assertNotIn(secret, shown)

    def test_the_counts(self) -> None:
        """Prometheus sees results and refusals; no token makes a series of its own."""
        form = {"client_id": "m", "client_secret": "s"}
        daemon = InMemoryDaemon(
            self, '[[clients]]\nid = "m"\nsecret = "s"\n', ROPG_ADMIN_LISTEN="tcp:8582"
        )
        token = daemon.password("alice", **form).json["access_token"]
        for asked in (token, "a", "b", "'} 1\n"):
            daemon.post(INTROSPECT, {"token": asked, **form})
        daemon.authentik.overrides[AUTHENTIKS] = 500
        daemon.post(INTROSPECT, {"token": "a", **form})
        daemon.post(INTROSPECT, {"token": "a", "client_id": "m"})
        admin: Any = daemon.clock.tcpServers[1][1]
        wire = Connection(admin).send(b"GET /metrics HTTP/1.0\r\n\r\n")
        scrape = Scrape.of(wire.transport.value().partition(b"\r\n\r\n")[2].decode())
        self.assertEqual(
            scrape.values("ropg_introspections_total", "result"),
            {"active": 1, "inactive": 3, "upstream_status": 1},
        )
        self.assertEqual(scrape.values("ropg_refused_total", "error"), {"invalid_client": 1})
        self.assertEqual(
            scrape.value("ropg_upstream_requests_total", kind="introspection", status="2xx"), 2
        )


class DiscoveryTests(SynchronousTestCase):
    """Discovery names the endpoint where it works."""

    @parametrize(
        {
            "a secret": ('secret = "s"', True),
            "a hash": (f'secret_sha256 = "{"ab" * 32}"', True),
            "no secret": ("", False),
        }
    )
    def test_discovery(self, line: str, works: bool) -> None:
        """Without a client that has a secret it works for nobody; Authentik's is not named."""
        for app in ({"ROPG_APP_SLUG": "jamf-connect"}, {}):
            daemon = InMemoryDaemon(self, f'[[clients]]\nid = "m"\n{line}\n', **app)
            document = daemon.get("/.well-known/openid-configuration").json
            expected = f"{ISSUER}{INTROSPECT}" if works else None
            self.assertEqual(document.get("introspection_endpoint"), expected)
            methods = document.get("introspection_endpoint_auth_methods_supported")
            secret_methods = ["client_secret_post", "client_secret_basic"]
            self.assertEqual(methods, secret_methods if works else None)
