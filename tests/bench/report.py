"""The tables of a run, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tests.bench.cpu import CPURow
from tests.bench.figures import Spread, ratios


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cpu_table(rows: Sequence[CPURow]) -> str:
    """Return the table of CPU time. The first row is what the others are compared with."""
    base = rows[0]
    head = (
        *("server", "checks/s on one core", "CPU ms per check", f"of {base.shape.name}"),
        *("requests per check", "connections per check"),
    )
    body = [
        (
            row.shape.name,
            f"{median(row.rate):.0f}",
            f"{median(row.milliseconds):.2f}",
            ratio(ratios(row.milliseconds, base.milliseconds)),
            f"{row.requests:.2f}",
            f"{row.connections:.3f}",
        )
        for row in rows
    ]
    cost = median([value for row in rows for value in row.authentik_microseconds])
    foot = f"\nThe fake Authentik itself: {cost:.0f} µs CPU per request.\n"
    return table(head, body) + foot


def ratio(of: Spread) -> str:
    """Return a ratio, with its spread over the rounds."""
    return f"{of.median:.2f} ({of.lowest:.2f} to {of.highest:.2f})"
