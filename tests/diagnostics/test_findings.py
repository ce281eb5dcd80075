"""Findings as lines of text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.findings import Finding, State


class TextTests(SynchronousTestCase):
    """A finding is one line, which begins with its state."""

    def test_line(self) -> None:
        """The state, the name, the message and the page."""
        finding = Finding("name", State.WARNING, "is odd. Change it.", "https://example.com/page")
        self.assertEqual(
            str(finding), "warning: name: is odd. Change it. See https://example.com/page"
        )

    def test_no_page(self) -> None:
        """Without a page there is nothing to see."""
        self.assertEqual(str(Finding("name", State.OK, "is well.", None)), "ok: name: is well.")

    def test_what_cannot_be_printed(self) -> None:
        """A file that is checked cannot write escape sequences to the terminal, or lines."""
        text = str(Finding("a\x1b[2Jb", State.FAILURE, "one\ntwo\u202e", None))
        self.assertEqual(text, "failure: a\\x1b[2Jb: one\\ntwo\\u202e")
