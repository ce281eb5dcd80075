"""Builds the documents as a site: ``python -m tools.site FOLDER``.

The pages are the Markdown files of the checkout and of docs/, in one folder with README.md as the
first, and those of the folders in docs/.
Links that lead nowhere and anything that a page would load from another host fail the build.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urlsplit

from ropg_twisted.remedies import DOCUMENTATION, REMEDIES, help_url
from tools.generate import CHECKOUT

NAVIGATION: Final[Mapping[str, tuple[str, ...]]] = {
    "Start": ("Ten-minute set-up <self>", "manual-setup"),
    "Operation": (
        "operations",
        "containers",
        "several-daemons",
        "scale",
        "authentik",
        "directories",
        "performance",
        "security",
    ),
    "Clients": (
        "clients",
        "clients/jamf-connect",
        "clients/xcreds",
        "clients/iru",
        "clients/himmelblau",
        "clients/dovecot",
        "clients/freeradius",
        "clients/servers",
        "when-not",
    ),
    "Reference": ("settings", "answers", "glossary"),
    "Development": ("architecture", "CONTRIBUTING", "releasing", "SECURITY", "CHANGELOG"),
}
"""The pages, by parts of the navigation."""

FIRST: Final = "index.md"


def stage(folder: Path) -> None:
    """Write the sources of the site into an empty folder."""
    shutil.copy(CHECKOUT / "LICENSE", folder)
    for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")):
        text = path.read_text("utf-8")
        for link, moved in (("](docs/", "]("), ("](../", "]("), ("](README.md", f"]({FIRST}")):
            text = text.replace(link, moved)
        if path.name == "README.md":
            text += "".join(_toctree(caption, pages) for caption, pages in NAVIGATION.items())
        name = FIRST if path.name == "README.md" else path.name
        (folder / name).write_text(text, "utf-8")
    for path in CHECKOUT.glob("docs/*/*.md"):
        text = path.read_text("utf-8")
        text = text.replace("](../../README.md", f"](../{FIRST}").replace("](../../", "](../")
        staged = folder / path.relative_to(CHECKOUT / "docs")
        staged.parent.mkdir(exist_ok=True)
        staged.write_text(text, "utf-8")


def _toctree(caption: str, pages: tuple[str, ...]) -> str:
    return "\n".join(("", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```\n"))


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the attributes of a tag."""
        value = {name: text for name, text in attrs if text is not None}
        if "id" in value:
            self.anchors.add(value["id"])
        if tag == "a" and "href" in value:
            self.links.append(value["href"])
        elif tag == "link" and value.get("rel") != "canonical":
            self.loaded.append(value["href"])
        elif tag != "a" and "src" in value:
            self.loaded.append(value["src"])


def problems(site: Path) -> Iterator[str]:
    """Yield a line for each broken link of a site, and for each resource from another host."""
    site = site.resolve()
    page = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, parsed in page.items():
        name = path.relative_to(site)
        for address in parsed.loaded:
            if urlsplit(address).netloc:
                yield f"{name} loads {address}"
        for address in (*parsed.links, *parsed.loaded):
            if not urlsplit(address).scheme and not _exists(address, path, page):
                yield f"{name} links to {address}, which does not exist"
    first = site / "index.html"
    for reason in REMEDIES:
        address = help_url(reason).removeprefix(DOCUMENTATION).replace(".md", ".html")
        if not _exists(address, first, page):
            yield f"the help of {reason.value} does not exist"


def _exists(address: str, origin: Path, page: Mapping[Path, Page]) -> bool:
    file, fragment = urldefrag(address)
    target = (origin.parent / unquote(urlsplit(file).path)).resolve() if file else origin
    if target not in page:
        return target.is_file()
    return not fragment or unquote(fragment) in page[target].anchors


def main(folder: str) -> None:
    """Build the site, or exit with what is wrong."""
    try:
        from sphinx.cmd.build import main as sphinx
    except ImportError:
        sys.exit("Sphinx is not installed: make docs")
    site = Path(folder).absolute()
    sources = site.with_name(f"{site.name}-sources")
    for path in (site, sources):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    stage(sources)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(CHECKOUT / "docs")]
    doctrees = ["-d", str(sources / ".doctrees")]
    if status := sphinx([*options, *doctrees, str(sources), str(site)]):
        sys.exit(status)
    if found := list(problems(site)):
        sys.exit("\n".join(found))
    print(f"{site}/index.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
