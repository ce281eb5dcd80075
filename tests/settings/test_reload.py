"""Settings that change while the daemon runs, and those that need a restart."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.reload import NAMES, RELOADABLE, reloaded
from ropg_twisted.settings.sources import read_settings
from tests.settings.examples import DEFAULTS

FIELDS = sorted(field.name for field in fields(Settings))
REQUIRED = {
    "AUTHENTIK_URL": "https://authentik.example.com",
    "PROXY_ISSUER": "https://ropg.example.com",
}


class Other:
    """A value that is equal to no other."""


class ReloadedTests(SynchronousTestCase):
    """The settings after a reload."""

    @given(st.sets(st.sampled_from(FIELDS)))
    def test_each_change_is_made_or_named(self, changed: set[str]) -> None:
        """A setting has its new value, or the old one and its name among those that need a restart.

        The port of the sandbox and whether the application is required are parts of other settings.
        """
        others: dict[str, Any] = {name: Other() for name in changed}
        new = replace(DEFAULTS, **others)
        settings, names = reloaded(DEFAULTS, new)
        for name in FIELDS:
            source: Any = new if name in RELOADABLE else DEFAULTS
            self.assertIs(getattr(settings, name), getattr(source, name), name)
        parts = {"sandbox_port", "app_required"}
        self.assertEqual(names, sorted(NAMES[name] for name in changed - RELOADABLE - parts))

    def test_the_same_settings_need_no_restart(self) -> None:
        """Read twice, settings are equal, also the store of counts."""
        environ = {**REQUIRED, "ROPG_LIMITS_STORE": "redis://localhost/0"}
        running = read_settings({}, environ)
        self.assertEqual(reloaded(running, read_settings({}, environ)), (running, []))
        other = read_settings({}, {**environ, "ROPG_LIMITS_STORE": "redis://localhost/1"})
        self.assertEqual(reloaded(running, other), (running, ["ROPG_LIMITS_STORE"]))

    def test_the_first_client_may_name_the_application(self) -> None:
        """Then another first client needs a restart, and the application stays what it is."""
        running = read_settings({}, REQUIRED)
        new = read_settings({}, {**REQUIRED, "CLIENT_ID": "other"})
        settings, names = reloaded(running, new)
        self.assertEqual(settings.clients, new.clients)
        self.assertEqual((settings.app_slug, names), ("jamf-connect", ["ROPG_APP_SLUG"]))
