"""The fuzzing itself: every target survives what it is known to survive, and a broken one is told.

The search for more is ``make fuzz``.
"""

from __future__ import annotations

from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.fuzz import run as fuzz
from tests.fuzz.run import main, survive, with_atheris, with_hypothesis
from tests.fuzz.targets import CANARY, TARGETS, Target, hide


def _breaks_at_a_word(data: bytes) -> None:
    if b"word" in data:
        raise ValueError("canary of a finding")


BROKEN = Target("broken", _breaks_at_a_word, (b"a seed",), (b"word",))


class CorpusTests(SynchronousTestCase):
    """Inputs that reach far into each target."""

    def test_every_target_survives_its_seeds_and_words(self) -> None:
        """Seeds as they are, cut and doubled, and words alone and behind each seed."""
        for name, target in TARGETS.items():
            inputs = [b"", b"\n", b"*", b"\xff" * 40, *target.words]
            for data in target.seeds:
                inputs += [data, data[: len(data) // 2], data[len(data) // 2 :], data + data]
                inputs += [data + word for word in target.words[:10]]
            for data in inputs:
                try:
                    survive(target.run, data)
                except Exception as error:
                    self.fail(f"{name} does not survive {data.hex()}: {error!r}")

    def test_a_secret_that_shows_is_noticed(self) -> None:
        """In the text of a value and in its representation."""
        for shown in (CANARY, f"a {CANARY} b", [CANARY], ValueError(CANARY), CANARY.encode()):
            with self.assertRaises(AssertionError):
                hide(shown)


class FindingTests(SynchronousTestCase):
    """A target that is broken."""

    def test_hypothesis_reports_the_smallest_input(self) -> None:
        """A finding is the input, shrunk, and what it raised."""
        findings = with_hypothesis(BROKEN, 0, 1)
        self.assertFalse(findings.clean)
        self.assertEqual(findings.wrong, b"word")
        self.assertIn("canary of a finding", findings.trouble)

    def test_atheris_reports_the_input(self) -> None:
        """The same, from a process of its own."""
        if find_spec("atheris") is None:
            raise SkipTest("atheris is not there")
        findings = with_atheris(BROKEN, 20, 1)
        self.assertFalse(findings.clean)
        self.assertIn(b"word", findings.wrong or b"")
        self.assertIn("canary of a finding", findings.trouble)

    def test_a_target_that_is_fine_is_clean(self) -> None:
        """The shortest run tries some inputs and finds nothing."""
        findings = with_hypothesis(Target("fine", lambda data: None, (b"a",), (b"b",)), 0, 1)
        self.assertTrue(findings.clean)
        self.assertGreater(findings.inputs, 100)

    def test_an_input_that_takes_too_long_is_a_finding(self) -> None:
        """Processor time is bounded, however busy the machine is."""
        self.patch(fuzz, "MOST_SECONDS", 0.0)
        with self.assertRaisesRegex(AssertionError, "too long"):
            survive(lambda data: None, b"")

    def test_a_target_that_does_not_exist_is_told(self) -> None:
        """A name that is none ends the program with the status of a wrong command line."""
        with self.assertRaises(SystemExit) as end, redirect_stderr(StringIO()):
            main(["no-such-target"])
        self.assertEqual(end.exception.code, 2)
