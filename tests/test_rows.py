"""Rows: a table test reports all that is wrong with it."""

from __future__ import annotations

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from tests.rows import Rows


class RowsTests(SynchronousTestCase):
    """Failing rows of a table."""

    def test_every_failing_row_is_reported(self) -> None:
        """Failures and exceptions, by the names of their rows."""

        class TableTests(SynchronousTestCase):
            def test_the_table(self) -> None:
                rows = Rows(self)
                for number in (1, 2, 3, 4):
                    with rows.row(f"row {number}"):
                        self.assertNotEqual(number, 2)
                        self.assertTrue(1 / (number - 3))

        result = TestResult()
        TableTests("test_the_table").run(result)
        self.assertFalse(result.wasSuccessful())
        [text] = [str(failure) for _, failure in (*result.failures, *result.errors)]
        self.assertIn("2 rows failed", text)
        self.assertIn("row 2: ", text)
        self.assertIn("row 3: ZeroDivisionError", text)
        self.assertNotIn("row 4", text)
