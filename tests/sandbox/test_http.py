"""The sandbox on HTTP: sessions, client addresses, error pages, and what it says of itself."""

from __future__ import annotations

from html import escape
from typing import Any

from treq import content
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from ropg_twisted.sandbox.http.outposts import (
    LDAP_OUTPOST_TOKEN,
    OUTPOST_TOKEN,
    SERVICE_TOKEN,
    OutpostToken,
)
from ropg_twisted.sandbox.oauth2.applications import Application
from tests.sandbox_browser import (
    ACCESS,
    DEFAULT,
    EXECUTOR,
    ME,
    START,
    Browser,
    SandboxTestCase,
    account,
)


class SessionTests(SandboxTestCase):
    """Session rows, cookies, and what a session is good for."""

    def rows(self) -> tuple[int, int]:
        """The numbers of anonymous and of authenticated rows."""
        return len(self.sandbox.sessions.anonymous), len(self.sandbox.sessions.authenticated)

    def test_a_login_turns_the_row_and_its_id(self) -> None:
        """The first GET adds an anonymous row; the login makes it another's, under a new id."""
        self.browser.get(DEFAULT)
        before = self.browser.claims["sid"]
        self.assertEqual(self.rows(), (1, 0))
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        self.assertEqual(self.rows(), (0, 1))
        self.assertNotEqual(self.browser.claims["sid"], before)

    def test_a_login_sets_three_cookies(self) -> None:
        """They are of the device, against CSRF and of the session; the answer varies by them."""
        answer = self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        names = [line.partition("=")[0] for line in answer.values("set-cookie")]
        self.assertEqual(names, ["authentik_device", "authentik_csrf", "authentik_session"])
        self.assertEqual(answer.values("vary"), ["Cookie, Accept-Language"])

    def test_a_login_that_asked_leaves_the_device_alone(self) -> None:
        """After the question to be remembered there is no cookie of the device."""
        self.browser.walk("remember-me", "alice", USUAL_PASSWORD)
        self.browser.post("remember-me", remember_me=False)
        self.assertEqual(set(self.browser.jar), {"authentik_csrf", "authentik_session"})

    def test_rows_live_for_a_day(self) -> None:
        """A row goes 24 hours after its last use, and its cookie is taken away."""
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        self.clock.advance(24 * 3600 - 1)
        self.assertEqual(self.browser.ask("GET", ME).status, 200)
        self.clock.advance(1)
        self.assertEqual(self.rows(), (0, 0))
        self.assertEqual(self.browser.ask("GET", ME).status, 403)
        self.assertNotIn("authentik_session", self.browser.jar)

    def test_the_invalidation_flow_removes_the_row(self) -> None:
        """A single GET with the cookie is enough, and the cookie goes as well."""
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        self.assert_redirect(self.browser.get("default-invalidation-flow"))
        self.assertEqual(self.rows(), (0, 0))
        self.assertNotIn("authentik_session", self.browser.jar)

    def test_a_cookie_of_another_sandbox_is_worth_nothing(self) -> None:
        """Each sandbox signs with a key of its own."""
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        other = Browser(Sandbox(self.clock))
        other.jar.update(self.browser.jar)
        self.assertEqual(other.ask("GET", ME).status, 403)

    def test_logins_in_progress_do_not_mix(self) -> None:
        """Two people half way through end up as themselves."""
        browsers = {name: Browser(self.sandbox) for name in ("alice", "victor")}
        for name, browser in browsers.items():
            browser.get(DEFAULT)
            browser.post(DEFAULT, uid_field=name)
        for browser in browsers.values():
            browser.settle(DEFAULT, browser.post(DEFAULT, password=USUAL_PASSWORD))
        for name, browser in browsers.items():
            self.assertEqual(browser.ask("GET", ME).json["user"]["username"], name)

    def test_a_proxy_on_https_makes_the_cookie_secure(self) -> None:
        """``X-Forwarded-Proto`` decides on ``Secure`` and ``SameSite``."""
        plain = self.browser.get(DEFAULT).values("set-cookie")
        proxied = self.browser.get(DEFAULT, **{"X-Forwarded-Proto": "https"}).values("set-cookie")
        self.assertTrue(plain[0].endswith("; HttpOnly; Path=/; SameSite=Lax"))
        self.assertTrue(proxied[0].endswith("; HttpOnly; Path=/; SameSite=None; Secure"))

    def test_me_tells_who_is_logged_in(self) -> None:
        """The profile has what claims are made of; without a login it is refused."""
        self.assertEqual(self.browser.ask("GET", ME).status, 403)
        self.browser.walk(DEFAULT, "alice", USUAL_PASSWORD)
        user = self.browser.ask("GET", ME).json["user"]
        self.assertEqual(user["uid"], account("alice").uid)
        self.assertEqual(user["email"], "alice@example.com")
        self.assertEqual([group["name"] for group in user["groups"]], ["mac-admins"])

    def test_access_is_checked_for_the_session(self) -> None:
        """Grace is refused the application, alice is not, and without a session it is yes."""
        self.assertTrue(self.browser.ask("GET", ACCESS).json["passing"])
        for name, passing in (("alice", True), ("grace", False)):
            browser = Browser(self.sandbox)
            browser.walk(DEFAULT, name, USUAL_PASSWORD)
            self.assertEqual(browser.ask("GET", ACCESS).json["passing"], passing, name)
            unknown = browser.ask("GET", ACCESS.replace("jamf-connect", "nothing"))
            self.assertEqual(unknown.status, 404)

    def test_an_application_may_be_for_groups_only(self) -> None:
        """Members of one of them, or of a child of it, may use it. Alice is in a child of it."""
        secret = "public-client-secret"
        mine = Application("mine", "Mine", "mine", secret, groups=("nobody-is-here", "mac-users"))
        self.sandbox = Sandbox(self.clock, applications=[mine])
        for name, passing in (("alice", True), ("dave", False)):
            browser = Browser(self.sandbox)
            browser.walk(DEFAULT, name, account(name).password)
            answer = browser.ask("GET", ACCESS.replace("jamf-connect", "mine"))
            self.assertEqual(answer.json["passing"], passing, name)


class APITokenTests(SandboxTestCase):
    """The part of the API that is open to the tokens of outposts."""

    def read(self, path: str, token: str | None) -> tuple[int, Any]:
        """The status and the JSON of an answer of the API to a token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = self.browser.ask("GET", f"/api/v3/{path}", headers=headers)
        return answer.status, answer.json

    def test_whose_token_it_is(self) -> None:
        """An outpost has a service account with a name of its own."""
        for token in (OUTPOST_TOKEN, LDAP_OUTPOST_TOKEN):
            status, answer = self.read("core/users/me/", token)
            self.assertEqual(status, 200)
            self.assertTrue(answer["user"]["username"].startswith("ak-outpost-"))
        _, answer = self.read("core/users/me/", SERVICE_TOKEN)
        self.assertEqual(answer["user"]["username"], "internal-svc")

    def test_others_are_refused(self) -> None:
        """A bad token is told from none."""
        for path in ("core/users/me/", "core/users/", "admin/version/", "outposts/instances/"):
            self.assertEqual(self.read(path, "bad"), (403, {"detail": "Token invalid/expired"}))
            status, answer = self.read(path, None)
            self.assertEqual(status, 403)
            self.assertIn("not provided", answer["detail"])

    def test_what_an_outpost_may_read(self) -> None:
        """The version, itself, and all users if it is of type ldap."""
        for token, kind, users in (
            (OUTPOST_TOKEN, "proxy", 0),
            (LDAP_OUTPOST_TOKEN, "ldap", len(list(self.sandbox.accounts))),
        ):
            _, version = self.read("admin/version/", token)
            self.assertEqual(version["version_current"], "2026.5.0-rc1")
            _, outposts = self.read("outposts/instances/", token)
            self.assertEqual([each["type"] for each in outposts["results"]], [kind])
            _, listed = self.read("core/users/?page_size=1", token)
            self.assertEqual(listed["pagination"]["count"], users)

    def test_what_everybody_may_read(self) -> None:
        """The flow of the brand, and the family of the version on the login page."""
        _, brand = self.read("core/brands/current/", None)
        self.assertEqual(brand["flow_authentication"], DEFAULT)
        page = self.browser.ask("GET", f"/if/flow/{DEFAULT}/").body
        self.assertIn(b'versionFamily: "2026.5"', page)


class AddressTests(SandboxTestCase):
    """The client address as Authentik understands it."""

    def address_seen(self, **headers: str) -> str:
        """The address in the event of a failed login with these headers."""
        browser = Browser(self.sandbox)
        path = f"{EXECUTOR}ropg-combined/?query="
        browser.ask("POST", path, {"uid_field": "alice", "password": "wrong"}, headers)
        event = self.sandbox.events[-1]
        self.assertEqual((event.kind, event.username), ("login_failed", "alice"))
        return event.address

    def test_the_peer_counts_unless_somebody_vouches(self) -> None:
        """A real outpost's token or a forwarded address changes it, a bad token does not."""
        override = {"X-authentik-remote-ip": "203.0.113.7"}
        for headers, address in (
            ({}, "127.0.0.1"),
            ({"X-Forwarded-For": "203.0.113.12, 10.0.0.1"}, "203.0.113.12"),
            ({**override, "X-authentik-outpost-token": OUTPOST_TOKEN}, "203.0.113.7"),
            ({**override, "X-authentik-outpost-token": "bad"}, "127.0.0.1"),
            (override, "127.0.0.1"),
        ):
            self.assertEqual(self.address_seen(**headers), address, headers)

    def test_the_token_of_a_service_account_breaks_every_call(self) -> None:
        """With it, the executor and the API answer 500 in HTML."""
        headers = {
            "X-authentik-remote-ip": "203.0.113.7",
            "X-authentik-outpost-token": SERVICE_TOKEN,
        }
        for path in (f"{EXECUTOR}{DEFAULT}/?query=", ME, ACCESS):
            answer = self.browser.ask("GET", path, headers=headers)
            self.assertEqual(answer.status, 500, path)
            self.assertEqual(answer.values("content-type"), ["text/html; charset=utf-8"], path)

    def test_a_flow_may_want_an_outpost(self) -> None:
        """The flow that requires one lets its clients log in."""
        headers = {
            "X-authentik-remote-ip": "203.0.113.7",
            "X-authentik-outpost-token": OUTPOST_TOKEN,
        }
        answer = self.browser.get("req-outpost", **headers)
        self.assertEqual(answer.component, "ak-stage-identification")

    def test_a_token_is_believed_until_it_expires(self) -> None:
        """Tokens of one sandbox count beside the built-in one; one may expire."""
        tokens = [OutpostToken("for-ever"), OutpostToken("for-a-minute", START + 60)]
        self.sandbox = Sandbox(self.clock, outpost_tokens=tokens)
        headers = {"X-authentik-remote-ip": "203.0.113.7"}
        for seconds, key, address in (
            (0, "for-a-minute", "203.0.113.7"),
            (60, "for-a-minute", "127.0.0.1"),
            (0, "for-ever", "203.0.113.7"),
            (0, OUTPOST_TOKEN, "203.0.113.7"),
        ):
            self.clock.advance(seconds)
            seen = self.address_seen(**headers, **{"X-authentik-outpost-token": key})
            self.assertEqual(seen, address, (seconds, key))


class MannersTests(SandboxTestCase):
    """Requests that are not as they should be, and the sandbox's own pages."""

    def test_what_is_not_there_is_an_error_page(self) -> None:
        """GET gives 404 in HTML, any other method an empty 405, as it does on a missing slash."""
        for path in (f"{EXECUTOR}nothing/?query=", f"{EXECUTOR}{DEFAULT}", "/api/v3/nothing/"):
            answer = self.browser.ask("GET", path)
            self.assertEqual(answer.status, 404, path)
            self.assertEqual(answer.values("content-type"), ["text/html; charset=utf-8"], path)
            answer = self.browser.ask("POST", path, {"uid_field": "alice"})
            self.assertEqual((answer.status, answer.body), (405, b""), path)
            self.assertEqual(answer.values("allow"), ["GET, HEAD, OPTIONS"], path)

    def test_only_an_answer_of_a_stage_names_the_methods(self) -> None:
        """A flow that is refused, empty or run out at its start has no ``Allow``."""
        self.assertEqual(self.browser.get(DEFAULT).values("allow"), ["GET, POST, HEAD, OPTIONS"])
        for slug in ("empty-flow", "denied-continue", "denied-message"):
            self.assertEqual(self.browser.get(slug).values("allow"), [], slug)
        answer = self.browser.walk("pw-expiry-login", "heidi", USUAL_PASSWORD)
        self.assertEqual(answer.values("allow"), [])

    def test_a_method_that_the_api_does_not_know_is_named(self) -> None:
        """PUT to the executor is answered 405 with the methods that it has."""
        answer = self.browser.ask("PUT", f"{EXECUTOR}{DEFAULT}/", {})
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.values("allow"), ["GET, POST, HEAD, OPTIONS"])

    def test_what_cannot_be_understood_is_a_flow_error(self) -> None:
        """So are bodies other than a JSON object, and clients that take no JSON."""
        path = f"{EXECUTOR}{DEFAULT}/?query="
        json_type = {"Content-Type": "application/json"}
        for body, headers in (
            ("uid_field=alice", {"Content-Type": "application/x-www-form-urlencoded"}),
            ("{", json_type),
            ("[]", json_type),
            ("{}", {**json_type, "Accept": "text/html"}),
        ):
            answer = Browser(self.sandbox).ask("POST", path, body, headers)
            self.assertEqual((answer.status, answer.component), (200, "ak-stage-flow-error"), body)

    def test_it_is_alive_and_ready(self) -> None:
        """Both probes answer 200, and there is no third."""
        for kind, status in (("live", 200), ("ready", 200), ("well", 404)):
            self.assertEqual(self.browser.ask("GET", f"/-/health/{kind}/").status, status, kind)

    def test_the_front_page_lists_everything(self) -> None:
        """Its title says sandbox, and it has all flows, people and passwords."""
        page = self.browser.ask("GET", "/").body.decode()
        self.assertIn("<title>Sandbox", page)
        for who in ACCOUNTS:
            self.assertIn(escape(who.password), page, who.username)
            self.assertIn(who.email, page)
        for slug in self.sandbox.flows:
            self.assertIn(f"<code>{slug}</code>", page)
        self.assertIn(self.code("bob"), page)

    def test_it_warns_when_it_starts(self) -> None:
        """The log has a warning that says sandbox."""
        with capturedLogs() as events:
            Sandbox(self.clock)
        warnings = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(len(warnings), 1)
        self.assertIn("SANDBOX", warnings[0])

    def test_what_is_typed_is_never_logged_or_shown(self) -> None:
        """A typed password is in no log event, no answer and no repr of what is kept."""
        typed = "a-secret-that-somebody-typed"
        with capturedLogs() as events:
            self.browser.get("ropg-combined")
            answers = [
                self.browser.post("ropg-combined", uid_field="alice", password=typed),
                self.browser.walk(DEFAULT, "alice", typed),
                self.browser.walk("attempts-1", "alice", typed),
            ]
        rows = self.sandbox.sessions.anonymous
        kept = [repr(events), repr(rows), repr(self.sandbox.events), repr(ACCOUNTS)]
        kept += [answer.body.decode() for answer in answers]
        for text in kept:
            self.assertNotIn(typed, text)
            self.assertNotIn(USUAL_PASSWORD, text)


class SiteTests(TestCase):
    """The sandbox on a loopback socket."""

    async def test_it_serves_on_a_socket(self) -> None:
        """A body of a mebibyte is read whole, in memory, and no access log is written."""
        clock: Any = reactor
        site = sandbox_site(Sandbox(clock))
        port = await TCP4ServerEndpoint(clock, 0, interface="127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        client = HTTPClient(Agent(clock))
        url = f"http://127.0.0.1:{port.getHost().port}{EXECUTOR}{DEFAULT}/?query=visible"
        with capturedLogs() as events:
            response = await client.post(url, json={"password": "p" * 2**20})
            body: bytes = await content(response)
        self.assertEqual(response.code, 200)
        self.assertIn(b"ak-stage-identification", body)
        self.assertNotIn("visible", repr([formatEvent(event) for event in events]))
