"""The checks that the newest XCreds makes of an id token."""

from __future__ import annotations

import time
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import DISCOVERY, JWKS, InMemoryDaemon
from tests.parametrize import parametrize

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256")
CLIENT = "jamf-connect"
TABLE = f'[[clients]]\nid = "{CLIENT}"\nprofile = "xcreds"\n'


class IDTokenTests(SynchronousTestCase):
    """Issuer, audience, time, nonce and signature, in each way to log in."""

    def checked(self, daemon: InMemoryDaemon, token: str) -> dict[str, Any]:
        """Return the claims of an id token that XCreds accepts, from what is published alone."""
        document = daemon.get(f"{DISCOVERY}?client_id={CLIENT}").json
        self.assertTrue(document["jwks_uri"].endswith(JWKS))
        header = jwt.get_unverified_header(token)
        [key] = [key for key in daemon.get(JWKS).json["keys"] if key["kid"] == header["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(key),
            algorithms=ALGORITHMS,
            issuer=document["issuer"],
            audience=CLIENT,
            options={"require": ["iss", "aud", "exp"]},
        )
        self.assertEqual(claims["aud"], CLIENT)
        self.assertGreater(claims["exp"], time.time())
        self.assertEqual(claims["unique_name"], "alice")
        return claims

    @parametrize({"RS256": ("RS256",), "ES256": ("ES256",)})
    def test_accepted(self, algorithm: str) -> None:
        """A password, with a nonce and without one, and a login in a browser."""
        daemon = InMemoryDaemon(self, TABLE, ROPG_SIGNING_ALG=algorithm)
        tokens = daemon.password("alice").json
        self.assertNotIn("nonce", self.checked(daemon, tokens["id_token"]))
        tokens = daemon.password("alice", nonce="n-0S6").json
        self.assertEqual(self.checked(daemon, tokens["id_token"])["nonce"], "n-0S6")
        tokens = daemon.redeem(daemon.code(nonce="n-1")).json
        self.assertEqual(self.checked(daemon, tokens["id_token"])["nonce"], "n-1")

    @parametrize(
        {"EdDSA": ({"ROPG_SIGNING_ALG": "EdDSA"},), "HS256": ({"JWT_SECRET": "hush" * 8},)}
    )
    def test_not_accepted(self, environ: dict[str, str]) -> None:
        """It does not know these algorithms, and the start warns of them."""
        daemon = InMemoryDaemon(self, TABLE, **environ)
        token = daemon.password("alice").json["id_token"]
        self.assertNotIn(jwt.get_unverified_header(token)["alg"], ALGORITHMS)
        warned = [text for text in daemon.logged("line") if "XCreds" in text]
        self.assertEqual(len(warned), 1)
