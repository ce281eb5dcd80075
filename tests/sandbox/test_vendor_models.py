"""Every challenge of the sandbox against the vendor's own models (``authentik-client``)."""

from __future__ import annotations

from typing import Any

from authentik_client import models

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests import FIRST_PYTHON_ONLY
from tests.sandbox_browser import Browser, SandboxTestCase

MODELS = {
    "ak-stage-access-denied": "AccessDeniedChallenge",
    "ak-stage-authenticator-totp": "AuthenticatorTOTPChallenge",
    "ak-stage-authenticator-validate": "AuthenticatorValidationChallenge",
    "ak-stage-captcha": "CaptchaChallenge",
    "ak-stage-consent": "ConsentChallenge",
    "ak-stage-dummy": "DummyChallenge",
    "ak-stage-flow-error": "FlowErrorChallenge",
    "ak-stage-identification": "IdentificationChallenge",
    "ak-stage-password": "PasswordChallenge",
    "ak-stage-prompt": "PromptChallenge",
    "ak-stage-user-login": "UserLoginChallenge",
    "xak-flow-redirect": "RedirectChallenge",
}
"""The name of the vendor's model for each component that the sandbox sends."""


class VendorModelTests(SandboxTestCase):
    """Every challenge against the vendor's own models."""

    skip = FIRST_PYTHON_ONLY

    def challenges(self) -> list[dict[str, Any]]:
        """Every kind of challenge, with and without errors: all flows, several people."""
        found: list[dict[str, Any]] = []
        for slug in self.sandbox.flows:
            for name in ("alice", "bob", "frank", "heidi", "nobody"):
                for password in (USUAL_PASSWORD, "wrong"):
                    browser = Browser(self.sandbox)
                    found += [
                        browser.settle(slug, browser.get(slug)).json,
                        browser.settle(slug, browser.post(slug)).json,
                        browser.walk(slug, name, password).json,
                        browser.settle(slug, browser.post(slug)).json,
                        browser.settle(slug, browser.post(slug, code="wrong")).json,
                        browser.get(slug, Accept="text/html").json,
                    ]
        return found

    def test_every_challenge_parses(self) -> None:
        """Each one is valid for the model of its component and has no field of its own."""
        seen = set()
        for challenge in self.challenges():
            model = getattr(models, MODELS[challenge["component"]])
            seen.add(challenge["component"])
            parsed = model.from_dict(challenge)
            self.assertEqual(parsed.component, challenge["component"])
            self.assertEqual(set(challenge) - set(model.model_fields), set(), challenge)
        self.assertEqual(seen, set(MODELS))
