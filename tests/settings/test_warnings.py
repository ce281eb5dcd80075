"""Warnings about settings at the start."""

from __future__ import annotations

from ropg_twisted.settings.combinations import warnings
from ropg_twisted.settings.sources import read_settings
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
