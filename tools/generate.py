"""Writes the files, and the parts of files, that are made from the code: ``make generated``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.tables import with_tables

CHECKOUT: Final = Path(__file__).resolve().parent.parent


def generated() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each file, as it should be."""
    for path in sorted(CHECKOUT.glob("docs/*.md")):
        yield path, with_tables(path.read_text("utf-8"))


def main() -> None:
    """Write the files that have changed, and print their names."""
    for path, text in generated():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    main()
