"""The report of a run, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.bench.clients import ClientsRow
from tests.bench.cpu import WRONG, CPURow
from tests.bench.figures import Spread, quantile, ratios, spread
from tests.bench.latency import LatencyRow
from tests.bench.overload import OverloadRow
from tests.bench.results import Results
from tests.bench.scaling import Scaling
from tests.bench.targets import targets


def report(results: Results) -> str:
    """Return the report."""
    return "\n".join(_sections(results))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _sections(results: Results) -> Iterator[str]:
    yield table(("machine", ""), results.machine.items())
    if results.cpu:
        yield f"### Connections kept alive\n\n{_cpu(results.cpu)}"
    if results.tls:
        yield f"### A new TLS connection for each check\n\n{_cpu(results.tls)}"
    if results.mixed:
        yield f"### One password in {WRONG} wrong\n\n{_cpu(results.mixed)}"
    if results.latency:
        yield f"### Added latency\n\n{_latency(results.latency)}"
    if results.clients:
        yield f"### 1,000 clients\n\n{_clients(results.clients)}"
    if results.overload:
        yield f"### Twice the possible rate\n\n{_overload(results.overload)}"
    if results.scaling:
        yield f"### Two daemons on one socket\n\n{_scaling(results.scaling)}"
    if rows := list(targets(results)):
        head = ("target", "limit", "value", "")
        body = [
            (
                target.text,
                f"{'at least' if target.least else 'at most'} {target.limit:g}",
                f"{target.value:.3g}",
                "met" if target.met else "**missed**",
            )
            for target in rows
        ]
        yield f"### Targets\n\n{table(head, body)}"


def _cpu(rows: Sequence[CPURow]) -> str:
    base = rows[0]
    head = (
        *("server", "checks/s on one core", "CPU ms per check", f"of {base.shape.name}"),
        *("requests per check", "connections per check", "memory idle, MiB"),
    )
    body = [
        (
            row.shape.name,
            f"{median(row.rate):.0f}",
            f"{median(row.milliseconds):.2f}",
            ratio(ratios(row.milliseconds, base.milliseconds)),
            f"{row.requests:.2f}",
            f"{row.connections:.3f}",
            f"{row.memory:.0f}",
        )
        for row in rows
    ]
    cost = median([value for row in rows for value in row.authentik_microseconds])
    foot = f"\nThe fake Authentik itself: {cost:.0f} µs CPU per request.\n"
    return table(head, body) + foot


def _latency(rows: Sequence[LatencyRow]) -> str:
    head = ("server", "checks", "p50, ms", "p99, ms")
    return table(
        head,
        [
            (
                row.shape.name,
                f"{len(row.added)}",
                f"{1000 * quantile(row.added, 0.5):.1f}",
                f"{1000 * quantile(row.added, 0.99):.1f}",
            )
            for row in rows
        ],
    )


def _clients(rows: Sequence[ClientsRow]) -> str:
    head = (
        *("server", "answered", "told later", "at most after, s", "unanswered", "checks/s"),
        *("p50, s", "p99, s", "new connections", "memory idle, MiB", "over idle, MiB"),
    )
    return table(
        head,
        [
            (
                *(row.shape.name, f"{row.right}", f"{row.told_later}", f"{row.told_seconds:.2f}"),
                *(f"{row.unanswered}", f"{row.rate:.1f}", f"{row.p50:.2f}", f"{row.p99:.2f}"),
                *(f"{row.connections}", f"{row.memory_idle:.0f}", f"{row.memory_over:.0f}"),
            )
            for row in rows
        ],
    )


def _overload(rows: Sequence[OverloadRow]) -> str:
    head = (
        *("server", "best, checks/s", "offered, of it", "goodput, of it"),
        *("told later", "at most after, s"),
        *("unanswered", "rate after, of it"),
    )
    return table(
        head,
        [
            (
                *(row.shape.name, f"{median(row.best):.0f}"),
                *(f"{median(row.offered):.2f}", ratio(spread(row.goodput))),
                *(f"{row.told_later}", f"{row.told_seconds:.2f}", f"{row.unanswered}"),
                ratio(spread(row.after)),
            )
            for row in rows
        ],
    )


def _scaling(scaling: Scaling) -> str:
    head = ("one, checks/s", "two, checks/s", "ratio")
    body = [
        (
            f"{median(scaling.one):.0f}",
            f"{median(scaling.two):.0f}",
            ratio(ratios(scaling.two, scaling.one)),
        )
    ]
    foot = "\nThe second daemon shares its core with the load.\n" if scaling.shared_core else ""
    return table(head, body) + foot


def ratio(of: Spread) -> str:
    """Return a ratio, with its spread over the rounds."""
    return f"{of.median:.2f} ({of.lowest:.2f} to {of.highest:.2f})"
