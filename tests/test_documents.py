"""The documents say what the code says."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings.table import CONFIG, TABLE
from tests.paths import CHECKOUT
from tools.generate import generated
from tools.tables import rows_chosen, with_tables


class GeneratedTests(SynchronousTestCase):
    """Files that are made from the code are current."""

    def test_current(self) -> None:
        """Each file is as ``make generated`` writes it."""
        for path, text in generated():
            name = path.relative_to(CHECKOUT)
            self.assertTrue(path.is_file(), f"{name} is missing: make generated")
            self.assertTrue(path.read_text("utf-8") == text, f"{name} is stale: make generated")

    def test_a_stale_table_is_made_anew(self) -> None:
        """Whatever stands between the comments is replaced, and nothing else."""
        table = with_tables("a\n\n<!-- table: profiles -->\n<!-- end of table -->\n\nb\n")
        self.assertIn("| `fleet` | `limits = ", table)
        stale = table.replace("per 15 minutes", "per hour")
        self.assertNotEqual(stale, table)
        self.assertEqual(with_tables(stale), table)

    def test_every_setting(self) -> None:
        """Each setting is in one of the tables, once."""
        settings = (CHECKOUT / "docs" / "settings.md").read_text("utf-8")
        self.assertEqual(Counter(rows_chosen(settings, "settings")), Counter([*TABLE, CONFIG.name]))
