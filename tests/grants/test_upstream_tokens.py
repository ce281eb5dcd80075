"""Passwords that bring Authentik's own tokens, and what its application says to a login."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from ropg_twisted.sandbox.oauth2.applications import CONFIDENTIAL_SECRET
from tests.client import Reply
from tests.composition import AUTHENTIK, ISSUER
from tests.memory import AUTHORIZE, OAUTH, TOKEN, InMemoryDaemon, claims, signing_key
from tests.sandbox_browser import DEFAULT, EXECUTOR

REDIRECT = "https://127.0.0.1/jamfconnect"
CLIENT = f"""
    [[clients]]
    id = "jamf-connect"
    tokens = "authentik"
    redirect_uri = "{REDIRECT}"
    """
FLOW = f"{EXECUTOR}{DEFAULT}/"
ACCESS = "/api/v3/core/applications/jamf-connect/check_access/"
LATER = (503, "temporarily_unavailable")


def refused(reply: Reply) -> tuple[int, str]:
    """Status and code of an error."""
    return reply.status, reply.json["error"]


def sends_to(location: str, status: int = 302) -> Callable[[Request], int]:
    """An answer that sends the browser on; ``{state}`` in it is the state of the request."""

    def answer(request: Request) -> int:
        [state] = parse_qs(request.uri.decode().partition("?")[2])["state"]
        request.setHeader("Location", location.replace("{state}", quote(state)))
        return status

    return answer


class ForeignTokensTests(SynchronousTestCase):
    """``tokens = "authentik"``."""

    def test_a_password_brings_authentiks_tokens(self) -> None:
        """Access token and times are Authentik's, the id token is under our issuer."""
        daemon = InMemoryDaemon(self, CLIENT)
        answer = daemon.password("alice", scope="openid profile", nonce="a nonce").json
        self.assertEqual(
            set(answer), {"access_token", "token_type", "scope", "expires_in", "id_token"}
        )
        self.assertEqual((answer["token_type"], answer["scope"]), ("Bearer", "openid profile"))
        theirs = claims(answer["access_token"])
        self.assertEqual(theirs["iss"], f"{AUTHENTIK}{OAUTH}jamf-connect/")
        expected = {k: v for k, v in theirs.items() if k not in ("azp", "uid", "scope")}
        ours = daemon.verified(answer["id_token"])
        self.assertEqual(ours, {**expected, "iss": ISSUER})
        self.assertEqual((ours["nonce"], ours["amr"]), ("a nonce", ["pwd"]))
        self.assertNotIn("email", ours)
        self.assertEqual(daemon.logged("reason"), ["verified"])

    def test_its_refresh_token_refreshes(self) -> None:
        """With ``offline_access`` there is one, and it outlives the session."""
        for extra, asked in (("", "openid offline_access"), ("extra_scopes='offline_access'", "")):
            daemon = InMemoryDaemon(self, CLIENT + extra)
            answer = daemon.password("alice", scope=asked).json
            for row in daemon.sandbox.sessions.authenticated:
                daemon.sandbox.sessions.end(row)
            for _ in range(2):
                form = {"client_id": "jamf-connect", "refresh_token": answer["refresh_token"]}
                answer = daemon.post("/oauth/token", {"grant_type": "refresh_token", **form}).json
                self.assertEqual(daemon.verified(answer["id_token"])["iss"], ISSUER)
                self.assertEqual(daemon.userinfo(answer["access_token"]).status, 200)

    def test_a_client_may_not_have_every_scope(self) -> None:
        """A scope that its table leaves out is not asked for, whoever wants it."""
        daemon = InMemoryDaemon(self, CLIENT + 'scopes = "openid email"')
        answer = daemon.password("alice", scope="openid profile offline_access").json
        self.assertEqual(answer["scope"], "openid")
        self.assertNotIn("refresh_token", answer)
        self.assertEqual(daemon.password("alice").json["scope"], "openid email")
        extra = 'scopes = "openid email"\nextra_scopes = "email offline_access"'
        answer = InMemoryDaemon(self, CLIENT + extra).password("alice", scope="openid").json
        self.assertEqual(answer["scope"], "openid email")
        self.assertNotIn("refresh_token", answer)

    def test_the_session_lives_as_long_as_the_token_needs_it(self) -> None:
        """Authentik's access tokens die with their session, so it is left; ours need none."""
        for toml, left in ((CLIENT, 1), ("", 0)):
            daemon = InMemoryDaemon(self, toml)
            token = daemon.password("alice").json["access_token"]
            self.assertEqual(len(daemon.sandbox.sessions.authenticated), left)
            self.assertEqual(daemon.userinfo(token).json["preferred_username"], "alice")

    def test_the_code_is_proved(self) -> None:
        """PKCE by S256, a state and a verifier that are new each time, and the client's secret."""
        client_id = "jamf-connect-confidential"
        toml = CLIENT.replace('"jamf-connect"', f'"{client_id}"')
        daemon = InMemoryDaemon(self, f'{toml}secret = "{CONFIDENTIAL_SECRET}"')
        seen = set()
        for _ in range(2):
            daemon.authentik.requests.clear()
            reply = daemon.password(
                "alice", client_id=client_id, client_secret=CONFIDENTIAL_SECRET, scope="openid"
            )
            self.assertEqual(reply.status, 200)
            authorize, token = (
                next(received for received in daemon.authentik.requests if received.path == path)
                for path in (AUTHORIZE, TOKEN)
            )
            asked = {name: value for name, [value] in parse_qs(authorize.query).items()}
            digest = sha256(token.form["code_verifier"].encode()).digest()
            self.assertEqual(
                asked,
                {
                    "response_type": "code",
                    "client_id": client_id,
                    "redirect_uri": REDIRECT,
                    "scope": "openid",
                    "state": asked["state"],
                    "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
                    "code_challenge_method": "S256",
                },
            )
            self.assertEqual(
                {k: v for k, v in token.form.items() if k not in ("code", "code_verifier")},
                {
                    "grant_type": "authorization_code",
                    "redirect_uri": REDIRECT,
                    "client_id": client_id,
                    "client_secret": CONFIDENTIAL_SECRET,
                },
            )
            self.assertRegex(token.form["code_verifier"], r"^[\w.~-]{43,128}$")
            seen |= {asked["state"], token.form["code_verifier"], token.form["code"]}
        self.assertEqual(len(seen), 6)
        self.assertEqual([text for text in seen if text in repr(daemon.events)], [])

    def test_no_code_is_no_verdict(self) -> None:
        """Another response than the redirect with our code is answered with *later*."""
        ours = REDIRECT + "?code=x&state={state}"
        answers: list[tuple[str, Any]] = [
            ("a page that refuses", lambda request: b""),
            ("an error", sends_to(REDIRECT + "?error=access_denied&state={state}")),
            ("no state", sends_to(REDIRECT + "?code=x")),
            ("another state", sends_to(REDIRECT + "?code=x&state=canary")),
            ("two states", sends_to(REDIRECT + "?code=x&state={state}&state={state}")),
            ("two codes", sends_to(REDIRECT + "?code=x&code=y&state={state}")),
            ("an empty code", sends_to(REDIRECT + "?code=&state={state}")),
            ("another place", sends_to("https://127.0.0.1/other?code=x&state={state}")),
            ("another host", sends_to("https://example.com/jamfconnect?code=x&state={state}")),
            ("a longer path", sends_to(REDIRECT + "x?code=x&state={state}")),
            ("a fragment", sends_to(REDIRECT + "#code=x&state={state}")),
            ("the login page", sends_to("/if/flow/default-authentication-flow/?next=x")),
            ("no redirect", 400),
            *(
                (f"our code with {status}", sends_to(ours, status))
                for status in (200, 301, 303, 307)
            ),
            ("not there", 404),
        ]
        for name, answer in answers:
            daemon = InMemoryDaemon(self, CLIENT)
            daemon.authentik.overrides[AUTHORIZE] = answer
            self.assertEqual(refused(daemon.password("alice")), LATER, name)
            self.assertEqual(daemon.logged("reason"), ["application_no_code"], name)
            self.assertEqual(daemon.sandbox.sessions.authenticated, [], name)
            self.assertEqual(daemon.authentik.count("POST", TOKEN), 0, name)
            self.assertEqual(daemon.authentik.count("GET", AUTHORIZE), 1, name)

    def test_a_wrong_redirect_uri_is_found_by_the_first_login(self) -> None:
        """Authentik does not know it, and no password is called wrong for it."""
        daemon = InMemoryDaemon(self, CLIENT.replace(REDIRECT, "https://127.0.0.1/unregistered"))
        self.assertEqual(refused(daemon.password("alice")), LATER)
        self.assertEqual(daemon.logged("reason"), ["application_no_code"])
        self.assertEqual(daemon.sandbox.sessions.authenticated, [])
        self.assertEqual(refused(daemon.password("alice", "wrong")), (400, "invalid_grant"))

    def test_no_fault_behind_the_password_makes_it_be_sent_again(self) -> None:
        """A second login costs Authentik, and a code of a second factor works only once."""
        for path in (ACCESS, AUTHORIZE, TOKEN, "/api/v3/core/users/me/"):
            for fault in (500, 502, b"not JSON"):
                daemon = InMemoryDaemon(self, CLIENT)
                daemon.authentik.overrides[path] = fault
                self.assertEqual(refused(daemon.password("alice")), LATER, (path, fault))
                self.assertEqual(len(daemon.logged("reason")), 1)
                self.assertEqual(daemon.sandbox.sessions.authenticated, [], (path, fault))
                sent = [
                    received
                    for received in daemon.authentik.requests
                    if b'"password"' in received.body
                ]
                self.assertEqual(len(sent), 1, (path, fault))

    def test_tokens_that_do_not_verify_are_not_handed_out(self) -> None:
        """A provider without a key, or a strange id token: *later*, and no session is left."""
        strange = {"access_token": "x", "id_token": signing_key(1).sign({"sub": "x"})}
        client_id = "jamf-connect-nokey"
        no_key = CLIENT.replace('"jamf-connect"', f'"{client_id}"')
        no_key += f'secret = "{CONFIDENTIAL_SECRET}"'
        secret = {"client_id": client_id, "client_secret": CONFIDENTIAL_SECRET}
        for toml, form, answer in (
            (CLIENT, {}, json.dumps(strange).encode()),
            (no_key, secret, None),
        ):
            daemon = InMemoryDaemon(self, toml)
            if answer is not None:
                daemon.authentik.overrides[TOKEN] = answer
            self.assertEqual(refused(daemon.password("alice", **form)), LATER)
            self.assertEqual(daemon.sandbox.sessions.authenticated, [])

    def test_what_is_no_right_password_brings_no_tokens(self) -> None:
        """Wrong, second factor, policy, disabled: the answers are those for our own tokens."""
        daemon = InMemoryDaemon(self, CLIENT)
        for username, password, error in (
            ("alice", "wrong", "invalid_grant"),
            ("bob", None, "interaction_required"),
            ("grace", None, "access_denied"),
            ("carol", None, "invalid_grant"),
        ):
            reply = daemon.password(username, *([] if password is None else [password]))
            self.assertEqual(refused(reply), (400, error), username)
        self.assertEqual(daemon.authentik.count("GET", AUTHORIZE), 0)
        self.assertEqual(daemon.sandbox.sessions.authenticated, [])


class CheckAccessTests(SynchronousTestCase):
    """Access to the application."""

    def test_authentiks_policies_are_asked(self) -> None:
        """A refused user is denied, once the password is right; nobody else is asked about."""
        for environ, username, password, expected, asked in (
            ({}, "alice", "right", 200, 1),
            ({}, "grace", "right", (400, "access_denied"), 1),
            ({}, "grace", "wrong", (400, "invalid_grant"), 0),
            ({}, "bob", "right", (400, "interaction_required"), 0),
            ({"ROPG_CHECK_ACCESS": "off"}, "grace", "right", 200, 0),
            ({"ROPG_APP_SLUG": "mac-fleet"}, "grace", "right", 200, 1),
            ({"CLIENT_ID": "unknown"}, "grace", "right", 200, 1),
        ):
            daemon = InMemoryDaemon(self, **environ)
            more = {"client_id": environ.get("CLIENT_ID", "jamf-connect")}
            reply = (
                daemon.password(username, "no such password", **more)
                if password == "wrong"
                else daemon.password(username, **more)
            )
            found = 200 if reply.status == 200 else refused(reply)
            self.assertEqual(found, expected, (environ, username))
            paths = [received.path for received in daemon.authentik.requests]
            self.assertEqual(sum("check_access" in path for path in paths), asked, username)
            self.assertEqual(daemon.sandbox.sessions.authenticated, [], username)
            reason = {"grace": "policy", "bob": "mfa"}.get(username, "verified")
            if expected == 200:
                reason = "verified"
            if password == "wrong":
                reason = "wrong_credentials"
            self.assertEqual(daemon.logged("reason"), [reason], username)

    def test_an_application_that_is_named_and_missing(self) -> None:
        """No answer about the password: whoever may use nothing is not let in by accident."""
        daemon = InMemoryDaemon(self, ROPG_APP_SLUG="unknown")
        self.assertEqual(refused(daemon.password("alice")), LATER)
        self.assertEqual(daemon.logged("reason"), ["application_missing"])
        self.assertEqual(refused(daemon.password("alice", "wrong")), (400, "invalid_grant"))
        self.assertEqual(daemon.sandbox.sessions.authenticated, [])

    def test_an_answer_that_says_nothing(self) -> None:
        """Only ``true`` lets in, and only ``false`` denies."""
        for answer in (b'{"passing":"true"}', b'{"passing":1}', b"{}", b"[]", 403, 500):
            daemon = InMemoryDaemon(self)
            daemon.authentik.overrides[ACCESS] = answer
            self.assertEqual(refused(daemon.password("alice")), LATER, answer)
            self.assertEqual(daemon.sandbox.sessions.authenticated, [], answer)
