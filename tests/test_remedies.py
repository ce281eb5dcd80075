"""The table of reasons."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.remedies import DOCUMENTATION, REMEDIES, help_url
from ropg_twisted.verdict import Reason

RIGHT = {Reason.VERIFIED, Reason.VERIFIED_WITH_CODE}


class RemediesTests(SynchronousTestCase):
    """Every reason has an entry, in plain text."""

    def test_every_reason(self) -> None:
        """No reason is missing."""
        self.assertEqual(set(REMEDIES), set(Reason))

    def test_summary(self) -> None:
        """A summary is one sentence."""
        for reason, row in REMEDIES.items():
            self.assertRegex(row.summary, r"\A[A-Z][^\n]*\w\.\Z", reason)

    def test_remedy(self) -> None:
        """A remedy is one sentence, and only a right password needs none."""
        for reason, row in REMEDIES.items():
            if reason in RIGHT:
                self.assertEqual(row.remedy, "")
            else:
                self.assertRegex(row.remedy, r"\A[A-Z][^.\n]*\.\Z", reason)

    def test_plain_text(self) -> None:
        """Neither text has Markdown or HTML: log, terminal and status page show it as it is."""
        for reason, row in REMEDIES.items():
            self.assertNotRegex(row.summary + row.remedy, r"[`*<>\[\]&]", reason)

    def test_help_url(self) -> None:
        """The URL leads to the anchor of the reason."""
        self.assertEqual(
            help_url(Reason.WRONG_CREDENTIALS), f"{DOCUMENTATION}answers.md#wrong_credentials"
        )
