"""Parametrized tests."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase, TestCase, TestSuite

from tests.parametrize import parametrize


def run(*cases: SynchronousTestCase) -> tuple[int, list[str]]:
    """Run tests; the number of them, and the names of those that failed."""
    result = TestResult()
    TestSuite(cases).run(result)
    failed = [case.id().rpartition(".")[2] for case, _ in (*result.failures, *result.errors)]
    return result.testsRun, failed


class ParametrizeTests(SynchronousTestCase):
    """A test for each row."""

    def test_each_row_is_a_test(self) -> None:
        """Each has a name that says the row, and fails alone."""

        class NumberTests(SynchronousTestCase):
            @parametrize({"one": (1, 1), "two, too": (2, 3), "none": (0, 1 - 1)})
            def test_same(self, left: int, right: int) -> None:
                self.assertEqual(left, right)

        names = [name for name in dir(NumberTests) if name.startswith("test_")]
        self.assertEqual(names, ["test_same_none", "test_same_one", "test_same_two_too"])
        self.assertEqual(run(*map(NumberTests, names)), (3, ["test_same_two_too"]))

    def test_a_coroutine_is_awaited(self) -> None:
        """A failure behind an ``await`` counts."""

        class CoroutineTests(TestCase):
            @parametrize({"right": (1,), "wrong": (2,)})
            async def test_one(self, number: int) -> None:
                done: Deferred[int] = succeed(number)
                self.assertEqual(await done, 1)

        cases = [CoroutineTests("test_one_right"), CoroutineTests("test_one_wrong")]
        self.assertEqual(run(*cases), (2, ["test_one_wrong"]))

    def test_no_row_is_lost(self) -> None:
        """Two rows of one name, and a table without rows, are errors."""
        with self.assertRaises((TypeError, RuntimeError)):

            class TwiceTests(SynchronousTestCase):
                @parametrize({"a row": (), "a-row": ()})
                def test_it(self) -> None:
                    """Never run."""

        self.assertRaises(TypeError, parametrize, {})
