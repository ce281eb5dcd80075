"""The sandbox as an OAuth2 provider, up to the authorization code."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.login import next_url
from ropg_twisted.sandbox.oauth2.applications import APPLICATIONS, CONFIDENTIAL_SECRET, LOOPBACK_URI
from tests.memory import OAUTH, claims
from tests.parametrize import parametrize
from tests.sandbox.provider_cases import FORM, ISSUER, ProviderTestCase, location
from tests.sandbox_browser import DEFAULT, Answer, Browser


class PublishedTests(ProviderTestCase):
    """The published documents."""

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
    """The redirects of the browser."""

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

    def test_a_provider_without_grant_types(self) -> None:
        """It calls every authorization malformed, and every code and refresh token invalid."""
        client = {"client_id": "jamf-connect-nogrant"}
        for browser in (self.browser, self.log_in()):
            self.assertEqual(
                location(self.authorize(browser, **client))["error"], "invalid_request"
            )
        self.assert_refused(self.redeem(self.bring(), **client), "invalid_grant")
        token = self.tokens(scope="openid offline_access")["refresh_token"]
        refused = self.refresh(token, **client)
        self.assert_refused(refused, "invalid_grant")

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

    @parametrize(
        {
            "openid": ("openid", "openid"),
            "twice and unknown": ("openid openid nonsense email", "openid email"),
            "only unknown": ("nonsense", ""),
            "empty": ("", "openid email profile offline_access"),
            "none": (None, "openid email profile offline_access"),
        }
    )
    def test_scope(self, scope: str | None, granted: str) -> None:
        """Unknown ones go in silence, and who asks for none gets all."""
        self.assertEqual(self.tokens(scope=scope)["scope"], granted)


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
        """Every target is a path of the sandbox."""
        for text in (target, f"//{target}", f"/\\{target}", f"https://{target}", f"/{target}"):
            self.assertRegex(next_url(text), r"^/(?![/\\])")
        self.assertEqual(next_url(None), "/")
        self.assertEqual(next_url("/a/?b=c"), "/a/?b=c")
