"""Tokens, as somebody reads them who knows only what is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.keys import KeyRing, shared_secret
from ropg_twisted.oauth.keystore import KeyStore
from ropg_twisted.oauth.request import PasswordGrant
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.settings.model import Client
from tests.composition import ISSUER
from tests.parametrize import parametrize

SECRET = "a secret that is shared by both ends"
NOW = 1_800_000_000.75
BOTH_TOKENS = {"access_token", "id_token"}
ALICE = User("uid-1", "alice", "Alice", "alice@example.com", ("staff",))


def grant(scope: str = "", nonce: str | None = None) -> PasswordGrant:
    """The parameters of a client."""
    return PasswordGrant("alice", "hush", tuple(scope.split()), nonce)


def issue(ring: KeyRing, scope: str = "", nonce: str | None = None) -> dict[str, Any]:
    """The token response for Alice."""
    issuer = TokenIssuer(ISSUER, lambda: ring, 600, lambda: NOW)
    return dict(issuer.issue(Client("mac"), grant(scope, nonce), ALICE, amr=["pwd"]))


def read(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    """The claims of a token that is signed rightly and meant for the client."""
    # PyJWT asks the wall clock, which these tokens do not follow.
    options: Any = {
        "verify_exp": False,
        "verify_iat": False,
        "require": ["iss", "aud", "sub", "exp", "iat", "jti"],
    }
    return jwt.decode(token, key, [algorithm], options, audience="mac", issuer=ISSUER)


class TokenTests(SynchronousTestCase):
    """Both tokens, claim by claim."""

    def setUp(self) -> None:
        """Make a signer of the quickest kind."""
        self.ring = shared_secret(SECRET)

    def claims(self, response: dict[str, Any], kind: str) -> dict[str, Any]:
        """The claims of one of the tokens, without those that differ each time."""
        claims = read(response[kind], SECRET, "HS256")
        self.assertRegex(claims.pop("jti"), r"^[0-9a-f-]{36}$")
        return claims

    def test_each_algorithm_is_verified_with_what_is_published(self) -> None:
        """Type and key id are in the header, and the key of that id verifies."""
        for algorithm in ("RS256", "ES256", "EdDSA"):
            ring = KeyStore(Path(self.mktemp()), algorithm, lambda: NOW).ring()
            published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(ring.jwks())))
            response = issue(ring)
            for kind, typ in (("access_token", "at+jwt"), ("id_token", "JWT")):
                header = jwt.get_unverified_header(response[kind])
                expected = {"alg": algorithm, "typ": typ, "kid": ring.signing.kid}
                self.assertEqual(header, expected)
                claims = read(response[kind], published[header["kid"]], algorithm)
                self.assertEqual(claims["sub"], "uid-1")
                start, _, signature = response[kind].rpartition(".")
                forged = f"{start}.{signature[:5]}{'A' if signature[5] != 'A' else 'B'}"
                forged += signature[6:]
                self.assertRaises(
                    jwt.InvalidSignatureError, read, forged, published[header["kid"]], algorithm
                )

    def test_a_shared_secret_signs(self) -> None:
        """With HS256 the header names no key, and only the secret verifies."""
        response = issue(self.ring)
        for kind, typ in (("access_token", "at+jwt"), ("id_token", "JWT")):
            header = jwt.get_unverified_header(response[kind])
            self.assertEqual(header, {"alg": "HS256", "typ": typ})
            self.assertEqual(self.claims(response, kind)["sub"], "uid-1")
            wrong = SECRET.upper()
            self.assertRaises(jwt.InvalidSignatureError, read, response[kind], wrong, "HS256")

    @parametrize(
        {
            "default scope": ("", "openid profile email", BOTH_TOKENS),
            "groups": ("groups openid offline_access", "openid groups", BOTH_TOKENS),
            "without openid": ("profile", "profile", {"access_token"}),
        }
    )
    def test_the_response(self, asked: str, granted: str, expected: set[str]) -> None:
        """It says kind, lifetime and scopes, and an id token comes with ``openid`` only."""
        response = issue(self.ring, asked)
        found = {name for name in BOTH_TOKENS if response.pop(name, None)}
        self.assertEqual(found, expected)
        self.assertEqual(response, {"token_type": "Bearer", "expires_in": 600, "scope": granted})

    def test_the_claims(self) -> None:
        """Whole seconds, one audience, the password as method, and the claims of the scopes."""
        common = {
            "iss": ISSUER,
            "sub": "uid-1",
            "aud": "mac",
            "azp": "mac",
            "iat": 1_800_000_000,
            "auth_time": 1_800_000_000,
            "exp": 1_800_000_600,
            "amr": ["pwd"],
        }
        profile = {
            "preferred_username": "alice",
            "name": "Alice",
            "given_name": "Alice",
            "groups": ["staff"],
        }
        for scope, person in (("openid", {}), ("openid profile", profile)):
            response = issue(self.ring, scope)
            self.assertEqual(self.claims(response, "id_token"), {**common, **person})
            self.assertEqual(
                self.claims(response, "access_token"),
                {**common, **person, "client_id": "mac", "scope": scope},
            )

    def test_the_nonce_comes_back(self) -> None:
        """It is in the id token as it was sent, and nowhere if it was not."""
        response = issue(self.ring, nonce="n-0S6_ü")
        self.assertEqual(self.claims(response, "id_token")["nonce"], "n-0S6_ü")
        self.assertNotIn("nonce", self.claims(response, "access_token"))
        self.assertNotIn("nonce", self.claims(issue(self.ring), "id_token"))

    def test_no_token_is_like_another(self) -> None:
        """Each has an id of its own, also at the same moment."""
        responses = [issue(self.ring) for _ in range(3)]
        tokens = [response[kind] for response in responses for kind in ("access_token", "id_token")]
        self.assertEqual(len({read(token, SECRET, "HS256")["jti"] for token in tokens}), 6)
