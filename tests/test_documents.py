"""The documents say what the code says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from typing import Any, Final

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted import cli, tap
from ropg_twisted.provisioning.blueprint.application import CLIENT_SECRET
from ropg_twisted.provisioning.blueprint.outpost import OUTPOST_TOKEN
from ropg_twisted.remedies import DOCUMENTATION, help_url
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.verdict import Reason
from tests.paths import CHECKOUT
from tools.generate import generated
from tools.tables import TABLES, rows_chosen, with_tables


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


PAGES: Final = [
    path
    for glob in ("*.md", "docs/**/*.md", "contrib/**/*.md")
    for path in sorted(CHECKOUT.glob(glob))
]

FOREIGN_WORDS: Final = frozenset(
    (
        # Himmelblau
        "allow_console_password_only",
        "app_id",
        "oidc_issuer_url",
        # Dovecot
        "auth_cache_size",
        # nginx
        "keepalive_timeout",
        "proxy_read_timeout",
        # Authentik
        "password_login_update_internal_password",
        # PostgreSQL
        "max_connections",
        # Dovecot
        "grant_url",
        "username_attribute",
    )
)
"""Names of other programs."""


def code(markdown: str) -> Iterator[str]:
    """The lines of fenced blocks, and code within sentences."""
    pieces = re.split(r"^ *```.*\n", markdown, flags=re.MULTILINE)
    for text in pieces[0::2]:
        yield from (piece.strip() for piece in re.findall(r"(?<!`)`([^`]+)`", text))
    for block in pieces[1::2]:
        yield from block.splitlines()


class SpellingTests(SynchronousTestCase):
    """Names in the documents are names of the code."""

    def assert_known(self, pattern: str, known: Container[str]) -> None:
        """Every match in a page is known, and there is one at all."""
        found = [
            (path.name, name)
            for path in PAGES
            for name in re.findall(pattern, path.read_text("utf-8"))
        ]
        self.assertTrue(found)
        self.assertEqual([each for each in found if each[1] not in known], [])

    def test_settings(self) -> None:
        """Every ``ROPG_`` name is a setting."""
        names = (*TABLE, CONFIG.name)
        # What Kubernetes sets for a service called ropg, and what Authentik is given.
        known = {*names, *(f"{name}_FILE" for name in names), "ROPG_PORT", CLIENT_SECRET}
        self.assert_known(r"\bROPG_\w+", known)

    def test_metrics(self) -> None:
        """Every ``ropg_`` name is a metric, one of the series of a histogram, or a secret."""
        _, *rows = TABLES["metrics"]([])
        series = {
            name.strip("`") + suffix
            for name, kind, *_ in rows
            for suffix in (("", "_bucket", "_sum", "_count") if kind == "histogram" else ("",))
        }
        context = {name.lower() for name in (CLIENT_SECRET, OUTPOST_TOKEN)}
        self.assert_known(r"\bropg_(?!twisted|plugin)\w+", {*series, *context})

    def test_words(self) -> None:
        """Every name with an underscore, such as a reason or an error, is a word of the code."""
        source = "".join(path.read_text("utf-8") for path in CHECKOUT.glob("ropg_twisted/**/*.py"))
        keys = (setting.key for setting in TABLE.values())
        known = {*re.findall(r"\w+", source), *keys, *FOREIGN_WORDS}
        self.assert_known(r"`(?!ropg_)([a-z]+(?:_[a-z]+)+)`", known)

    def test_commands(self) -> None:
        """Every command of ``ropg`` exists, and so do its options."""
        table: Any = cli.Options.subCommands
        parsers = {"": cli.Options, **{name: parser for name, _, parser, _ in table}}
        seen = set()
        for line in (line for path in PAGES for line in code(path.read_text("utf-8"))):
            if words := re.fullmatch(r"(?:\S*/)?ropg(?: ([a-z][a-z-]*)| (?=--))(.*)", line):
                command = words[1] or ""
                self.assertIn(command, parsers, line)
                self.assert_options(parsers[command](), words[2], line)
                seen.add(command)
            elif words := re.search(r"\btwistd\b.* ropg( .*)", line):
                self.assert_options(tap.Options(), words[1], line)
        self.assertEqual(seen, set(parsers))

    def assert_options(self, parser: usage.Options, words: str, line: str) -> None:
        """Every option among the words is one of the command."""
        known = {name.rstrip("=") for name in parser.longOpt}
        self.assertEqual(set(re.findall(r" --([\w-]+)", words)) - known, set(), line)


def anchors(markdown: str) -> set[str]:
    """The anchors of a page on a forge: of headings, and those that the text names itself."""
    text = re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {slug.replace(" ", "-") for slug in slugs} | set(re.findall(r'<a id="(\w+)">', text))


class LinkTests(SynchronousTestCase):
    """Links between the documents lead somewhere, on a forge too."""

    def test_links(self) -> None:
        """The file and the anchor of each link exist."""
        seen = 0
        for path in PAGES:
            for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
                if "://" in link:
                    continue
                file, _, anchor = link.partition("#")
                target = (path.parent / file).resolve() if file else path
                self.assertTrue(target.is_file(), f"{path.name}: {link}")
                if anchor:
                    self.assertIn(anchor, anchors(target.read_text("utf-8")), path.name)
                seen += 1
        self.assertGreater(seen, 100)

    def test_every_reason(self) -> None:
        """The help of each reason is a part of a page."""
        for reason in Reason:
            page, _, anchor = help_url(reason).removeprefix(DOCUMENTATION).partition(".md#")
            self.assertIn(anchor, anchors((CHECKOUT / f"docs/{page}.md").read_text("utf-8")))
