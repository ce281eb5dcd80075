"""Warnings about settings at the start."""

from __future__ import annotations

from ropg_twisted.settings.combinations import warnings
from ropg_twisted.settings.sources import read_settings
from tests.parametrize import parametrize
from tests.settings.cases import SettingsTestCase
from tests.settings.examples import REQUIRED


class WarningTests(SettingsTestCase):
    """Settings that are valid, but may not do what is expected."""

    def warned(self, **environ: str) -> list[str]:
        """Return the settings that the warnings begin with."""
        settings = read_settings({}, {**REQUIRED, **environ})
        return [line.partition(" ")[0] for line in warnings(settings)]

    def test_a_long_deadline(self) -> None:
        """Authentik gives up a directory after 15 seconds."""
        self.assertEqual(self.warned(ROPG_DEADLINE="15"), [])
        self.assertEqual(self.warned(ROPG_DEADLINE="15.1"), ["ROPG_DEADLINE"])

    def test_a_key_without_a_store(self) -> None:
        """Nothing is shared."""
        key, store = "hush" * 8, "redis://127.0.0.1"
        self.assertEqual(self.warned(ROPG_PASSWORD_HASH_KEY=key), ["ROPG_PASSWORD_HASH_KEY"])
        self.assertEqual(self.warned(ROPG_PASSWORD_HASH_KEY=key, ROPG_LIMITS_STORE=store), [])

    @parametrize(
        {
            "RS256": ({"ROPG_SIGNING_ALG": "RS256"}, []),
            "ES256": ({"ROPG_SIGNING_ALG": "ES256"}, []),
            "EdDSA": ({"ROPG_SIGNING_ALG": "EdDSA"}, ["ROPG_SIGNING_ALG"]),
            "HS256": ({"JWT_SECRET": "hush" * 8}, ["JWT_SECRET"]),
        }
    )
    def test_algorithms_that_xcreds_does_not_know(
        self, environ: dict[str, str], expected: list[str]
    ) -> None:
        """It would read every password as wrong; other clients may know more algorithms."""
        table = '[[clients]]\nid = "mac"\nprofile = "{}"\n'
        for profile, warned in (("xcreds", expected), ("jamf-connect", [])):
            config = self.config(table.format(profile))
            self.assertEqual(self.warned(**config, **environ), warned)

    @parametrize(
        {
            "a secret": ('secret = "hush"', []),
            "a hash": (f'secret_sha256 = "{"ab" * 32}"', []),
            "no secret": ("", ["clients.secret"]),
        }
    )
    def test_a_dovecot_without_a_secret(self, line: str, expected: list[str]) -> None:
        """Introspection refuses it; other clients may be public."""
        table = '[[clients]]\nid = "mail"\nprofile = "{}"\n' + line
        for profile, warned in (("dovecot", expected), ("fleet", [])):
            self.assertEqual(self.warned(**self.config(table.format(profile))), warned)
