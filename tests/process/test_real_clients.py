"""A discovery URL for everything, with clients that were not written here.

Each makes the whole journey with all of its checks on: discovery, a web login by code with PKCE
and a nonce, userinfo, a rotation of the daemon's key, a refresh and a password. The scripts for
Node.js are in ``tests/node``, and are skipped where ``npm ci`` has not been run there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urljoin

import jwt
import requests
from authlib.common.security import generate_token  # type: ignore[import-untyped]
from authlib.integrations.requests_client import (  # type: ignore[import-untyped]
    OAuth2Session as AuthlibSession,
)
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from oauthlib.oauth2 import LegacyApplicationClient
from requests_oauthlib import OAuth2Session
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth.keys import PUBLISH_AHEAD, new_key
from ropg_twisted.oauth.keystore import KEYS_FILE, read_keys, write_keys
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.oauth2.applications import CONFIDENTIAL_SECRET
from tests import FIRST_PYTHON_ONLY
from tests.certificates import make_certificate
from tests.daemon import PATIENCE, ROPG, DaemonProcess
from tests.paths import TESTS

NODE = shutil.which("node")
SCRIPTS = TESTS / "node"
REDIRECT = "https://127.0.0.1/jamfconnect"
SCOPE = "openid profile email offline_access"
PUBLIC = ("jamf-connect", None)
CONFIDENTIAL = ("jamf-connect-confidential", CONFIDENTIAL_SECRET)


def missing() -> str | None:
    """Return why the scripts cannot be run, or None."""
    if NODE is None:
        return "Node.js is not here"
    if not (SCRIPTS / "node_modules").is_dir():
        return "tests/node/node_modules is not here: run npm ci in tests/node"
    return None


class LoginForm(HTMLParser):
    """Finds the names of a page's fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str | None] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the name of a field."""
        if tag == "input":
            self.names.add(dict(attrs).get("name"))


def browse(url: str) -> str:
    """Log Alice in by the page that an authorization URL leads to; where her browser goes then."""
    browser = requests.Session()
    page = browser.get(url, timeout=PATIENCE)
    typed = {"uid_field": "alice", "password": USUAL_PASSWORD, "code": ""}
    assert LoginForm(page.text).names == set(typed), page.text
    answer = browser.post(page.url, data=typed, allow_redirects=False, timeout=PATIENCE)
    while not (location := answer.headers["Location"]).startswith(REDIRECT):
        url = urljoin(answer.url, location)
        answer = browser.get(url, allow_redirects=False, timeout=PATIENCE)
    return location


class TLSDaemon(DaemonProcess):
    """A daemon on TLS with a key that waits, and has been published for long enough."""

    def __init__(self, folder: Path, client: tuple[str, str | None], algorithm: str) -> None:
        self.pem = make_certificate(folder)
        self.algorithm = algorithm
        super().__init__(
            folder,
            listen=f"ssl:{{port}}:privateKey={self.pem}:certKey={self.pem}:interface=127.0.0.1",
            scheme="https",
            CLIENT_ID=client[0],
            CLIENT_SECRET=client[1] or "",
            ROPG_SIGNING_ALG=algorithm,
        )
        self.state_dir = folder / "state" / "sandbox"

    def begin(self) -> None:
        """Add the key that waits."""
        super().begin()
        path = self.state_dir / KEYS_FILE
        waiting = new_key(self.algorithm, time.time() - PUBLISH_AHEAD, signs_from=None)
        write_keys(path, [*read_keys(path), waiting])

    def rotate(self) -> None:
        """Let the key that waits sign from now on."""
        command = [str(ROPG), "keys", "--state-dir", str(self.state_dir)]
        command += ["--signing-alg", self.algorithm, "rotate"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)

    def get(self, path: str, token: str | None = None) -> Any:
        """The JSON at a path or URL of ours."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = urljoin(self.url, path)
        response = requests.get(url, headers=headers, verify=self.pem, timeout=PATIENCE)
        response.raise_for_status()
        return response.json()


class JourneyTestCase(SynchronousTestCase):
    """A folder for the daemon, and what has to hold at the end of each journey."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def assert_arrived(self, daemon: TLSDaemon, client_id: str, stations: list[Any]) -> None:
        """Assert that the id tokens of all stations were of the same person and issuer."""
        self.assertEqual(len(stations), 3)
        for claims in stations:
            self.assertEqual((claims["iss"], claims["aud"]), (daemon.url, client_id))
            self.assertEqual(claims["preferred_username"], "alice")
        self.assertEqual(len({claims["sub"] for claims in stations}), 1)
        self.assertEqual(daemon.end(), 0)
        log = "".join(daemon.output)
        self.assertEqual(log.count("keys.json has changed"), 2, log)
        for secret in (USUAL_PASSWORD, CONFIDENTIAL_SECRET):
            self.assertNotIn(secret, log)


class PythonTests(JourneyTestCase):
    """The clients of Python programs."""

    def test_requests_oauthlib(self) -> None:
        """A public client with PKCE; PyJWT verifies."""
        # The sandbox has no certificate, which oauthlib would want of an authorization endpoint.
        self.patch(os, "environ", {**os.environ, "OAUTHLIB_INSECURE_TRANSPORT": "1"})
        with TLSDaemon(self.folder, PUBLIC, "RS256") as daemon:
            document = daemon.get("/.well-known/openid-configuration")
            endpoint = document["token_endpoint"]
            keys = jwt.PyJWKSet.from_dict(daemon.get(document["jwks_uri"]))
            kids, stations = set(), list[Any]()
            tls: dict[str, Any] = {"verify": daemon.pem, "timeout": PATIENCE}

            def arrive(session: OAuth2Session, token: Mapping[str, Any]) -> None:
                kid = jwt.get_unverified_header(token["id_token"])["kid"]
                kids.add(kid)
                claims = jwt.decode(
                    token["id_token"],
                    keys[kid],
                    algorithms=document["id_token_signing_alg_values_supported"],
                    audience="jamf-connect",
                    issuer=document["issuer"],
                    options={"require": ["iss", "sub", "aud", "exp", "iat", "auth_time"]},
                )
                found = session.get(document["userinfo_endpoint"], **tls).json()
                self.assertEqual(found["sub"], claims["sub"])
                stations.append(claims)
                session.close()

            session = OAuth2Session(
                "jamf-connect", redirect_uri=REDIRECT, scope=SCOPE.split(), pkce="S256"
            )
            url, _ = session.authorization_url(document["authorization_endpoint"], nonce="n-1")
            token = session.fetch_token(
                endpoint, authorization_response=browse(url), include_client_id=True, **tls
            )
            arrive(session, token)
            self.assertEqual(stations[0]["nonce"], "n-1")
            daemon.rotate()
            arrive(session, session.refresh_token(endpoint, client_id="jamf-connect", **tls))
            session = OAuth2Session(client=LegacyApplicationClient("jamf-connect"))
            token = session.fetch_token(
                endpoint,
                username="alice",
                password=USUAL_PASSWORD,
                scope=["openid", "profile", "email"],
                include_client_id=True,
                **tls,
            )
            arrive(session, token)
            self.assertEqual(len(kids), 2)
            self.assert_arrived(daemon, "jamf-connect", stations)

    def test_authlib(self) -> None:
        """A confidential client, its secret in the body or in the header; all claims checked."""
        for method in ("client_secret_post", "client_secret_basic"):
            folder = self.folder / method
            folder.mkdir()
            with TLSDaemon(folder, CONFIDENTIAL, "ES256") as daemon:
                self.assert_arrived(daemon, CONFIDENTIAL[0], self.authlib(daemon, method))

    def authlib(self, daemon: TLSDaemon, method: str) -> list[Any]:
        """The claims that Authlib has read on its journey."""
        client_id, secret = CONFIDENTIAL
        document = daemon.get("/.well-known/openid-configuration")
        endpoint = document["token_endpoint"]
        keys = KeySet.import_key_set(daemon.get(document["jwks_uri"]))
        registry = JWSRegistry(
            algorithms=document["id_token_signing_alg_values_supported"], strict_check_header=False
        )
        session = AuthlibSession(
            client_id,
            secret,
            token_endpoint_auth_method=method,
            redirect_uri=REDIRECT,
            scope=SCOPE,
            code_challenge_method="S256",
            default_timeout=PATIENCE,
        )
        session.verify, session.trust_env = daemon.pem, False
        stations: list[Any] = []

        def arrive(token: Mapping[str, Any], nonce: str | None = None) -> None:
            read = jose.decode(token["id_token"], keys, registry=registry)
            claims = CodeIDToken(
                read.claims,
                read.header,
                {"iss": {"values": [document["issuer"]]}, "aud": {"values": [client_id]}},
                {
                    "nonce": nonce,
                    "client_id": client_id,
                    "access_token": token["access_token"],
                    "max_age": 3600,
                },
            )
            claims.validate()
            found = session.get(document["userinfo_endpoint"]).json()
            self.assertEqual(found["sub"], claims["sub"])
            stations.append(claims)
            session.close()

        nonce, verifier = generate_token(), generate_token(48)
        url, state = session.create_authorization_url(
            document["authorization_endpoint"], nonce=nonce, code_verifier=verifier
        )
        token = session.fetch_token(
            endpoint, authorization_response=browse(url), state=state, code_verifier=verifier
        )
        arrive(token, nonce)
        daemon.rotate()
        arrive(session.refresh_token(endpoint, token["refresh_token"]))
        typed = {"username": "alice", "password": USUAL_PASSWORD, "scope": "openid profile"}
        arrive(session.fetch_token(endpoint, grant_type="password", **typed))
        return stations


class NodeTests(JourneyTestCase):
    """The certified clients of programs for Node.js, Bun, Deno and the like."""

    skip = FIRST_PYTHON_ONLY or missing()

    def journey(
        self, script: str, client: tuple[str, str | None], method: str, algorithm: str
    ) -> None:
        """Run a script, be its person and its administrator, and look at where it has come."""
        with TLSDaemon(self.folder, client, algorithm) as daemon:
            settings = {
                "issuer": daemon.url,
                "clientId": client[0],
                "clientSecret": client[1],
                "authMethod": method,
                "redirectUri": REDIRECT,
                "scope": SCOPE,
                "username": "alice",
                "password": USUAL_PASSWORD,
            }
            with subprocess.Popen(
                [str(NODE), script, json.dumps(settings)],
                cwd=SCRIPTS,
                env={"NODE_EXTRA_CA_CERTS": daemon.pem},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as child:
                guard = Timer(PATIENCE, child.kill)
                guard.start()
                self.addCleanup(guard.cancel)
                stations = self.accompany(child, daemon)
            self.assert_arrived(daemon, client[0], stations)

    def accompany(self, child: subprocess.Popen[str], daemon: TLSDaemon) -> Any:
        """Answer a script line by line until it has arrived; its id tokens' claims."""
        assert child.stdin is not None and child.stdout is not None
        said = []
        for line in child.stdout:
            said.append(line)
            word, _, rest = line.strip().partition(" ")
            if word == "done":
                return json.loads(rest)
            if word == "browse":
                print(browse(rest), file=child.stdin, flush=True)
            elif word == "rotate":
                daemon.rotate()
                print("rotated", file=child.stdin, flush=True)
        self.fail("".join(said))

    def test_openid_client(self) -> None:
        """A public client with PKCE."""
        self.journey("openid-client.mjs", PUBLIC, "none", "ES256")

    def test_oauth4webapi(self) -> None:
        """A confidential client with its secret in the body."""
        self.journey("oauth4webapi.mjs", CONFIDENTIAL, "client_secret_post", "EdDSA")

    def test_oauth4webapi_by_basic(self) -> None:
        """A confidential client with its secret in the header, form-encoded as the RFC wants it."""
        self.journey("oauth4webapi.mjs", CONFIDENTIAL, "client_secret_basic", "RS256")
