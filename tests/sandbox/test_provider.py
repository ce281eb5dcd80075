"""The sandbox as an OAuth2 provider: authorization, tokens, keys, and the login page."""

from __future__ import annotations

from base64 import b64decode, b64encode, urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.login import next_url
from ropg_twisted.sandbox.oauth2.applications import APPLICATIONS, CONFIDENTIAL_SECRET, LOOPBACK_URI
from tests.sandbox_browser import DEFAULT, START, Answer, Browser, SandboxTestCase, account

OAUTH = "/application/o/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
VERIFIER = "a-verifier-of-at-least-43-characters-0123456789"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ISSUER = "http://127.0.0.1/application/o/jamf-connect/"


class ProviderTestCase(SandboxTestCase):
    """A sandbox, and a browser that can bring codes to a client."""

    def log_in(self, name: str = "alice", password: str = USUAL_PASSWORD) -> Browser:
        """A browser in which somebody has logged in."""
        browser = Browser(self.sandbox)
        self.assert_redirect(browser.walk(DEFAULT, name, password))
        return browser

    def authorize(self, browser: Browser | None = None, /, **changes: str | None) -> Answer:
        """The answer to an authorization request; a change to None leaves a parameter out."""
        usual = {
            "client_id": "jamf-connect",
            "response_type": "code",
            "redirect_uri": LOOPBACK_URI,
            "scope": "openid profile email",
            "state": "x",
            "nonce": "y",
        }
        query = {name: value for name, value in (usual | changes).items() if value is not None}
        return (browser or self.browser).ask("GET", f"{OAUTH}authorize/?{urlencode(query)}")

    def bring(self, browser: Browser | None = None, /, **changes: str | None) -> str:
        """A code for somebody who is logged in, alice unless a browser is given."""
        answer = self.authorize(browser or self.log_in(), **changes)
        self.assertEqual(answer.status, 302)
        return location(answer)["code"]

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> Answer:
        """The answer to a form, from a client that has no cookies."""
        return Browser(self.sandbox).ask(
            "POST", OAUTH + path, urlencode(fields), FORM | (headers or {})
        )

    def redeem(self, code: str, headers: dict[str, str] | None = None, /, **changes: str) -> Answer:
        """The answer to a code."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": "jamf-connect",
            "redirect_uri": LOOPBACK_URI,
        }
        return self.post("token/", headers, **(fields | changes))

    def refresh(self, token: str, **changes: str) -> Answer:
        """The answer to a refresh token."""
        fields = {"grant_type": "refresh_token", "refresh_token": token}
        return self.post("token/", **({"client_id": "jamf-connect"} | fields | changes))

    def tokens(self, browser: Browser | None = None, /, **changes: str | None) -> dict[str, Any]:
        """The tokens for somebody who is logged in, alice unless a browser is given."""
        answer = self.redeem(self.bring(browser, **changes))
        self.assertEqual(answer.status, 200)
        tokens: dict[str, Any] = answer.json
        return tokens

    def userinfo(self, token: str) -> Answer:
        """The answer to an access token."""
        headers = {"Authorization": f"Bearer {token}"}
        return Browser(self.sandbox).ask("GET", f"{OAUTH}userinfo/", headers=headers)

    def assert_refused(self, answer: Answer, error: str, message: object = None) -> None:
        """Assert that the token endpoint refused with this error."""
        self.assertEqual((answer.status, answer.json["error"]), (400, error), message)


class PublishedTests(ProviderTestCase):
    """What a client learns before anybody logs in."""

    def test_urls_are_those_that_the_client_uses(self) -> None:
        """Host and scheme of the request, or of the proxy, are in every URL and in ``iss``."""
        path = f"{OAUTH}jamf-connect/.well-known/openid-configuration"
        for headers, base in (
            ({"Host": "127.0.0.1:8581"}, "http://127.0.0.1:8581"),
            ({"Host": "id.example.com", "X-Forwarded-Proto": "https"}, "https://id.example.com"),
        ):
            document = self.browser.ask("GET", path, headers=headers).json
            self.assertEqual(document["issuer"], f"{base}/application/o/jamf-connect/")
            self.assertEqual(document["jwks_uri"], f"{base}/application/o/jamf-connect/jwks/")
            self.assertEqual(document["token_endpoint"], f"{base}/application/o/token/")
            answer = self.redeem(self.bring(), headers)
            self.assertEqual(claims(answer.json["id_token"])["iss"], document["issuer"])

    def test_the_client_id_need_not_be_the_slug(self) -> None:
        """The slug is in URLs, the client id in requests and in ``aud``."""
        application = APPLICATIONS["mac-fleet"]
        self.assertNotEqual(application.client_id, application.slug)
        code = self.bring(client_id=application.client_id)
        token = self.redeem(code, client_id=application.client_id).json["id_token"]
        self.assertEqual(claims(token)["aud"], application.client_id)
        self.assertEqual(claims(token)["iss"], "http://127.0.0.1/application/o/mac-fleet/")
        self.assertEqual(self.authorize(client_id=application.slug).status, 400)

    def test_tokens_verify_with_the_published_key(self) -> None:
        """So do access tokens; and the certificate is that of the key."""
        keys = self.keys()
        for name in ("id_token", "access_token"):
            token = self.tokens()[name]
            key = keys[jwt.get_unverified_header(token)["kid"]]
            options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            jwt.decode(token, key, audience="jamf-connect", issuer=ISSUER, options=options)
        [published] = self.browser.ask("GET", f"{OAUTH}jamf-connect/jwks/").json["keys"]
        certificate = load_der_x509_certificate(b64decode(published["x5c"][0]))
        self.assertEqual(certificate.public_key(), keys[published["kid"]].key)

    def test_without_a_key_the_secret_signs(self) -> None:
        """Such an application publishes an empty document in place of keys."""
        client = {"client_id": "jamf-connect-nokey"}
        answer = self.redeem(self.bring(**client), client_secret=CONFIDENTIAL_SECRET, **client)
        options: Any = {"verify_exp": False, "verify_iat": False}
        jwt.decode(
            answer.json["id_token"],
            CONFIDENTIAL_SECRET,
            ["HS256"],
            audience="jamf-connect-nokey",
            options=options,
        )
        self.assertEqual(self.browser.ask("GET", f"{OAUTH}jamf-connect-nokey/jwks/").json, {})

    def test_a_new_key_takes_the_place_of_the_old_one(self) -> None:
        """The old one is no longer published; access tokens live on, as they are looked up."""
        old = self.tokens()
        self.sandbox.provider.rotate_key()
        new = self.tokens()
        kids = [jwt.get_unverified_header(tokens["id_token"])["kid"] for tokens in (old, new)]
        self.assertNotEqual(*kids)
        self.assertEqual([key.key_id for key in self.keys().keys], kids[1:])
        self.assertEqual(self.userinfo(old["access_token"]).status, 200)

    def test_unknown_applications_are_not_found(self) -> None:
        """So is everything else that is not there; other methods are 405 with an empty body."""
        for path in ("nope/jwks/", "nope/.well-known/openid-configuration", "nope/", "token"):
            answer = self.browser.ask("GET", OAUTH + path)
            self.assertEqual(answer.status, 404, path)
            self.assertEqual(answer.values("content-type"), ["text/html; charset=utf-8"], path)
        for method, path, allow in (
            ("GET", "token/", "POST, OPTIONS"),
            ("PUT", "userinfo/", "GET, POST, HEAD, OPTIONS"),
            ("POST", "jamf-connect/jwks/", "GET, HEAD, OPTIONS"),
        ):
            answer = self.browser.ask(method, OAUTH + path)
            got = (answer.status, answer.body, answer.values("allow"))
            self.assertEqual(got, (405, b"", [allow]), path)

    def test_the_front_page_lists_the_applications(self) -> None:
        """It has client ids, redirect URIs and the secrets of those that need one."""
        page = self.browser.ask("GET", "/").body.decode()
        for application in APPLICATIONS.values():
            for text in (application.client_id, *application.redirect_uris):
                self.assertIn(f"<code>{text}</code>", page)
        self.assertIn(CONFIDENTIAL_SECRET, page)

    def keys(self) -> jwt.PyJWKSet:
        """The published keys."""
        document = self.browser.ask("GET", f"{OAUTH}jamf-connect/jwks/").json
        return jwt.PyJWKSet.from_dict(document)


class AuthorizationTests(ProviderTestCase):
    """Where the browser is sent."""

    def test_a_session_brings_a_code(self) -> None:
        """The redirect has a code of 32 hex digits and the state, and the cookie comes again."""
        answer = self.authorize(self.log_in(), state="a b&c")
        self.assertTrue(answer.values("location")[0].startswith(f"{LOOPBACK_URI}?code="))
        self.assertRegex(location(answer)["code"], "^[0-9a-f]{32}$")
        self.assertEqual(location(answer)["state"], "a b&c")
        self.assertEqual(len(answer.values("set-cookie")), 1)

    def test_what_cannot_be_sent_back_is_a_page(self) -> None:
        """A stranger, a redirect URI that is not registered, and a person who is refused."""
        for name, changes, status in (
            ("alice", {"client_id": "nope"}, 400),
            ("alice", {"client_id": None}, 400),
            ("alice", {"redirect_uri": "https://127.0.0.1/evil"}, 400),
            ("alice", {"redirect_uri": None}, 400),
            ("grace", {}, 200),
        ):
            answer = self.authorize(self.log_in(name), **changes)
            self.assertEqual((answer.status, answer.values("location")), (status, []), changes)
            self.assertIn(b"This is a sandbox", answer.body)
        self.assertEqual(self.browser.ask("GET", f"{OAUTH}authorize/").status, 404)

    def test_a_policy_is_of_one_application(self) -> None:
        """Grace may use the other one."""
        self.bring(self.log_in("grace"), client_id="jamf-connect-confidential")

    def test_wrong_requests_are_sent_back_with_an_error(self) -> None:
        """The client is told, whether somebody is logged in or not."""
        table: tuple[tuple[dict[str, str | None], str], ...] = (
            ({"response_type": "id_token"}, "unsupported_response_type"),
            ({"response_type": None}, "unsupported_response_type"),
            ({"request": "a.b.c"}, "request_not_supported"),
            ({"code_challenge": "c", "code_challenge_method": "S512"}, "invalid_request"),
        )
        for browser in (self.log_in(), Browser(self.sandbox)):
            for changes, error in table:
                answer = self.authorize(browser, **changes)
                self.assertEqual(answer.status, 302, changes)
                got = location(answer)
                self.assertEqual((got["error"], got["state"]), (error, "x"), changes)
                self.assertIn("error_description", got)

    def test_without_a_session_somebody_has_to_log_in(self) -> None:
        """The browser goes to the login page, or back at once if it may not ask."""
        answer = self.authorize(prompt="none")
        self.assertEqual(location(answer)["error"], "login_required")
        answer = self.authorize()
        self.assertEqual(answer.status, 302)
        self.assertTrue(answer.values("location")[0].startswith(f"/if/flow/{DEFAULT}/?next="))

    def test_with_a_session_nobody_is_asked(self) -> None:
        """``prompt=none`` then brings a code."""
        self.assertEqual(len(self.bring(prompt="none")), 32)

    def test_scopes_are_those_that_are_asked_for_and_allowed(self) -> None:
        """Unknown ones go in silence, and who asks for none gets all."""
        for scope, granted in (
            ("openid", "openid"),
            ("openid openid nonsense email", "openid email"),
            ("nonsense", ""),
            ("", "openid email profile offline_access"),
            (None, "openid email profile offline_access"),
        ):
            self.assertEqual(self.tokens(scope=scope)["scope"], granted, scope)


class LoginPageTests(ProviderTestCase):
    """A person in a browser, or a script that posts the form."""

    def fill_in(self, answer: Answer, browser: Browser | None = None, /, **fields: str) -> Answer:
        """The answer to the form at the place that an answer leads to."""
        page = answer.values("location")[0]
        browser = browser or self.browser
        self.assertIn(b"<title>Sandbox: log in", browser.ask("GET", page).body)
        return browser.ask("POST", page, urlencode(fields), FORM)

    def test_a_login_leads_back_to_the_client(self) -> None:
        """From the first request to tokens, with nothing but redirects and one form."""
        asked = self.authorize()
        answer = self.fill_in(asked, uid_field="alice", password=USUAL_PASSWORD)
        self.assertEqual(answer.status, 302)
        self.assertTrue(self.browser.claims["authenticated"])
        answer = self.browser.ask("GET", answer.values("location")[0])
        tokens = self.redeem(location(answer)["code"]).json
        self.assertEqual(claims(tokens["id_token"])["preferred_username"], "alice")
        self.assertEqual(self.browser.ask("GET", asked.values("location")[0]).status, 302)

    def test_it_is_the_flow_that_logs_in(self) -> None:
        """Events, sessions and cookies are those of a login by the executor."""
        self.fill_in(self.authorize(), uid_field="alice", password="wrong")
        self.fill_in(self.authorize(), uid_field="alice", password=USUAL_PASSWORD)
        kinds = [(event.kind, event.username) for event in self.sandbox.events]
        self.assertEqual(kinds, [("login_failed", "alice"), ("login", "alice")])
        self.assertEqual(len(self.sandbox.sessions.authenticated), 1)
        names = {"authentik_device", "authentik_csrf", "authentik_session"}
        self.assertEqual(set(self.browser.jar), names)

    def test_what_is_wrong_is_said_on_the_page(self) -> None:
        """It comes again with the executor's own text, and without what was typed."""
        for fields, text in (
            ({"uid_field": "alice", "password": "some-typed-text"}, "Invalid password"),
            ({"uid_field": "nobody", "password": "some-typed-text"}, "Invalid password"),
            ({"uid_field": "alice"}, "This field is required."),
            ({}, "No identification data provided."),
            ({"uid_field": "bob", "password": USUAL_PASSWORD}, "Empty response"),
        ):
            answer = self.fill_in(self.authorize(), Browser(self.sandbox), **fields)
            self.assertEqual(answer.status, 200, fields)
            self.assertIn(text, answer.body.decode())
            self.assertNotIn(b"some-typed-text", answer.body)

    def test_another_try_begins_anew(self) -> None:
        """After a wrong password of one person, another one can log in."""
        self.fill_in(self.authorize(), uid_field="bob", password="wrong")
        answer = self.fill_in(self.authorize(), uid_field="alice", password=USUAL_PASSWORD)
        self.assertEqual(answer.status, 302)

    def test_a_second_factor_goes_with_the_password(self) -> None:
        """Bob needs his code, and his tokens tell of it."""
        code = self.code("bob")
        fields = {"uid_field": "bob", "password": USUAL_PASSWORD, "code": code}
        self.assertEqual(self.fill_in(self.authorize(), **fields).status, 302)
        self.assertEqual(claims(self.tokens(self.browser)["id_token"])["amr"], ["pwd", "mfa"])

    def test_no_flow_keeps_the_page_from_ending(self) -> None:
        """Every flow either logs in or says where it stopped."""
        for slug in self.sandbox.flows:
            for password in (USUAL_PASSWORD, "wrong"):
                browser = Browser(self.sandbox)
                body = urlencode({"uid_field": "alice", "password": password})
                answer = browser.ask("POST", f"/if/flow/{slug}/", body, FORM)
                authenticated = bool(self.sandbox.sessions.authenticated)
                self.assertEqual(answer.status, 302 if authenticated else 200, slug)
                for row in self.sandbox.sessions.authenticated:
                    self.sandbox.sessions.end(row)
        self.assertEqual(self.browser.ask("GET", "/if/flow/nothing/").status, 404)

    @given(st.text())
    def test_it_leads_to_no_other_host(self, target: str) -> None:
        """Wherever it leads is a path of the sandbox."""
        for text in (target, f"//{target}", f"/\\{target}", f"https://{target}", f"/{target}"):
            self.assertRegex(next_url(text), r"^/(?![/\\])")
        self.assertEqual(next_url(None), "/")
        self.assertEqual(next_url("/a/?b=c"), "/a/?b=c")


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

    def test_a_challenge_wants_its_verifier(self) -> None:
        """And a verifier wants a challenge (RFC 7636, against a downgrade)."""
        s256 = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        plain = {"code_challenge": VERIFIER, "code_challenge_method": "plain"}
        default = {"code_challenge": VERIFIER}
        for challenge, verifier, status in (
            (s256, VERIFIER, 200),
            (s256, CHALLENGE, 400),
            (s256, "", 400),
            (s256, None, 400),
            (plain, VERIFIER, 200),
            (plain, CHALLENGE, 400),
            (plain, None, 400),
            (default, VERIFIER, 200),
            ({}, VERIFIER, 400),
            ({}, None, 200),
        ):
            fields = {} if verifier is None else {"code_verifier": verifier}
            answer = self.redeem(self.bring(**challenge), **fields)
            self.assertEqual(answer.status, status, (challenge, verifier))

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
        """What comes after a logout names no session, and lives by itself."""
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
    """What an access token opens."""

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


def location(answer: Answer) -> dict[str, str]:
    """Return the parameters of the URL that the browser is sent to, each once."""
    query = urlsplit(answer.values("location")[0]).query
    return {name: value for name, [value] in parse_qs(query, keep_blank_values=True).items()}


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token, without a look at its signature."""
    return jwt.decode(token, options={"verify_signature": False})
