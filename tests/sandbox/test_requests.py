"""Requests to the sandbox that no client of ours sends."""

from __future__ import annotations

from urllib.parse import urlencode

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.sandbox_browser import DEFAULT, EXECUTOR, SandboxTestCase


class RequestTests(SandboxTestCase):
    """Bodies, headers and answers out of turn."""

    def test_a_post_without_a_body_is_an_empty_answer(self) -> None:
        """The stage misses its fields, as in an empty object."""
        self.browser.get(DEFAULT)
        answer = self.browser.ask("POST", f"{EXECUTOR}{DEFAULT}/?query=")
        self.assertEqual(answer.error_codes, {"non_field_errors": ["invalid"]})
        self.assertEqual(answer.component, "ak-stage-identification")

    def test_basic_that_cannot_be_read_names_no_client(self) -> None:
        """Neither base64 without its end nor a byte that is no UTF-8 lets the body count."""
        form = urlencode({"grant_type": "refresh_token", "client_id": "jamf-connect"})
        for token in ("YWJ", "/w=="):
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": f"Basic {token}",
            }
            answer = self.browser.ask("POST", "/application/o/token/", form, headers)
            self.assertEqual(answer.json["error"], "invalid_client", token)

    def test_a_code_of_a_user_without_a_device(self) -> None:
        """A code that is sent before the stage was looked at is refused, with no device to show."""
        slug = "mfa-deny"
        self.browser.get(slug)
        self.browser.settle(slug, self.browser.post(slug, uid_field="alice"))
        self.assertEqual(self.browser.post(slug, password=USUAL_PASSWORD).status, 302)
        answer = self.browser.post(slug, code="000000")
        self.assertEqual(answer.component, "ak-stage-authenticator-validate")
        self.assertEqual(answer.error_codes, {"code": ["invalid"]})
        self.assertEqual(answer.json["device_challenges"], [])
