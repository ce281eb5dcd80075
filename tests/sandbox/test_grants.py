"""The sandbox's token endpoint, and what its tokens open."""

from __future__ import annotations

from base64 import b64encode

from twisted.logger import capturedLogs

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.oauth2.applications import APPLICATIONS, CONFIDENTIAL_SECRET
from tests.memory import CHALLENGE, OAUTH, VERIFIER, claims
from tests.parametrize import parametrize
from tests.sandbox.provider_cases import ProviderTestCase
from tests.sandbox_browser import START, account

S256 = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
PLAIN = {"code_challenge": VERIFIER, "code_challenge_method": "plain"}
DEFAULT_METHOD = {"code_challenge": VERIFIER}


class CodeTests(ProviderTestCase):
    """From code to tokens."""

    def test_the_answer_has_all_that_the_scopes_give(self) -> None:
        """There is a refresh token with ``offline_access`` and none without."""
        usual = {"access_token", "token_type", "scope", "expires_in", "id_token"}
        self.assertEqual(set(self.tokens()), usual)
        tokens = self.tokens(scope="openid offline_access")
        self.assertEqual(set(tokens), {*usual, "refresh_token"})
        self.assertEqual((tokens["token_type"], tokens["expires_in"]), ("Bearer", 3600))

    def test_claims_are_of_person_session_and_scopes(self) -> None:
        """Without a scope its claims are missing; no claim hashes the access token."""
        alice = account("alice")
        self.clock.advance(5)
        found = claims(self.tokens(scope="openid")["id_token"])
        self.assertEqual((found["sub"], found["aud"]), (alice.uid, "jamf-connect"))
        self.assertEqual((found["iat"], found["exp"]), (START + 5, START + 3605))
        self.assertEqual((found["nonce"], found["amr"]), ("y", ["pwd"]))
        for name in ("email", "name", "groups", "at_hash", "azp"):
            self.assertNotIn(name, found)
        tokens = self.tokens(scope="openid email profile", nonce=None)
        found = claims(tokens["id_token"])
        self.assertEqual((found["email"], found["email_verified"]), (alice.email, False))
        self.assertEqual((found["name"], found["groups"]), (alice.name, ["mac-admins"]))
        self.assertNotIn("nonce", found)
        access = claims(tokens["access_token"])
        self.assertEqual(set(access) - set(found), {"azp", "uid", "scope"})
        self.assertEqual(access["jti"], found["jti"])

    def test_auth_time_is_that_of_the_login(self) -> None:
        """It stays when code and tokens come later."""
        browser = self.log_in()
        self.clock.advance(100)
        found = claims(self.tokens(browser)["id_token"])
        self.assertEqual((found["auth_time"], found["iat"]), (START, START + 100))

    def test_an_app_password_is_no_method(self) -> None:
        """A login by an app password leaves ``amr`` out."""
        app_password = account("alice").app_password
        assert app_password is not None
        found = claims(self.tokens(self.log_in("alice", app_password))["id_token"])
        self.assertNotIn("amr", found)

    def test_a_code_works_once_and_for_a_minute(self) -> None:
        """A code that is refused for another reason is not spent by it."""
        code = self.bring()
        self.assert_refused(self.redeem(code, redirect_uri="https://x/"), "invalid_client")
        self.clock.advance(59)
        self.assertEqual(self.redeem(code).status, 200)
        self.assert_refused(self.redeem(code), "invalid_grant")
        code = self.bring()
        self.clock.advance(60)
        self.assert_refused(self.redeem(code), "invalid_grant")

    def test_a_code_is_bound(self) -> None:
        """It is worth nothing to another client, with another redirect URI, or without one."""
        code = self.bring()
        other = APPLICATIONS["mac-fleet"].client_id
        self.assert_refused(self.redeem(code, client_id=other), "invalid_grant")
        uri = "https://127.0.0.1/jamfconnect"
        self.assert_refused(self.redeem(code, redirect_uri=uri), "invalid_grant")
        self.assert_refused(self.redeem(code, redirect_uri=""), "invalid_client")
        self.assert_refused(self.redeem(""), "invalid_grant")

    def test_a_code_dies_with_its_session(self) -> None:
        """After a logout it brings no tokens."""
        browser = self.log_in()
        code = self.bring(browser)
        browser.get("default-invalidation-flow")
        self.assert_refused(self.redeem(code), "invalid_grant")

    @parametrize(
        {
            "S256": (S256, VERIFIER, 200),
            "S256, wrong": (S256, CHALLENGE, 400),
            "S256, empty": (S256, "", 400),
            "S256, none": (S256, None, 400),
            "plain": (PLAIN, VERIFIER, 200),
            "plain, wrong": (PLAIN, CHALLENGE, 400),
            "plain, none": (PLAIN, None, 400),
            "no method": (DEFAULT_METHOD, VERIFIER, 200),
            "no challenge": ({}, VERIFIER, 400),
            "neither": ({}, None, 200),
        }
    )
    def test_code_verifier(
        self, challenge: dict[str, str], verifier: str | None, status: int
    ) -> None:
        """And a verifier wants a challenge (RFC 7636, against a downgrade)."""
        fields = {} if verifier is None else {"code_verifier": verifier}
        answer = self.redeem(self.bring(**challenge), **fields)
        self.assertEqual(answer.status, status)

    def test_a_confidential_client_needs_its_secret(self) -> None:
        """In the body or by Basic, and Basic counts where there are both."""
        client = {"client_id": "jamf-connect-confidential"}
        right = b64encode(f"jamf-connect-confidential:{CONFIDENTIAL_SECRET}".encode()).decode()
        wrong = b64encode(b"jamf-connect-confidential:wrong").decode()
        secret = {"client_secret": CONFIDENTIAL_SECRET}
        for basic, fields, works in (
            (None, secret, True),
            (right, {}, True),
            (right, {"client_secret": "wrong"}, True),
            (wrong, secret, False),
            ("%%%", secret, False),
            (None, {"client_secret": "wrong"}, False),
            (None, {}, False),
        ):
            headers = {} if basic is None else {"Authorization": f"Basic {basic}"}
            answer = self.redeem(self.bring(**client), headers, **client, **fields)
            if works:
                self.assertEqual(answer.status, 200, (basic, fields))
            else:
                self.assert_refused(answer, "invalid_client", (basic, fields))

    def test_errors_have_a_request_id_of_their_own(self) -> None:
        """Nothing else differs from one to the next, and nobody may keep them."""
        answers = [self.redeem("bad") for _ in range(2)]
        bodies = [answer.json for answer in answers]
        self.assertNotEqual(*(body.pop("request_id") for body in bodies))
        self.assertEqual(*bodies)
        self.assertEqual(answers[0].values("cache-control"), ["no-store"])


class RefreshTests(ProviderTestCase):
    """From refresh token to tokens."""

    def setUp(self) -> None:
        super().setUp()
        self.person_browser = self.log_in()
        self.first = self.tokens(self.person_browser, scope="openid profile offline_access")

    def test_each_refresh_token_works_once(self) -> None:
        """The next one works in its place."""
        second = self.refresh(self.first["refresh_token"]).json
        self.assert_refused(self.refresh(self.first["refresh_token"]), "invalid_grant")
        self.assertEqual(set(second), set(self.first))
        self.assertEqual(self.refresh(second["refresh_token"]).status, 200)

    def test_new_tokens_tell_of_the_old_login(self) -> None:
        """They keep ``auth_time`` and ``sid``, and lose the nonce."""
        self.clock.advance(7)
        second = self.refresh(self.first["refresh_token"]).json
        before, after = claims(self.first["id_token"]), claims(second["id_token"])
        self.assertEqual(set(before) - set(after), {"nonce"})
        for name in ("auth_time", "sid", "amr", "sub"):
            self.assertEqual(before[name], after[name], name)
        self.assertEqual(after["iat"], START + 7)
        self.assertEqual(self.userinfo(self.first["access_token"]).json["nonce"], "y")
        self.assertNotIn("nonce", self.userinfo(second["access_token"]).json)

    def test_it_outlives_the_session_and_access_tokens_do_not(self) -> None:
        """A token from after a logout names no session, and lives by itself."""
        self.person_browser.get("default-invalidation-flow")
        self.assertEqual(self.userinfo(self.first["access_token"]).status, 401)
        second = self.refresh(self.first["refresh_token"]).json
        after = claims(second["id_token"])
        self.assertEqual(set(claims(self.first["id_token"])) - set(after), {"nonce", "sid", "amr"})
        self.assertEqual(self.userinfo(second["access_token"]).status, 200)

    def test_it_lives_for_thirty_days(self) -> None:
        """Each new one begins its days anew."""
        days = 24 * 3600
        self.clock.advance(29 * days)
        second = self.refresh(self.first["refresh_token"]).json["refresh_token"]
        self.clock.advance(29 * days)
        third = self.refresh(second).json["refresh_token"]
        self.clock.advance(30 * days)
        self.assert_refused(self.refresh(third), "invalid_grant")

    def test_the_scope_stays_what_it_was(self) -> None:
        """More, or less than ``offline_access``, is refused; anything else changes nothing."""
        token = self.first["refresh_token"]
        for scope in ("openid", "openid email offline_access"):
            self.assert_refused(self.refresh(token, scope=scope), "invalid_scope", scope)
        second = self.refresh(token, scope="openid offline_access").json
        self.assertEqual(second["scope"], self.first["scope"])

    def test_it_is_bound_to_the_client(self) -> None:
        """Another client gets nothing for it, and it is not spent by that."""
        token = self.first["refresh_token"]
        other = APPLICATIONS["mac-fleet"].client_id
        self.assert_refused(self.refresh(token, client_id=other), "invalid_grant")
        self.assert_refused(self.refresh(token, client_id="nope"), "invalid_client")
        self.assertEqual(self.refresh(token).status, 200)


class OtherGrantTests(ProviderTestCase):
    """The grants without a browser."""

    def test_the_native_password_grant_takes_app_passwords_only(self) -> None:
        """By user name only, with no refresh token, session or method."""
        app_password = account("alice").app_password
        assert app_password is not None
        for username, password, status in (
            ("alice", app_password, 200),
            ("alice", USUAL_PASSWORD, 400),
            ("alice@example.com", app_password, 400),
            ("victor", USUAL_PASSWORD, 400),
            ("nobody", "", 400),
        ):
            fields = {"grant_type": "password", "username": username, "password": password}
            scope = "openid offline_access"
            answer = self.post("token/", client_id="jamf-connect", scope=scope, **fields)
            self.assertEqual(answer.status, status, (username, password))
            if status == 200:
                self.assertNotIn("refresh_token", answer.json)
                found = claims(answer.json["id_token"])
                self.assertEqual({"amr", "sid", "nonce"} & set(found), set())
                self.assertEqual(self.userinfo(answer.json["access_token"]).status, 200)

    def test_other_grants_are_unknown(self) -> None:
        """The client is known first, and its secret is not looked at."""
        fields = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
        for client_id, error in (
            ("jamf-connect", "unsupported_grant_type"),
            ("jamf-connect-confidential", "unsupported_grant_type"),
            ("nope", "invalid_client"),
        ):
            answer = self.post("token/", client_id=client_id, **fields)
            self.assert_refused(answer, error, client_id)


class AccessTokenTests(ProviderTestCase):
    """Access tokens at the endpoints that take them."""

    def test_it_can_be_sent_in_three_ways(self) -> None:
        """In the header, in a form, in the URL (RFC 6750); all show the same claims."""
        token = self.tokens()["access_token"]
        by_header = self.userinfo(token)
        self.assertEqual(by_header.json["sub"], account("alice").uid)
        by_form = self.post("userinfo/", access_token=token)
        by_url = self.browser.ask("GET", f"{OAUTH}userinfo/?access_token={token}")
        for answer in (by_form, by_url):
            self.assertEqual((answer.status, answer.json), (200, by_header.json))

    def test_it_lives_for_an_hour(self) -> None:
        """After that, and for anything that is no access token, it is 401 with the reason."""
        tokens = self.tokens()
        self.clock.advance(3599)
        self.assertEqual(self.userinfo(tokens["access_token"]).status, 200)
        self.clock.advance(1)
        for text in (tokens["access_token"], tokens["id_token"], "bad", ""):
            answer = self.userinfo(text)
            self.assertEqual((answer.status, answer.body), (401, b""))
            self.assertIn('error="invalid_token"', answer.values("www-authenticate")[0])

    def test_without_openid_it_opens_nothing(self) -> None:
        """The answer is 403 and says that the scope is too small."""
        answer = self.userinfo(self.tokens(scope="email")["access_token"])
        self.assertEqual(answer.status, 403)
        self.assertIn('error="insufficient_scope"', answer.values("www-authenticate")[0])

    def test_a_client_can_look_into_its_own_tokens(self) -> None:
        """With its secret; all else is not active, and nothing more is said."""
        client = {"client_id": "jamf-connect-confidential", "client_secret": CONFIDENTIAL_SECRET}
        code = self.bring(client_id=client["client_id"], scope="openid offline_access")
        tokens = self.redeem(code, **client).json
        for name in ("access_token", "refresh_token"):
            found = self.post("introspect/", token=tokens[name], **client).json
            self.assertEqual((found["active"], found["client_id"]), (True, client["client_id"]))
            self.assertEqual(found["sub"], account("alice").uid)
        for changes in (
            {"client_secret": "wrong"},
            {"client_id": "jamf-connect-nokey"},
            {"client_id": "nope"},
            {"token": "bad"},
        ):
            answer = self.post(
                "introspect/", **({"token": tokens["access_token"]} | client | changes)
            )
            self.assertEqual((answer.status, answer.json), (200, {"active": False}), changes)

    def test_nothing_secret_is_logged_or_shown(self) -> None:
        """Codes, tokens and verifiers are in no log event and in no repr of what is kept."""
        with capturedLogs() as events:
            code = self.bring(code_challenge=VERIFIER, nonce="a-nonce", scope=None)
            tokens = self.redeem(code, code_verifier=VERIFIER).json
            self.userinfo(tokens["access_token"])
            self.refresh(tokens["refresh_token"])
            kept = repr([self.sandbox.sessions.authenticated, self.sandbox.provider.key])
        text = repr(events) + kept
        sid = self.sandbox.sessions.authenticated[0].sid
        for secret in (code, tokens["access_token"], tokens["refresh_token"], VERIFIER, sid):
            self.assertNotIn(secret, text)
