"""Tables of the documents that are made from the code.

A Markdown file has the place of a table between two comments::

    <!-- table: reasons -->
    <!-- end of table -->

Words after the name of the table choose its rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, Final
from unittest.mock import patch

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from twisted.internet.testing import MemoryReactorClock

from ropg_twisted.remedies import REMEDIES
from ropg_twisted.service import make_service
from ropg_twisted.settings.clients import CLIENT_TABLE, PROFILES
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE, Setting
from ropg_twisted.settings.values import text
from tools import scale

Row = tuple[str, ...]

_BLOCK: Final = re.compile(
    r"(?P<head><!-- table: (?P<name>\w+)(?P<rows>[^>]*?) -->\n).*?(?P<tail><!-- end of table -->)",
    re.DOTALL,
)


def with_tables(markdown: str) -> str:
    """Return a Markdown document with its tables made anew."""

    def table(block: re.Match[str]) -> str:
        rows = TABLES[block["name"]](block["rows"].split())
        return f"{block['head']}\n{_markdown(rows)}\n{block['tail']}"

    return _BLOCK.sub(table, markdown)


def rows_chosen(markdown: str, name: str) -> list[str]:
    """Return the words that choose rows of the tables called ``name``, in order."""
    blocks = _BLOCK.finditer(markdown)
    return [word for block in blocks if block["name"] == name for word in block["rows"].split()]


def _markdown(rows: Iterable[Row]) -> str:
    head, *others = rows
    return "".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n"
        for row in (head, ("---",) * len(head), *others)
    ).replace("|  |", "| |")


def _code(words: str) -> str:
    """Mark the words with an underscore, which are names, as code."""
    return re.sub(r"\b[A-Za-z\d]+(?:_[A-Za-z\d]+)+\b", r"`\g<0>`", words)


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _reasons(_: list[str]) -> Iterable[Row]:
    yield "reason", "answer", "meaning, and what to do"
    for reason, row in REMEDIES.items():
        anchor = f'<a id="{reason.value}"></a>`{reason.value}`'
        remedy = f"**What to do:** {_code(row.remedy)}" if row.remedy else ""
        meaning = "<br>".join(filter(None, (_code(row.summary), remedy, row.details)))
        yield anchor, row.answer, meaning


def _settings(names: list[str]) -> Iterable[Row]:
    yield "environment", "option", "file", "default", "meaning and example"
    for name in names:
        row = CONFIG if name == CONFIG.name else TABLE[name]
        repeatable = ", repeatable" if row.repeatable else ""
        option = f"`--{row.option}`{repeatable}" if row.option else ""
        key = "" if row is CONFIG else f"`{row.key}`"
        yield f"`{name}`", option, key, _default(row), _meaning(row)


def _clients(_: list[str]) -> Iterable[Row]:
    yield "key", "default", "meaning and example"
    for key, row in CLIENT_TABLE.items():
        yield f"`{key}`", _default(row), _meaning(row)


def _profiles(_: list[str]) -> Iterable[Row]:
    yield "profile", "the same as"
    for name, preset in PROFILES.items():
        yield f"`{name}`", ", ".join(f'`{key} = "{value}"`' for key, value in preset.items())


def _default(row: Setting) -> str:
    if row.required:
        return "required"
    if row.unset is not None:
        return row.unset
    if row.inherits is not None:
        return f"as `{row.inherits}`"
    return "none" if row.default is None else f"`{row.default}`"


def _meaning(row: Setting) -> str:
    example = row.example
    # The example of a text that has spaces describes it.
    if example == row.default or (row.parse is text and " " in example):
        shown = ""
    elif example.startswith("the output of: "):
        shown = f"Example: the output of `{example.removeprefix('the output of: ')}`."
    else:
        shown = f"Example: `{example}`."
    return _sentences(f"{row.meaning[0].upper()}{row.meaning[1:]}.", row.details, shown)


def _metrics(_: list[str]) -> Iterable[Row]:
    yield "metric", "type", "labels", "meaning"
    for collector in _collectors():
        for family in collector.collect():
            # Without samples, labels are in an attribute of the metric, or else of its family.
            source = collector if hasattr(collector, "_labelnames") else family
            labels = getattr(source, "_labelnames", ())
            suffix = "_total" if family.type == "counter" else ""
            yield (
                f"`{family.name}{suffix}`",
                family.type,
                ", ".join(f"`{label}`" for label in labels),
                _code(family.documentation),
            )


def _collectors() -> list[Collector]:
    """Return what the daemon registers for its metrics."""
    environ = {
        "AUTHENTIK_URL": "https://authentik.example.com",
        "PROXY_ISSUER": "https://ropg.example.com",
        "JWT_SECRET": "0" * 32,
    }
    reactor: Any = MemoryReactorClock()
    collectors: list[Collector] = []
    with patch.object(CollectorRegistry, "register", lambda _, each: collectors.append(each)):
        make_service(read_settings({}, environ), reactor)
    return collectors


def _audit(_: list[str]) -> Iterable[Row]:
    yield "field", "lines", "value"
    schema = json.loads((files("ropg_twisted.telemetry") / "audit.schema.json").read_text("utf-8"))
    kinds: dict[Row, list[str]] = {}
    for kind in schema["oneOf"]:
        kind = kind["$ref"].rpartition("/")[2]
        for name, field in schema["$defs"][kind]["properties"].items():
            field = schema["$defs"][name] if "$ref" in field else field
            values = [] if name == "reason" else field.get("enum", ())
            listed = ", ".join(f"`{value}`" for value in values)
            kinds.setdefault((name, field["description"], listed), []).append(kind)
    for (name, description, listed), names in kinds.items():
        lines = "all" if len(names) == len(schema["oneOf"]) else ", ".join(names)
        yield f"`{name}`", lines, _sentences(_code(description), listed and f"One of {listed}.")


def _scale(names: list[str]) -> Iterable[Row]:
    [name] = names
    figures = scale.Figures()
    if name == "needs":
        return scale.need_rows(scale.FLEETS, figures)
    if name == "ends":
        return scale.end_rows(figures)
    if name == "changes":
        return scale.change_rows(100_000, figures)
    return scale.figure_rows(figures)


TABLES: Final[Mapping[str, Callable[[list[str]], Iterable[Row]]]] = {
    "reasons": _reasons,
    "settings": _settings,
    "clients": _clients,
    "profiles": _profiles,
    "metrics": _metrics,
    "audit": _audit,
    "scale": _scale,
}
