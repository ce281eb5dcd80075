"""Authorization codes and refresh tokens, handed on to Authentik and back."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256, sha512
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from ropg_twisted.authentik.metadata import REFETCH_SECONDS
from ropg_twisted.authentik.relay import MAX_TOKENS
from ropg_twisted.sandbox.oauth2.applications import CONFIDENTIAL_SECRET
from ropg_twisted.sandbox.oauth2.endpoints import DESCRIPTIONS
from tests.client import Reply, post
from tests.composition import AUTHENTIK, ISSUER
from tests.memory import JWKS, OAUTH, TOKEN, InMemoryDaemon, claims, signing_key
from tests.parametrize import parametrize

FOREIGN = f"{AUTHENTIK}{OAUTH}jamf-connect/"
KEYS = f"{OAUTH}jamf-connect/jwks/"
LATER = (503, "temporarily_unavailable")
BASIC = (
    "Authorization: Basic "
    + b64encode(f"jamf-connect-confidential:{CONFIDENTIAL_SECRET}".encode()).decode()
)


def foreign(**changes: Any) -> dict[str, Any]:
    """The claims of an id token of Authentik's; a change to None leaves one out."""
    now = int(time.time())
    usual = {
        "iss": FOREIGN,
        "sub": "5ub",
        "aud": "jamf-connect",
        "exp": now + 3600,
        "iat": now,
        "auth_time": now - 5,
        "nonce": "a nonce",
        "acr": "goauthentik.io/providers/oauth2/default",
        "preferred_username": "alice",
        "of the operator": {"own": ["mapping"]},
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}


def with_public_key(claims: dict[str, Any], kid: str) -> str:
    """A token that is signed by HS256, with the published key for its secret."""
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    start = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    public = signing_key(0).private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{start}.{_base64url(hmac.digest(pem, start.encode(), 'sha256'))}"


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class RelayTestCase(SynchronousTestCase):
    """A daemon in memory."""

    def refused(self, reply: Reply) -> tuple[int, str]:
        """Status and code of an error."""
        return reply.status, reply.json["error"]

    def brings(self, daemon: InMemoryDaemon, id_token: str) -> Reply:
        """The answer to a code for which Authentik gives this id token."""
        tokens = {"access_token": "an access token", "token_type": "Bearer", "id_token": id_token}
        daemon.authentik.overrides[TOKEN] = json.dumps(tokens).encode()
        return daemon.redeem("a code")


class CodeTests(RelayTestCase):
    """Requests on their way to Authentik and back."""

    def test_a_web_login_and_its_refresh(self) -> None:
        """Code and refresh token bring Authentik's tokens, and id tokens under our issuer."""
        daemon = InMemoryDaemon(self)
        tokens = daemon.redeem(daemon.code()).json
        again = daemon.post(
            "/oauth/token",
            {
                "grant_type": "refresh_token",
                "client_id": "jamf-connect",
                "refresh_token": tokens["refresh_token"],
            },
        ).json
        for answer, nonce in ((tokens, {"nonce": "a nonce"}), (again, {})):
            self.assertEqual(
                {name: answer[name] for name in ("token_type", "expires_in", "scope")},
                {
                    "token_type": "Bearer",
                    "expires_in": 3600,
                    "scope": "openid profile email offline_access",
                },
            )
            theirs = claims(answer["access_token"])
            expected = {k: v for k, v in theirs.items() if k not in ("azp", "uid", "scope")}
            ours = daemon.verified(answer["id_token"])
            self.assertEqual(ours, {**expected, "iss": ISSUER})
            self.assertEqual({k: v for k, v in ours.items() if k == "nonce"}, nonce)
            self.assertEqual(daemon.userinfo(answer["access_token"]).json["sub"], ours["sub"])
        self.assertNotEqual(again["refresh_token"], tokens["refresh_token"])
        self.assertEqual(daemon.logged("result"), ["tokens", "tokens"])

    def test_only_known_parameters_go_on(self) -> None:
        """Parameters that Authentik reads are handed on as they came, and nothing else is."""
        known = {
            "grant_type": "authorization_code",
            "client_id": "jamf-connect",
            "client_secret": "a secret & more",
            "code": "a+code",
            "code_verifier": "~verifier",
            "redirect_uri": "https://127.0.0.1/jamfconnect?a=b",
            "refresh_token": "ä token",
            "scope": "openid  profile",
        }
        others = {"username": "alice", "password": "canary", "nonce": "n", "client_assertion": "x"}
        daemon = InMemoryDaemon(self)
        daemon.post("/oauth/token", {**others, **known, "scope ": "x"})
        [received] = [received for received in daemon.authentik.requests if received.path == TOKEN]
        self.assertEqual((received.form, received.query, received.authorization), (known, "", None))
        self.assertNotIn("canary", repr(daemon.events))

    def test_a_confidential_client_is_authenticated_by_authentik(self) -> None:
        """Its secret goes on in the body or in the header; a wrong one is Authentik's to refuse."""
        client_id = "jamf-connect-confidential"
        for headers, more, status in (
            (BASIC, {"client_id": ""}, 200),
            (BASIC, {"client_id": client_id}, 200),
            ("", {"client_id": client_id, "client_secret": CONFIDENTIAL_SECRET}, 200),
            ("", {"client_id": client_id, "client_secret": "wrong"}, 400),
            ("", {"client_id": client_id}, 400),
            (BASIC[:-4], {"client_id": ""}, 400),
        ):
            daemon = InMemoryDaemon(
                self, CLIENT_ID=client_id, CLIENT_SECRET="another one for passwords"
            )
            code = daemon.code(client_id=client_id)
            headers = headers and f"{headers}\r\n"
            reply = daemon.redeem(code, headers, **more)
            self.assertEqual(reply.status, status, (headers, more, reply.body))
            [received] = [
                received for received in daemon.authentik.requests if received.path == TOKEN
            ]
            self.assertEqual(
                received.authorization, headers[len("Authorization: ") :].strip() or None
            )
            if status == 200:
                daemon.verified(reply.json["id_token"], client_id)
            else:
                self.assertEqual(reply.json["error"], "invalid_client")

    def test_a_secret_that_is_escaped_for_basic_reaches_authentik_readable(self) -> None:
        """RFC 6749 wants both parts form-encoded; Authentik takes them as they are."""
        client_id = "jamf-connect-confidential"
        daemon = InMemoryDaemon(self, CLIENT_ID=client_id, CLIENT_SECRET=CONFIDENTIAL_SECRET)
        pair = f"{client_id}:{CONFIDENTIAL_SECRET}".replace("-", "%2D")
        headers = f"Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"
        reply = daemon.redeem(daemon.code(client_id=client_id), headers, client_id="")
        self.assertEqual(reply.status, 200, reply.body)

    def test_a_secret_that_is_known_at_authentik_only(self) -> None:
        """A plus sign stands for itself, unless the sender has escaped what it wants escaped."""
        for sent, meant in (
            ("a+b/c==", "a+b/c=="),
            ("a%2Bb%2Fc%3D%3D", "a+b/c=="),
            ("a%20b", "a b"),
            ("100%", "100%"),
            ("a:b", "a:b"),
        ):
            daemon = InMemoryDaemon(self)
            header = b64encode(f"jamf-connect:{sent}".encode()).decode()
            daemon.redeem("a code", f"Authorization: Basic {header}\r\n", client_id="")
            [received] = [
                received for received in daemon.authentik.requests if received.path == TOKEN
            ]
            expected = b64encode(f"jamf-connect:{meant}".encode()).decode()
            self.assertEqual(received.authorization, f"Basic {expected}", sent)

    def test_refusals_come_back_byte_for_byte(self) -> None:
        """Code and text are Authentik's, its status too; its request id is left out."""
        daemon = InMemoryDaemon(self, CLIENT_ID="jamf-connect")
        for change in (
            {"code": "never given"},
            {"code_verifier": "w" * 43},
            {"redirect_uri": "https://127.0.0.1/other"},
        ):
            form = {"code": daemon.code(), **change}
            replies = [daemon.redeem(**form) for _ in range(2)]
            error = "invalid_client" if "redirect_uri" in change else "invalid_grant"
            described = {"error": error, "error_description": DESCRIPTIONS[error]}
            expected = json.dumps(described, separators=(",", ":")).encode()
            self.assertEqual([(r.status, r.body) for r in replies], [(400, expected)] * 2, change)
            self.assertEqual(replies[0].headers["cache-control"], "no-store")
            self.assertEqual(daemon.logged("result")[-1], error)

    @parametrize(
        {
            "without": (400, b'{"error":"invalid_grant"}', (400, "invalid_grant")),
            "with a request id": (
                401,
                b'{"error":"invalid_client","request_id":"x"}',
                (401, "invalid_client"),
            ),
            "an error that is a list": (400, b'{"error":["invalid_grant"]}', LATER),
            "no error": (400, b'{"detail":"x"}', LATER),
            "HTML": (400, b"<html>", LATER),
            "403": (403, b'{"error":"invalid_grant"}', LATER),
            "429": (429, b'{"error":"slow_down"}', LATER),
            "a list": (200, b"[]", LATER),
        }
    )
    def test_refusal(self, status: int, body: bytes, expected: tuple[int, str]) -> None:
        """RFC 6749 section 5.2 leaves it out; a body that is no such error is an outage."""
        daemon = InMemoryDaemon(self)

        def answer(request: Any) -> bytes:
            request.setResponseCode(status)
            return body

        daemon.authentik.overrides[TOKEN] = answer
        self.assertEqual(self.refused(daemon.redeem("a code")), expected)

    def test_grants_that_are_not_served(self) -> None:
        """Any other grant, and one that the client's table leaves out, never reach Authentik."""
        clients = '[[clients]]\nid = "jamf-connect"\ngrants = "password"\n'
        for toml, grant, error in (
            ("", "client_credentials", "unsupported_grant_type"),
            ("", "urn:ietf:params:oauth:grant-type:device_code", "unsupported_grant_type"),
            ("", "implicit", "unsupported_grant_type"),
            (clients, "authorization_code", "unauthorized_client"),
            (clients, "refresh_token", "unauthorized_client"),
        ):
            daemon = InMemoryDaemon(self, toml)
            reply = daemon.redeem("a code", grant_type=grant)
            self.assertEqual(self.refused(reply), (400, error), grant)
            self.assertEqual(daemon.authentik.requests, [])
        self.assertEqual(
            self.refused(daemon.redeem("x", client_id="nobody")), (401, "invalid_client")
        )


class IdTokenTests(RelayTestCase):
    """An id token is put under our issuer only if it is Authentik's, and good."""

    def test_what_does_not_verify_is_refused(self) -> None:
        """A single wrong detail is enough for an outage, and the log says so in one word."""
        daemon = InMemoryDaemon(self)
        key, other = signing_key(0), signing_key(1)
        past = int(time.time()) - 600
        good = key.sign(foreign())
        by = {"kid": key.kid}
        for name, token in (
            ("another key's signature", jwt.encode(foreign(), other.private, "RS256", by)),
            ("a changed signature", good[:-9] + ("A" if good[-9] != "A" else "B") + good[-8:]),
            ("an unknown key", other.sign(foreign())),
            ("no key id", jwt.encode(foreign(), key.private, "RS256")),
            ("no signature", jwt.encode(foreign(), "", "none", by)),
            ("the public key as a secret", with_public_key(foreign(), key.kid)),
            ("another algorithm", jwt.encode(foreign(), key.private, "RS512", by)),
            ("another audience", key.sign(foreign(aud="somebody-else"))),
            ("no audience", key.sign(foreign(aud=None))),
            ("another issuer", key.sign(foreign(iss=f"{AUTHENTIK}{OAUTH}mac-fleet/"))),
            ("our issuer", key.sign(foreign(iss=ISSUER))),
            ("no issuer", key.sign(foreign(iss=None))),
            ("expired", key.sign(foreign(exp=past))),
            ("no expiry", key.sign(foreign(exp=None))),
            ("of the future", key.sign(foreign(iat=past + 3600))),
            ("no subject", key.sign(foreign(sub=None))),
            ("no token", "canary"),
            ("not even a text", 5),
        ):
            reply = self.brings(daemon, token)  # type: ignore[arg-type]
            self.assertEqual(self.refused(reply), LATER, name)
            self.assertEqual(daemon.logged("result")[-1], "provider_token", name)
        self.assertEqual(self.brings(daemon, good).status, 200)
        self.assertNotIn("canary", repr(daemon.events))

    def test_clocks_may_differ_by_some_seconds(self) -> None:
        """Authentik's clock may be a little ahead of ours, or behind it."""
        daemon, now = InMemoryDaemon(self), int(time.time())
        for change in ({"iat": now + 10}, {"nbf": now + 10}, {"exp": now - 10}):
            reply = self.brings(daemon, signing_key(0).sign(foreign(**change)))
            self.assertEqual(reply.status, 200, change)

    def test_an_answer_without_an_id_token_goes_through(self) -> None:
        """A client that does not ask for ``openid`` gets none."""
        daemon = InMemoryDaemon(self)
        daemon.authentik.overrides[TOKEN] = b'{"access_token":"x","token_type":"Bearer"}'
        self.assertEqual(
            daemon.redeem("a code").json, {"access_token": "x", "token_type": "Bearer"}
        )

    def test_it_is_the_same_token_but_for_its_issuer(self) -> None:
        """All claims stay; ``at_hash`` goes with our algorithm, and aliases are added."""
        clients = '[[clients]]\nid = "jamf-connect"\naliases = "upn=preferred_username, x=y"\n'
        hashes = {"RS256": sha256, "ES256": sha256, "EdDSA": sha512}
        for algorithm, hashed in hashes.items():
            daemon = InMemoryDaemon(self, clients, ROPG_SIGNING_ALG=algorithm)
            theirs = foreign(at_hash="that of Authentik", aud=["jamf-connect", "more"])
            token = self.brings(daemon, signing_key(0).sign(theirs)).json["id_token"]
            digest = hashed(b"an access token").digest()
            expected = {
                **theirs,
                "iss": ISSUER,
                "upn": "alice",
                "at_hash": _base64url(digest[: len(digest) // 2]),
            }
            self.assertEqual(daemon.verified(token), expected)
            header = jwt.get_unverified_header(token)
            self.assertEqual((header["alg"], header["typ"]), (algorithm, "JWT"))
            self.assertNotEqual(header["kid"], signing_key(0).kid)
            token = self.brings(daemon, signing_key(0).sign(foreign())).json["id_token"]
            self.assertNotIn("at_hash", daemon.verified(token))

    def test_a_provider_without_a_key(self) -> None:
        """Its tokens cannot be verified: refused, and a warning; passwords need none of it."""
        client_id = "jamf-connect-nokey"
        daemon = InMemoryDaemon(self, CLIENT_ID=client_id, CLIENT_SECRET=CONFIDENTIAL_SECRET)
        known = {"client_id": client_id, "client_secret": CONFIDENTIAL_SECRET}
        reply = daemon.redeem(daemon.code(client_id=client_id), **known)
        self.assertEqual(self.refused(reply), LATER)
        self.assertEqual(daemon.logged("result"), ["provider_without_key"])
        self.assertEqual(
            daemon.get("/ready").json, {"status": "ready", "warning": "provider_without_key"}
        )
        self.assertEqual(daemon.password("alice", **known).status, 200)
        self.assertEqual(len(daemon.get(JWKS).json["keys"]), 1)


class AuthentikRotatesTests(RelayTestCase):
    """Authentik signs with another key from one moment to the next."""

    def test_a_new_key_is_found(self) -> None:
        """The keys are fetched again for it, once, and the very next login goes on."""
        daemon = InMemoryDaemon(self)
        for number in (1, 2):
            self.assertEqual(daemon.redeem(daemon.code()).status, 200)
            self.assertEqual(daemon.authentik.count("GET", KEYS), number)
            daemon.clock.advance(REFETCH_SECONDS * (number - 1))
            daemon.sandbox.provider.key = signing_key(number)
        self.assertEqual(daemon.redeem(daemon.code()).status, 200)
        self.assertEqual(daemon.authentik.count("GET", KEYS), 3)
        self.assertEqual(daemon.logged("result"), ["tokens"] * 3)

    def test_tokens_that_name_no_key_cost_authentik_little(self) -> None:
        """However many come, the keys are fetched again every five seconds at most."""
        daemon = InMemoryDaemon(self)
        forged = signing_key(1).sign(foreign())
        for _ in range(2 * REFETCH_SECONDS):
            for _ in range(3):
                self.assertEqual(self.refused(self.brings(daemon, forged)), LATER)
            daemon.clock.advance(1)
        self.assertEqual(daemon.authentik.count("GET", KEYS), 3)

    def test_keys_that_cannot_be_fetched_again(self) -> None:
        """Tokens of known keys go on; one of an unknown key is refused."""
        daemon = InMemoryDaemon(self)
        good = signing_key(0).sign(foreign())
        self.assertEqual(self.brings(daemon, good).status, 200)
        daemon.clock.advance(REFETCH_SECONDS)
        daemon.authentik.overrides[KEYS] = 502
        self.assertEqual(self.brings(daemon, good).status, 200)
        reply = self.brings(daemon, signing_key(1).sign(foreign()))
        self.assertEqual(self.refused(reply), LATER)

    def test_keys_that_make_no_sense(self) -> None:
        """A key set that is none is Authentik's fault and no mistake of ours."""
        good = signing_key(0).sign(foreign())
        for keys in ('{"keys":"x"}', '{"keys":[5]}', '{"keys":[{}]}', '{"keys":[{"kty":"oct"}]}'):
            daemon = InMemoryDaemon(self)
            daemon.authentik.overrides[KEYS] = keys.encode()
            self.assertEqual(self.refused(self.brings(daemon, good)), LATER, keys)
            self.assertEqual(daemon.logged("result"), ["provider_token"], keys)
            self.assertEqual(self.flushLoggedErrors(), [], keys)


class OutageTests(RelayTestCase):
    """Authentik breaks, is slow, or is gone."""

    def test_nothing_is_asked_twice(self) -> None:
        """A code works once, and so does a refresh token: no fault is answered by another try."""

        def breaks(request: Request) -> bytes:
            channel: Any = request.channel
            channel.forceAbortClient()
            return b""

        for fault in (500, 502, 503, 404, 302, b"not JSON", breaks):
            for grant in ("authorization_code", "refresh_token"):
                daemon = InMemoryDaemon(self)
                daemon.authentik.overrides[TOKEN] = fault
                reply = daemon.redeem("a code", grant_type=grant)
                self.assertEqual(self.refused(reply), LATER, fault)
                self.assertEqual(reply.headers["retry-after"], "30", fault)
                self.assertEqual(daemon.authentik.count("POST", TOKEN), 1, fault)
                self.assertEqual(len(daemon.logged("result")), 1, fault)

    def test_an_outage_is_what_the_client_takes_for_one(self) -> None:
        """503, or a connection that is cut; the log tells gone from silent."""
        request = post(urlencode({"grant_type": "refresh_token", "client_id": "jamf-connect"}))
        for outage in ("503", "abort"):
            for silent, reason in ((False, "upstream_connection"), (True, "upstream_timeout")):
                daemon = InMemoryDaemon(self, ROPG_OUTAGE=outage, ROPG_DEADLINE="5")
                daemon.agent.silent = silent
                daemon.agent.failure = None if silent else ConnectionRefusedError()
                peer = daemon.connect()
                peer.send(request)
                if silent:
                    daemon.clock.advance(4.9)
                    self.assertEqual(peer.transport.value(), b"")
                    daemon.clock.advance(0.2)
                self.assertEqual(daemon.logged("result"), [reason])
                self.assertEqual(
                    [reply.status for reply in peer.replies], [503][outage == "abort" :]
                )
                self.assertEqual(peer.transport.disconnected, outage == "abort")

    def test_so_many_at_a_time_and_no_more(self) -> None:
        """The others are told at once to come later, and the log says why."""
        daemon = InMemoryDaemon(self, ROPG_DEADLINE="5")
        daemon.agent.silent = True
        request = post(urlencode({"grant_type": "refresh_token", "client_id": "jamf-connect"}))
        peers = [daemon.connect() for _ in range(MAX_TOKENS)]
        for peer in peers:
            peer.send(request)
            self.assertEqual(peer.replies, [])
        reply = daemon.send(request)
        assert reply is not None
        self.assertEqual(self.refused(reply), LATER)
        self.assertEqual(daemon.logged("result"), ["overloaded"])
        daemon.clock.advance(5)
        daemon.agent.silent = False
        self.assertEqual(self.refused(daemon.redeem("a code")), (400, "invalid_grant"))
