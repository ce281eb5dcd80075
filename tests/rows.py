"""Table tests that report every failing row, not the first one alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.trial.unittest import SynchronousTestCase


class Rows:
    """The rows of a table. The test fails at its end if any of them did."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self._test = test
        self._failures: list[str] = []
        test.addCleanup(self.report)

    @contextmanager
    def row(self, name: object) -> Iterator[None]:
        """Run the assertions of one row; a failure is kept, and the next row runs."""
        try:
            yield
        except Exception as error:
            self._failures.append(f"{name}: {type(error).__name__}: {error}")

    def report(self) -> None:
        """Raise the failures of all rows as one."""
        if self._failures:
            self._test.fail("\n".join([f"{len(self._failures)} rows failed", *self._failures]))
