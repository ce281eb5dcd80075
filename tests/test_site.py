"""The documents as a site: what goes in, and what the build refuses."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.remedies import REMEDIES
from tools.site import FIRST, NAVIGATION, problems, stage


class StageTests(SynchronousTestCase):
    """The sources of the site."""

    def test_all_pages(self) -> None:
        """Every page is in the navigation, and links stay within the site."""
        folder = Path(self.mktemp())
        folder.mkdir()
        stage(folder)
        paths = [path.relative_to(folder) for path in folder.rglob("*.md")]
        pages = {str(path.with_suffix("")) for path in paths} - {Path(FIRST).stem}
        listed = {page for part in NAVIGATION.values() for page in part if "<" not in page}
        self.assertEqual(pages, listed)
        for path in paths:
            above = r"\.\./" * len(path.parts)
            text = (folder / path).read_text("utf-8")
            self.assertNotRegex(text, rf"\]\(({above}|docs/|(\.\./)*README)")


class ProblemTests(SynchronousTestCase):
    """A site with something wrong is not built."""

    def setUp(self) -> None:
        self.site = Path(self.mktemp())
        self.site.mkdir()
        anchors = "".join(f'<a id="{reason}"></a>' for reason in REMEDIES)
        (self.site / "answers.html").write_text(f"{anchors}<p id='here'>")

    def problems_of(self, html: str) -> list[str]:
        """The problems of a site whose first page is this."""
        (self.site / "index.html").write_text(html)
        return list(problems(self.site))

    def test_links(self) -> None:
        """Pages, anchors in them, files and other hosts may be linked to."""
        html = (
            '<h1 id="top"><a href="#top"></a><a href="answers.html"></a>'
            '<a href="answers.html#here"></a><a href="https://example.com/"></a>'
        )
        self.assertEqual(self.problems_of(html), [])

    def test_broken_links(self) -> None:
        """Neither a page nor an anchor may be missing."""
        for address in ("other.html", "answers.html#there", "#top", "mark.svg"):
            self.assertEqual(
                self.problems_of(f'<a href="{address}">'),
                [f"index.html links to {address}, which does not exist"],
            )

    def test_other_hosts(self) -> None:
        """A page loads nothing from elsewhere."""
        for tag in ('<script src="{}">', '<img src="{}">', '<link rel="stylesheet" href="{}">'):
            for address in ("https://cdn.example.com/a", "//cdn.example.com/a"):
                self.assertIn(f"index.html loads {address}", self.problems_of(tag.format(address)))

    def test_reasons(self) -> None:
        """Every reason has its part of a page."""
        (self.site / "answers.html").write_text("")
        self.assertEqual(len(self.problems_of("")), len(REMEDIES))
