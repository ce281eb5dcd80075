"""The sandbox by itself: who gets in with what, and how flows end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD
from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.http.app import Sandbox
from tests.parametrize import parametrize
from tests.sandbox_browser import DEFAULT, EXECUTOR, ME, Browser, SandboxTestCase, account


class LoginTests(SandboxTestCase):
    """Right and wrong credentials in the usual flow."""

    def test_a_right_password_logs_in(self) -> None:
        """The flow ends in a redirect to the root, and the session cookie says who it is."""
        self.assert_redirect(self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD))
        claims = self.browser.claims
        self.assertEqual((claims["authenticated"], claims["sub"]), (True, account("alice").uid))
        self.assertEqual((claims["iss"], len(claims["sid"])), ("authentik", 32))

    def test_everybody_without_a_device_logs_in_with_the_listed_password(self) -> None:
        """Each password of the list works as it stands, blanks and all, unless disabled."""
        for who in ACCOUNTS:
            if who.totp_key is None and not who.static_tokens:
                browser = Browser(self.sandbox)
                answer = browser.walk(DEFAULT, who.username, who.password)
                wanted = "xak-flow-redirect" if who.active else "ak-stage-password"
                self.assertEqual(answer.component, wanted, who.username)
                self.assertEqual(browser.claims["authenticated"], who.active, who.username)

    def test_erins_password_holds_every_awkward_character(self) -> None:
        """It has outer blanks, both quotes, signs of URL encoding and letters beyond ASCII."""
        password = account("erin").password
        for piece in (" ", "'", '"', "&", "+", "%", "%2B"):
            self.assertIn(piece, password)
        self.assertNotEqual(password, password.strip())
        self.assertFalse(password.isascii())

    def test_a_stripped_password_is_wrong(self) -> None:
        """The separate password stage takes the password byte for byte."""
        answer = self.browser.walk(DEFAULT, "erin", account("erin").password.strip())
        self.assertEqual(answer.error_codes, {"password": ["invalid"]})

    def test_the_combined_form_strips_the_password(self) -> None:
        """There a password gains nothing from outer blanks, and one that has them never fits."""
        for name, typed, component in (
            ("alice", f"  {USUAL_PASSWORD} ", "xak-flow-redirect"),
            ("erin", account("erin").password, "ak-stage-identification"),
        ):
            browser = Browser(self.sandbox)
            browser.get("ropg-combined")
            answer = browser.post("ropg-combined", uid_field=name, password=typed)
            answer = browser.settle("ropg-combined", answer)
            self.assertEqual(answer.component, component, name)

    def test_wrong_unknown_and_disabled_look_alike(self) -> None:
        """Nothing but the echoed name tells a wrong password from an account that is not there."""
        seen = []
        for name, password in (("alice", "wrong"), ("nobody", "wrong"), ("carol", USUAL_PASSWORD)):
            answer = Browser(self.sandbox).walk(DEFAULT, name, password).json
            seen.append({key: value for key, value in answer.items() if key != "pending_user"})
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[0], seen[2])

    def test_names_match_in_any_case_and_by_mail(self) -> None:
        """User name and e-mail address are the same person however they are spelled."""
        for name in ("Alice", "ALICE@EXAMPLE.COM", "alice@example.com"):
            answer = Browser(self.sandbox).walk(DEFAULT, name, USUAL_PASSWORD)
            self.assertEqual(answer.component, "xak-flow-redirect", name)

    def test_the_fifth_wrong_password_ends_the_flow(self) -> None:
        """Then access is denied, and the next request begins anew without a pending user."""
        self.browser.walk(DEFAULT, "alice", "wrong")
        for _ in range(3):
            answer = self.browser.post(DEFAULT, password="wrong")
            self.assertEqual(answer.component, "ak-stage-password")
        answer = self.browser.post(DEFAULT, password="wrong")
        self.assertEqual(answer.component, "ak-stage-access-denied")
        answer = self.browser.post(DEFAULT, password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-identification")
        self.assertEqual(answer.error_codes, {"non_field_errors": ["invalid"]})

    def test_a_password_without_its_session_means_nothing(self) -> None:
        """A right password without cookies is answered with the identification challenge."""
        self.browser.get(DEFAULT)
        self.browser.post(DEFAULT, uid_field="alice")
        path = f"{EXECUTOR}{DEFAULT}/?query="
        body = {"password": USUAL_PASSWORD}
        answer = self.browser.ask("POST", path, body, sends_cookies=False)
        self.assertEqual(answer.component, "ak-stage-identification")

    def test_an_app_password_passes_where_it_may(self) -> None:
        """The default password stage takes it, one that is limited to passwords does not."""
        token = account("alice").app_password
        assert token is not None
        self.assert_redirect(self.browser.walk(DEFAULT, "alice", token))
        answer = Browser(self.sandbox).walk("inbuilt-only", "alice", token)
        self.assertEqual(answer.component, "ak-stage-password")

    @given(st.text())
    def test_no_other_text_is_a_password(self, text: str) -> None:
        """A text is accepted exactly if it is the password, and of a disabled account never."""
        alice, carol = account("alice"), account("carol")
        self.assertEqual(alice.accepts(text), text == alice.password)
        self.assertEqual(alice.accepts_app_password(text), text == alice.app_password)
        self.assertFalse(carol.accepts(text) or carol.accepts_app_password(text))


class SecondFactorTests(SandboxTestCase):
    """Codes after the password."""

    def test_a_totp_code_works_once(self) -> None:
        """The right code logs in; the same code again does not, the next one does."""
        code = self.code("bob")
        answer = self.browser.walk(DEFAULT, "bob", USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-authenticator-validate")
        self.assertEqual(answer.json["device_challenges"][0]["device_class"], "totp")
        self.assertIsNone(answer.json["device_challenges"][0]["last_used"])
        self.assertEqual(self.browser.post(DEFAULT, code=code).status, 302)
        again = Browser(self.sandbox)
        answer = again.walk(DEFAULT, "bob", USUAL_PASSWORD)
        self.assertIsNotNone(answer.json["device_challenges"][0]["last_used"])
        self.assertEqual(again.post(DEFAULT, code=code).error_codes, {"code": ["invalid"]})
        self.clock.advance(30)
        self.assertEqual(again.post(DEFAULT, code=self.code("bob")).status, 302)

    def test_a_totp_code_is_good_for_a_step_more(self) -> None:
        """The code of the step before is accepted, the one before that is not."""
        for late, status in ((30, 302), (61, 200)):
            browser = Browser(Sandbox(self.clock))
            browser.walk(DEFAULT, "bob", USUAL_PASSWORD)
            code = self.code("bob")
            self.clock.advance(late)
            self.assertEqual(browser.post(DEFAULT, code=code).status, status, late)

    def test_totp_is_that_of_the_rfc(self) -> None:
        """The six last digits of the test vectors of RFC 6238 appendix B for SHA-1."""
        key = b"12345678901234567890"
        for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
            self.assertEqual(totp(key, seconds), code, seconds)

    def test_a_static_token_works_once(self) -> None:
        """A used token is refused in a new session, and another one is not."""
        for token, status in (
            ("frankstatic01", 302),
            ("frankstatic01", 200),
            ("frankstatic02", 302),
        ):
            browser = Browser(self.sandbox)
            browser.walk(DEFAULT, "frank", USUAL_PASSWORD)
            self.assertEqual(browser.post(DEFAULT, code=token).status, status, token)

    def test_a_device_can_be_set_up(self) -> None:
        """The set-up shows its secret, and the code of that secret completes the login."""
        answer = self.browser.walk("mfa-configure-totp", "ivan", USUAL_PASSWORD)
        self.assertIn("secret=", answer.json["config_url"])
        wrong = self.browser.post("mfa-configure-totp", code="no")
        self.assertEqual(wrong.error_codes, {"code": ["invalid"]})
        [row] = self.sandbox.sessions.anonymous
        assert row.plan is not None
        code = totp(row.plan.key, self.clock.seconds())
        answer = self.browser.post("mfa-configure-totp", code=code)
        self.assert_redirect(self.browser.settle("mfa-configure-totp", answer))


ENDS = {
    "captcha-flow": ("ak-stage-captcha", False),
    "captcha-ident": ("ak-stage-identification", False),
    "consent-flow": ("ak-stage-consent", False),
    "denied-continue": ("xak-flow-redirect", False),
    "denied-message": ("ak-stage-access-denied", False),
    "empty-flow": ("xak-flow-redirect", False),
    "ident-only": ("xak-flow-redirect", False),
    "mfa-deny": ("ak-stage-access-denied", False),
    "prompt-flow": ("ak-stage-prompt", False),
    "redirect-first": ("xak-flow-redirect", False),
    "redirect-stage": ("xak-flow-redirect", False),
    "remember-me": ("ak-stage-user-login", False),
    "req-outpost": ("ak-stage-access-denied", False),
    "req-unauth": ("xak-flow-redirect", True),
    "restart": ("xak-flow-redirect", True),
    "ropg-nologin": ("xak-flow-redirect", False),
}


class FlowTests(SandboxTestCase):
    """Flows that stop, refuse, or pass a stage over."""

    @parametrize({slug: (slug, *end) for slug, end in ENDS.items()})
    def test_end_of_flow(self, slug: str, component: str, authenticated: bool) -> None:
        """The last answer to a right password, and whether the session is logged in."""
        browser = Browser(self.sandbox)
        answer = browser.walk(slug, "alice", USUAL_PASSWORD)
        got = (answer.component, browser.claims["authenticated"])
        self.assertEqual(got, (component, authenticated))

    def test_what_a_person_answers_is_taken(self) -> None:
        """Consent, prompt and the question to be remembered lead on to the login."""
        for slug, fields in (
            ("consent-flow", {"token": None}),
            ("prompt-flow", {"favourite": "blue"}),
            ("remember-me", {"remember_me": True}),
        ):
            browser = Browser(self.sandbox)
            shown = browser.walk(slug, "alice", USUAL_PASSWORD)
            answers = {key: value or shown.json[key] for key, value in fields.items()}
            answer = browser.settle(slug, browser.post(slug, **answers))
            self.assert_redirect(answer)
            self.assertTrue(browser.claims["authenticated"], slug)

    def test_an_incomplete_answer_names_the_missing_fields(self) -> None:
        """The same challenge comes again with the code ``required`` at each."""
        for slug, fields in (
            ("captcha-flow", ["token"]),
            ("pw-change", ["password", "password_repeat"]),
            ("remember-me", ["remember_me"]),
        ):
            browser = Browser(self.sandbox)
            browser.walk(slug, "trent", USUAL_PASSWORD)
            answer = browser.post(slug)
            self.assertEqual(answer.error_codes, {name: ["required"] for name in fields}, slug)

    def test_a_wrong_password_restarts_where_the_binding_says_so(self) -> None:
        """A 302 leads to the identification challenge, which shows no error."""
        answer = self.browser.walk("restart", "alice", "wrong")
        self.assertEqual(answer.component, "ak-stage-identification")
        self.assertNotIn("response_errors", answer.json)

    def test_a_policy_may_pass_the_password_over(self) -> None:
        """Then heidi is logged in without one, and alice is still asked."""
        self.browser.get("pw-expiry-password")
        answer = self.browser.post("pw-expiry-password", uid_field="heidi")
        self.assert_redirect(self.browser.settle("pw-expiry-password", answer))
        self.assertTrue(self.browser.claims["authenticated"])
        other = Browser(self.sandbox)
        self.assert_redirect(other.walk("pw-expiry-password", "alice", USUAL_PASSWORD))

    def test_a_policy_may_pass_the_login_over(self) -> None:
        """Then heidi's flow ends in the root with nobody logged in."""
        self.assert_redirect(self.browser.walk("pw-expiry-login", "heidi", USUAL_PASSWORD))
        self.assertFalse(self.browser.claims["authenticated"])

    def test_enough_failures_lock_a_name_out(self) -> None:
        """After five wrong passwords access is denied before the password is asked for."""
        for _ in range(5):
            Browser(self.sandbox).walk("reputation-deny", "rep5", "wrong")
        answer = self.browser.walk("reputation-deny", "rep5", USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-access-denied")
        answer = Browser(self.sandbox).walk("reputation-deny", "alice", USUAL_PASSWORD)
        self.assertEqual(answer.component, "xak-flow-redirect")

    def test_a_session_is_in_one_flow_at_a_time(self) -> None:
        """A session that goes to another flow forgets how far it was in the first."""
        self.browser.get(DEFAULT)
        self.browser.post(DEFAULT, uid_field="alice")
        self.browser.get("attempts-1")
        answer = self.browser.post(DEFAULT, password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-identification")

    def test_a_session_serves_one_person(self) -> None:
        """A second login in a jar that is logged in is an error, and the first one stands."""
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        answer = self.browser.walk(DEFAULT, "ivan", "wrong")
        self.assertEqual(answer.component, "ak-stage-flow-error")
        self.assertFalse(self.browser.claims["authenticated"])
        self.assertEqual(self.browser.ask("GET", ME).json["user"]["username"], "alice")

    def test_only_a_query_that_is_written_back_alike_gives_a_302(self) -> None:
        """Any other spelling gives a redirect in JSON to the executor itself."""
        for query, same in (("", True), ("?query=", True), ("?query=a%20b", False), ("?q", False)):
            browser = Browser(self.sandbox)
            path = f"{EXECUTOR}{DEFAULT}/{query}"
            browser.ask("GET", path)
            answer = browser.ask("POST", path, {"uid_field": "alice"})
            self.assertEqual(answer.status, 302 if same else 200, query)
            if same:
                self.assertEqual(answer.values("location"), [path])
            else:
                self.assertIn(f"{EXECUTOR}{DEFAULT}/?", answer.json["to"])

    def test_texts_follow_the_language_and_codes_do_not(self) -> None:
        """In German the text differs, and the code is the same."""
        path = f"{EXECUTOR}ropg-combined/?query="
        body = {"uid_field": "alice", "password": "wrong"}
        answers = [
            Browser(self.sandbox).ask("POST", path, body, {"Accept-Language": language})
            for language in ("de-DE,de;q=0.9,en;q=0.8", "en")
        ]
        texts = [answer.json["response_errors"]["non_field_errors"][0] for answer in answers]
        self.assertEqual(texts[0]["string"], "Authentifizierung fehlgeschlagen.")
        self.assertEqual(texts[1]["string"], "Failed to authenticate.")
        self.assertEqual(texts[0]["code"], texts[1]["code"])
