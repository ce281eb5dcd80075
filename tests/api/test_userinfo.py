"""The userinfo endpoint: our own access tokens, and Authentik's."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.relay import MAX_USERINFO
from ropg_twisted.oauth.keys import KeyRing, shared_secret
from ropg_twisted.oauth.keystore import KeyStore
from ropg_twisted.sandbox.accounts import MAC_ADMINS, find
from tests import daemon as process
from tests.client import FORM, Connection, Reply, post
from tests.composition import AUTHENTIK, ISSUER
from tests.memory import OAUTH, InMemoryDaemon, signing_key

USERINFO = "/userinfo"
SECRET = "a secret that is shared by both ends"
ALICE = find("alice")
NO_TOKEN = 'Bearer realm="ropg"'
BAD_TOKEN = 'Bearer realm="ropg", error="invalid_token"'


def bearer(token: str) -> str:
    """The header of RFC 6750 section 2.1."""
    return f"Authorization: Bearer {token}\r\n"


def key_ring(daemon: InMemoryDaemon) -> KeyRing:
    """The keys of a daemon, as it reads them itself."""
    return KeyStore(daemon.state_dir, "ES256", time.time).ring()


class OurTokensTests(SynchronousTestCase):
    """Tokens that a password has brought."""

    def test_each_algorithm_by_header_and_by_form(self) -> None:
        """The claims of the token's scopes are what is answered, and nothing may keep them."""
        assert ALICE is not None
        expected = {
            "sub": ALICE.uid,
            "preferred_username": "alice",
            "name": "Alice Example",
            "given_name": "Alice Example",
            "email": "alice@example.com",
            "email_verified": False,
            "groups": [MAC_ADMINS.name],
        }
        for environ in (
            {"ROPG_SIGNING_ALG": "RS256"},
            {"ROPG_SIGNING_ALG": "ES256"},
            {"ROPG_SIGNING_ALG": "EdDSA"},
            {"JWT_SECRET": SECRET},
        ):
            daemon = InMemoryDaemon(self, **environ)
            token = daemon.password("alice").json["access_token"]
            daemon.authentik.requests.clear()
            for reply in (
                daemon.userinfo(token),
                daemon.get(USERINFO, f"authorization: bEARER   {token} \r\n"),
                daemon.post(USERINFO, {"access_token": token}),
                daemon.send(post("", bearer(token), USERINFO)),
            ):
                assert reply is not None
                self.assertEqual((reply.status, reply.json), (200, expected), environ)
                self.assertEqual(reply.headers["cache-control"], "no-store")
                self.assertEqual(reply.headers["content-type"], "application/json")
            self.assertEqual(daemon.authentik.requests, [])

    def test_the_scopes_decide(self) -> None:
        """Each brings its claims; ``sub`` is always there, and is that of the id token."""
        daemon = InMemoryDaemon(self)
        for scope, names in (
            ("openid", set()),
            ("profile", {"preferred_username", "name", "given_name", "groups"}),
            ("openid email", {"email", "email_verified"}),
            ("openid groups", {"groups"}),
        ):
            tokens = daemon.password("alice", scope=scope).json
            found = daemon.userinfo(tokens["access_token"]).json
            self.assertEqual(set(found), {"sub", *names}, scope)
            if "id_token" in tokens:
                self.assertEqual(daemon.verified(tokens["id_token"])["sub"], found["sub"])

    def test_tokens_of_an_older_key_are_good(self) -> None:
        """After a restart with another algorithm, what was signed before is still answered for."""
        daemon = InMemoryDaemon(self)
        token = daemon.password("alice").json["access_token"]
        again = InMemoryDaemon(self, ROPG_SIGNING_ALG="EdDSA", ROPG_STATE_DIR=str(daemon.state_dir))
        self.assertEqual(again.userinfo(token).status, 200)

    def refused(
        self, reply: Reply | None, status: int, error: str, challenge: str | None, row: object
    ) -> None:
        """Assert that an answer is this refusal."""
        assert reply is not None
        self.assertEqual((reply.status, reply.json["error"]), (status, error), row)
        self.assertEqual(reply.headers.get("www-authenticate"), challenge, row)
        self.assertEqual(reply.headers["cache-control"], "no-store", row)

    def test_tokens_that_are_not_good(self) -> None:
        """401 and a challenge that says so (RFC 6750 section 3)."""
        for environ in ({}, {"JWT_SECRET": SECRET}):
            daemon = InMemoryDaemon(self, **environ)
            key = (shared_secret(SECRET) if environ else key_ring(daemon)).signing
            tokens = daemon.password("alice").json
            now = int(time.time())
            good = {"iss": ISSUER, "sub": "x", "exp": now + 60}

            kid = {} if key.kid is None else {"kid": key.kid}

            def signed(
                claims: Mapping[str, Any],
                headers: Mapping[str, str] = {"typ": "at+jwt", **kid},
                key: Any = key,
            ) -> str:
                return jwt.encode(dict(claims), key.private, key.algorithm, dict(headers))

            self.assertEqual(daemon.userinfo(signed(good)).json, {"sub": "x"})
            changed = signed(good)
            for name, token in (
                ("expired", signed({**good, "exp": now - 60})),
                ("no expiry", signed({"iss": ISSUER, "sub": "x"})),
                ("another issuer", signed({**good, "iss": ISSUER + "/"})),
                ("no subject", signed({"iss": ISSUER, "exp": now + 60})),
                ("not yet", signed({**good, "nbf": now + 600})),
                ("the id token", tokens["id_token"]),
                ("typed as an id token", signed(good, {"typ": "JWT", **kid})),
                ("an unknown key", signed(good, {"typ": "at+jwt", "kid": "nobody"})),
                ("no signature", jwt.encode(good, "", "none", {"typ": "at+jwt", **kid})),
                (
                    "a changed one",
                    changed[:-9] + ("A" if changed[-9] != "A" else "B") + changed[-8:],
                ),
                ("another secret", jwt.encode(good, "x" * 32, "HS256", {"typ": "at+jwt"})),
                ("garbage", "garbage"),
                ("almost a token", "a.b.c"),
                ("a letter of another script", "žeton"),
            ):
                row = (name, environ)
                self.refused(daemon.userinfo(token), 401, "invalid_token", BAD_TOKEN, row)

    def test_requests_that_bring_none_or_two(self) -> None:
        """Without a token the challenge names no error; two are one too many."""
        daemon = InMemoryDaemon(self)
        token = daemon.password("alice").json["access_token"]
        daemon.authentik.requests.clear()
        form = urlencode({"access_token": token})
        header = "Content-Type: application/x-www-form-urlencoded\r\n"
        get = f"GET {USERINFO}%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
        for request, status, error, challenge in (
            (get % ("", ""), 401, "invalid_token", NO_TOKEN),
            (get % ("", "Authorization: Bearer\r\n"), 401, "invalid_token", NO_TOKEN),
            (get % ("", "Authorization: Basic YTpi\r\n"), 401, "invalid_token", NO_TOKEN),
            (get % ("", f"Authorization: {token}\r\n"), 401, "invalid_token", NO_TOKEN),
            (get % (f"?{form}", ""), 401, "invalid_token", NO_TOKEN),
            (post("", header, USERINFO), 401, "invalid_token", NO_TOKEN),
            (post(form, header + bearer(token), USERINFO), 400, "invalid_request", None),
            (post(f"{form}&{form}", header, USERINFO), 400, "invalid_request", None),
            (post(form, "", USERINFO), 400, "invalid_request", None),
            (
                post("{}", "Content-Type: application/json\r\n", USERINFO),
                400,
                "invalid_request",
                None,
            ),
        ):
            data = request.encode() if isinstance(request, str) else request
            self.refused(daemon.send(data), status, error, challenge, request)
        self.assertEqual(daemon.authentik.requests, [])


class AuthentiksTokensTests(SynchronousTestCase):
    """Tokens that a web login has brought."""

    def test_they_are_asked_about_at_authentik(self) -> None:
        """Its claims come back as they are; a token that has died is not valid."""
        daemon = InMemoryDaemon(self)
        tokens = daemon.redeem(daemon.code(scope="openid email")).json
        for reply in (
            daemon.userinfo(tokens["access_token"]),
            daemon.post(USERINFO, {"access_token": tokens["access_token"]}),
        ):
            self.assertEqual(reply.status, 200)
            self.assertEqual(
                reply.json,
                {
                    "sub": daemon.verified(tokens["id_token"])["sub"],
                    "email": "alice@example.com",
                    "email_verified": False,
                    "nonce": "a nonce",
                },
            )
        [row] = daemon.sandbox.sessions.authenticated
        daemon.sandbox.sessions.end(row)
        reply = daemon.userinfo(tokens["access_token"])
        self.assertEqual((reply.status, reply.headers["www-authenticate"]), (401, BAD_TOKEN))

    def test_forged_ones_are_not_believed(self) -> None:
        """Authentik alone says that a token of its issuer is valid."""
        daemon = InMemoryDaemon(self)
        claims = {"iss": f"{AUTHENTIK}{OAUTH}jamf-connect/", "sub": "x", "exp": time.time() + 60}
        for number in (0, 1):
            reply = daemon.userinfo(signing_key(number).sign(claims))
            self.assertEqual((reply.status, reply.headers["www-authenticate"]), (401, BAD_TOKEN))

    def test_an_outage_says_nothing_about_the_token(self) -> None:
        """A token that cannot be asked about is answered with *later*; our own are answered."""
        daemon = InMemoryDaemon(self)
        ours = daemon.password("alice").json["access_token"]
        theirs = daemon.redeem(daemon.code()).json["access_token"]
        path = f"{OAUTH}userinfo/"
        for fault in (500, 404, b"[]", "cut"):
            if fault == "cut":
                daemon.agent.failure = ConnectionRefusedError()
            else:
                daemon.authentik.overrides[path] = fault  # type: ignore[assignment]
            asked = daemon.authentik.count("GET", path)
            reply = daemon.userinfo(theirs)
            self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))
            self.assertEqual(reply.headers["retry-after"], "30")
            self.assertEqual(daemon.authentik.count("GET", path) - asked, fault != "cut")
            self.assertEqual(daemon.userinfo(ours).status, 200, fault)

    def test_what_can_be_no_token_is_not_valid(self) -> None:
        """Unusual characters are no outage, and add no header at Authentik."""
        daemon = InMemoryDaemon(self)
        for token in (
            "a b",
            "a\tb",
            "a, b",
            "ž",
            "x" * 10_000,
            "a\r\nX: y",
            "a\nX: y",
            "\0",
            "a\0b",
        ):
            reply = daemon.post(USERINFO, {"access_token": token})
            self.assertEqual(reply.status, 401, ascii(token[:20]))
        self.assertEqual(self.flushLoggedErrors(), [])


class DoorTests(SynchronousTestCase):
    """Access to the endpoint, and the load that reaches Authentik."""

    def test_networks_that_may_not_ask(self) -> None:
        """They are refused as at the token endpoint, whatever token they have."""
        daemon = InMemoryDaemon(self)
        ours = daemon.password("alice").json["access_token"]
        theirs = daemon.redeem(daemon.code()).json["access_token"]
        folder = str(daemon.state_dir)
        networks = {"ROPG_ALLOWED_NETWORKS": "203.0.113.0/24", "ROPG_STATE_DIR": folder}
        closed = InMemoryDaemon(self, **networks)
        for token in (ours, theirs, "unknown"):
            for reply in (closed.userinfo(token), closed.post(USERINFO, {"access_token": token})):
                self.assertEqual((reply.status, reply.json["error"]), (403, "access_denied"))
        self.assertEqual(closed.authentik.requests, [])
        behind = InMemoryDaemon(self, ROPG_TRUSTED_PROXIES="192.0.2.7", **networks)
        for client, status in (("203.0.113.9", 200), ("198.51.100.9", 403)):
            header = f"X-Forwarded-For: {client}\r\n"
            self.assertEqual(behind.get(USERINFO, bearer(ours) + header).status, status, client)

    def test_a_header_that_comes_twice(self) -> None:
        """Two tokens are one too many here as well, and so are two types of a form."""
        daemon = InMemoryDaemon(self)
        token = daemon.password("alice").json["access_token"]
        form = urlencode({"access_token": token})
        for reply in (
            daemon.get(USERINFO, bearer(token) * 2),
            daemon.get(USERINFO, bearer("another") + bearer(token)),
            daemon.send(post(form, FORM * 2, USERINFO)),
        ):
            assert reply is not None
            self.assertEqual((reply.status, reply.json["error"]), (400, "invalid_request"))

    def waiting(self, daemon: InMemoryDaemon, number: int) -> list[Connection]:
        """Clients that ask about unknown tokens, each about one of its own."""
        peers = [daemon.connect() for _ in range(number)]
        for count, peer in enumerate(peers):
            peer.send(f"GET {USERINFO} HTTP/1.1\r\nHost: x\r\n{bearer(str(count))}\r\n".encode())
        return peers

    def test_so_many_at_a_time_and_no_more(self) -> None:
        """The others are told at once to come later; a place is free again however one ends."""
        daemon = InMemoryDaemon(self, ROPG_DEADLINE="5")
        ours = daemon.password("alice").json["access_token"]
        daemon.agent.silent = True
        peers = self.waiting(daemon, MAX_USERINFO)
        self.assertEqual([peer.replies for peer in peers], [[]] * MAX_USERINFO)
        for _ in range(3):
            reply = daemon.userinfo("another")
            self.assertEqual((reply.status, reply.json["error"]), (503, "temporarily_unavailable"))
        self.assertEqual(daemon.userinfo(ours).status, 200)
        peers[0].protocol.connectionLost(Failure(ConnectionLost()))
        [last] = self.waiting(daemon, 1)
        self.assertEqual(last.replies, [])
        self.assertEqual(daemon.userinfo("another").status, 503)
        daemon.clock.advance(5)
        self.assertEqual(
            [peer.replies[0].status for peer in (*peers[1:], last)], [503] * MAX_USERINFO
        )
        daemon.agent.silent = False
        for _ in range(2 * MAX_USERINFO):
            self.assertEqual(daemon.userinfo("another").status, 401)
        self.assertEqual(self.flushLoggedErrors(), [])


class FloodTests(SynchronousTestCase):
    """The daemon as a process, an Authentik that never answers, and somebody with many tokens."""

    def test_a_flood_does_not_reach_authentik(self) -> None:
        """No more than a few of it do, and a relayed login is let through beside them."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        received: list[bytes] = []
        with ExitStack() as stack:
            authentik = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=99))

            def listen() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = authentik.accept()
                        stack.callback(connection.close)
                        received.append(connection.recv(99).split()[1])

            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            url = f"http://127.0.0.1:{authentik.getsockname()[1]}"
            daemon = stack.enter_context(process.DaemonProcess(folder, AUTHENTIK_URL=url))

            def ask(request: bytes) -> socket.socket:
                where = ("127.0.0.1", daemon.port)
                asked = stack.enter_context(socket.create_connection(where, process.PATIENCE))
                asked.sendall(request)
                return asked

            number = 5 * MAX_USERINFO
            asked = []
            for count in range(number):
                head = f"GET {USERINFO} HTTP/1.1\r\nHost: x\r\n{bearer(f'unknown{count}')}\r\n"
                asked.append(ask(head.encode()))
            answered: set[socket.socket] = set()
            while len(answered) < number - MAX_USERINFO:
                ready = select.select(set(asked) - answered, [], [], process.PATIENCE)[0]
                self.assertTrue(ready, "nobody is answered any more")
                answered.update(ready)
            for answer in answered:
                self.assertTrue(answer.recv(99).startswith(b"HTTP/1.1 503 "))
            form = {"grant_type": "refresh_token", "client_id": "jamf-connect"}
            ask(post(urlencode(form)))
            process.wait_until(lambda: f"{OAUTH}token/".encode() in received, "a login is relayed")
            self.assertEqual(received.count(f"{OAUTH}userinfo/".encode()), MAX_USERINFO)
            authentik.shutdown(socket.SHUT_RDWR)
            listener.join(process.PATIENCE)
