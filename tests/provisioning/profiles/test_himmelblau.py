"""What is found in a himmelblau.conf."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.provisioning.profiles.catalogue import check_profile
from tests.parametrize import parametrize
from tests.provisioning.profiles.examples import CLIENTS, settings_of, written

GOOD: Final = written("himmelblau").decode()

ROWS: Final = {
    "another issuer": ("https://ropg.", "https://idp.", "failure", "is not the issuer"),
    "a slash at the end": (
        "ropg.example.com\n",
        "ropg.example.com/\n",
        "failure",
        "slash at its end",
    ),
    "no issuer": ("oidc_issuer_url = https://ropg.example.com", "", "failure", "is missing"),
    "an unknown client": ("= himmelblau", "= canary", "failure", "invalid_client"),
    "no client": ("app_id = himmelblau", "", "failure", "is missing"),
    "no passwords": ("only = true", "only = false", "failure", "no password is checked"),
    "nothing about passwords": ("allow_console_password_only = true", "", "warning", "default"),
    "another word for it": ("only = true", "only = yes", "warning", "neither true nor false"),
    "true in other letters": ("only = true", "only = True", "", ""),
    "an old release": ("# domain = ", "domains = ", "warning", "4.0.0"),
}


def found(text: str, clients: str = CLIENTS) -> list[tuple[str, str]]:
    """The states and the messages of the findings that are not ok."""
    findings = check_profile(text.encode(), settings_of(clients))
    return [(f.state.value, f.message) for f in findings if f.state is not State.OK]


class FindingTests(SynchronousTestCase):
    """Each mistake has its finding, and no other one."""

    @parametrize(ROWS)
    def test_keys(self, text: str, changed: str, state: str, words: str) -> None:
        """The keys of the file."""
        self.assertEqual(GOOD.count(text), 1)
        findings = found(GOOD.replace(text, changed))
        if not state:
            self.assertEqual(findings, [])
            return
        [(found_state, message)] = findings
        self.assertEqual(found_state, state)
        self.assertIn(words, message)
        self.assertNotIn("canary", message)

    @parametrize(
        {
            "a secret": ('id = "himmelblau"', 'id = "himmelblau"\nsecret = "x"', "has a secret"),
            "own tokens": ('profile = "himmelblau"', "", "no refresh token"),
        }
    )
    def test_settings(self, text: str, changed: str, words: str) -> None:
        """Settings of the client with which Himmelblau cannot work."""
        [(state, message)] = found(GOOD, CLIENTS.replace(text, changed))
        self.assertEqual(state, "failure")
        self.assertIn(words, message)

    def test_release(self) -> None:
        """The file cannot tell the release, so it is always said which one is needed."""
        first, *_ = check_profile(GOOD.encode(), settings_of())
        self.assertEqual(first.state, State.OK)
        self.assertIn("4.0.0 or later is needed", first.message)
