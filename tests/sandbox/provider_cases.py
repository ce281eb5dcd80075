"""A sandbox, and a browser that can bring codes to a client."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.oauth2.applications import LOOPBACK_URI
from tests.memory import OAUTH
from tests.sandbox_browser import DEFAULT, Answer, Browser, SandboxTestCase

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
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


def location(answer: Answer) -> dict[str, str]:
    """Return the parameters of the URL that the browser is sent to, each once."""
    query = urlsplit(answer.values("location")[0]).query
    return {name: value for name, [value] in parse_qs(query, keep_blank_values=True).items()}
