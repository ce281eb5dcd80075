"""The example of a settings file: every setting, commented out, with its default."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.clients import CLIENT_TABLE
from ropg_twisted.settings.table import TABLE, Setting

HEAD: Final = f"""\
# Settings of ropg. Remove the # before a setting to set it; authentik_url and proxy_issuer must be
# set. Then: systemctl restart ropg. For some settings systemctl reload ropg is enough.
# All about them: {DOCUMENTATION}settings.md
"""

CLIENTS: Final = """
# Clients, one table for each. Without a table there is one client, that of client_id.
#[[clients]]
"""

WIDTH: Final = 98


def settings_file() -> str:
    """Return the text of the file."""
    rows = sorted(TABLE.values(), key=lambda row: not row.required)
    return "".join((HEAD, *_assignments(rows), CLIENTS, *_assignments(CLIENT_TABLE.values())))


def _assignments(rows: Iterable[Setting]) -> Iterator[str]:
    """Yield the meaning, default and assignment of each setting."""
    for row in rows:
        meaning = f"{_plain(row.meaning)}. {_default(row)}"
        meaning = meaning[0].upper() + meaning[1:]
        comment = textwrap.fill(meaning, WIDTH, initial_indent="# ", subsequent_indent="#   ")
        yield f"\n{comment}\n#{row.key} = {_value(row)}\n"


def _plain(markdown: str) -> str:
    return markdown.replace("`", '"')


def _default(row: Setting) -> str:
    if row.required:
        return "Required; an example:"
    if row.default is not None and row.unset is None:
        return "Default:"
    if row.inherits is not None:
        return f"Default: as {TABLE[row.inherits].key}; an example:"
    return f"Default: {_plain(row.unset or 'none')}; an example:"


def _value(row: Setting) -> str:
    """Return the default, or the example if there is none, as a value of TOML."""
    text = row.example if row.default is None else row.default
    if text.isdigit():
        return text
    return json.dumps(text, ensure_ascii=False)
