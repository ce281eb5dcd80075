"""Writes the files, and the parts of files, that are made from the code: ``make generated``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ropg_twisted import cli, tap
from tools import completion, manpages
from tools.settings_file import settings_file
from tools.tables import with_tables

CHECKOUT: Final = Path(__file__).resolve().parent.parent


def generated() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each file, as it should be."""
    for path in sorted(CHECKOUT.glob("docs/**/*.md")):
        yield path, with_tables(path.read_text("utf-8"))
    table: Any = cli.Options.subCommands
    commands = {name: (parser(), summary) for name, _, parser, summary in table}
    parsers = {name: parser for name, (parser, _) in commands.items()}
    yield CHECKOUT / "contrib/ropg.toml", settings_file()
    share = CHECKOUT / "share"
    yield share / "man/man1/ropg.1", manpages.ropg_page(cli.Options(), commands)
    yield share / "man/man8/twistd-ropg.8", manpages.twistd_ropg_page(tap.Options())
    bash = share / "bash-completion/completions"
    yield bash / "ropg", completion.bash("ropg", {"": cli.Options(), **parsers})
    yield bash / "twistd", completion.bash("twistd", {"ropg": tap.Options()})


def main() -> None:
    """Write the files that have changed, and print their names."""
    for path, text in generated():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    main()
