"""The discovery document: complete, and true."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import jwt
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.api.app import API
from ropg_twisted.interfaces import User
from ropg_twisted.oauth.keys import shared_secret
from ropg_twisted.oauth.metadata import DISCOVERY_PATH, IssuerInfo, own_document
from ropg_twisted.oauth.request import PasswordGrant
from ropg_twisted.oauth.scopes import SCOPES, granted_scope
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.settings.model import Client, NameSplit
from tests.parametrize import parametrize

AUTHENTIK = "https://authentik.example.com/sso"

REQUIRED = {
    "issuer": str,
    "authorization_endpoint": str,
    "token_endpoint": str,
    "jwks_uri": str,
    "response_types_supported": list,
    "subject_types_supported": list,
    "id_token_signing_alg_values_supported": list,
}
"""OpenID Connect Discovery 1.0 section 3."""

OWN_ENDPOINTS = {"token_endpoint", "userinfo_endpoint", "introspection_endpoint"}


def document(issuer: str = "https://ropg.example.com", algorithm: str = "RS256") -> dict[str, Any]:
    """The document of an issuer."""
    return own_document(IssuerInfo(issuer, algorithm, AUTHENTIK, introspection=True))


class DiscoveryTests(SynchronousTestCase):
    """The discovery document."""

    def test_required_members(self) -> None:
        """All that the standard requires is there, and no member is empty (section 4.2)."""
        found = document()
        self.assertEqual({name: type(found[name]) for name in REQUIRED}, REQUIRED)
        for name, value in found.items():
            self.assertTrue(value, name)

    @parametrize(
        {
            "plain": ("https://ropg.example.com", "https://ropg.example.com"),
            "a slash": ("https://ropg.example.com/", "https://ropg.example.com"),
            "a path": ("https://example.com/ropg", "https://example.com/ropg"),
            "a path and a slash": ("https://example.com/ropg/", "https://example.com/ropg"),
            "a port": ("http://127.0.0.1:8580", "http://127.0.0.1:8580"),
        }
    )
    def test_issuer(self, issuer: str, base: str) -> None:
        """The issuer is repeated to the letter; a slash at its end is not doubled."""
        found = document(issuer)
        self.assertEqual(found["issuer"], issuer)
        self.assertEqual(found["token_endpoint"], f"{base}/oauth/token")
        self.assertEqual(found["jwks_uri"], f"{base}/.well-known/jwks.json")

    def test_people_log_in_at_authentik(self) -> None:
        """The authorization endpoint is Authentik's, below the path it is served at."""
        self.assertEqual(
            document()["authorization_endpoint"],
            "https://authentik.example.com/sso/application/o/authorize/",
        )


class TruthTests(SynchronousTestCase):
    """Each name in the document works."""

    def test_the_endpoints_are_served(self) -> None:
        """Each address on this host is a route, and so is that of the document itself."""
        found = document()
        routes = API.app.url_map.bind("ropg.example.com")
        served = {name for name in found if str(found[name]).startswith(found["issuer"] + "/")}
        self.assertEqual(served, {*OWN_ENDPOINTS, "jwks_uri"})
        routes.match(urlsplit(found["token_endpoint"]).path, "POST")
        routes.match(urlsplit(found["jwks_uri"]).path, "GET")
        routes.match(urlsplit(found["userinfo_endpoint"]).path, "GET")
        routes.match(urlsplit(found["introspection_endpoint"]).path, "POST")
        routes.match(DISCOVERY_PATH, "GET")

    def test_scopes_are_granted(self) -> None:
        """Each scope that is named is granted, and no other is there to be had."""
        self.assertEqual(document()["scopes_supported"], list(SCOPES))
        for scope in document()["scopes_supported"]:
            self.assertEqual(granted_scope([scope], Client("mac")), (scope,))

    def test_claims_are_made(self) -> None:
        """An id token with everything in it has exactly the claims that are named."""
        person = User("uid-1", "alice", "Alice", "alice@example.com", ("staff",))
        grant = PasswordGrant("alice", "hush", SCOPES, "nonce")
        ring = shared_secret("x" * 32)
        issuer = TokenIssuer("https://ropg.example.com", lambda: ring, 60, float)
        client = Client("iru", name_split=NameSplit.FAMILY_LAST)
        token = issuer.issue(client, grant, person, amr=["pwd"])["id_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        self.assertEqual(sorted(document()["claims_supported"]), sorted(claims))

    def test_the_algorithm_is_the_one_in_use(self) -> None:
        """It names how id tokens are signed, and nothing else."""
        for algorithm in ("RS256", "ES256", "EdDSA", "HS256"):
            found = document(algorithm=algorithm)["id_token_signing_alg_values_supported"]
            self.assertEqual(found, [algorithm])

    def test_grants_and_client_authentication(self) -> None:
        """Only the password grant, and all ways for a client to name itself."""
        self.assertEqual(document()["grant_types_supported"], ["password"])
        self.assertEqual(
            set(document()["token_endpoint_auth_methods_supported"]),
            {"none", "client_secret_post", "client_secret_basic"},
        )
