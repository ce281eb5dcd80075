"""The example of a settings file in ``contrib``."""

from __future__ import annotations

import re
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings.clients import CLIENT_TABLE
from ropg_twisted.settings.table import TABLE
from tests.paths import CHECKOUT


class SettingsFileTests(SynchronousTestCase):
    """What an administrator finds in ``/etc/ropg``."""

    def setUp(self) -> None:
        self.text = (CHECKOUT / "contrib" / "ropg.toml").read_text("utf-8")

    def test_it_sets_nothing(self) -> None:
        """Every line is a comment."""
        self.assertEqual(tomllib.loads(self.text), {})

    def test_every_setting_is_there_with_its_default(self) -> None:
        """Without the comment signs it is the file of a daemon with defaults and examples."""
        parsed = tomllib.loads(re.sub(r"^#(?=[a-z\[])", "", self.text, flags=re.MULTILINE))
        [client] = parsed.pop("clients")
        self.assertEqual(set(parsed), {row.key for row in TABLE.values()})
        self.assertEqual(set(client), set(CLIENT_TABLE))
        for values, rows in ((parsed, TABLE), (client, CLIENT_TABLE)):
            for row in rows.values():
                text = row.text_in_file(values[row.key])
                self.assertEqual(text, row.default or row.example, row.name)

    def test_every_setting_is_explained(self) -> None:
        """The line before each is a comment."""
        for block in self.text.split("\n\n")[1:]:
            self.assertRegex(block, r"\A(# .*\n)(#   .*\n)*#[a-z\[]", block)
