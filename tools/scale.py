"""Arithmetic of ``docs/scale.md``: what a fleet of Macs needs. ``python -m tools.scale --help``.

The figures are in one place, :class:`Figures`. Each is an option of the command, with its source.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from ropg_twisted.guard.accepted_logins import MAX_USERS
from ropg_twisted.settings.table import DEFAULT_LIMITS, TABLE
from ropg_twisted.settings.values import rates

Row = tuple[str, ...]

FLEETS: Final = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of Macs in the table of the page."""

WEB_WORKERS: Final = 2
"""Authentik's default of ``AUTHENTIK_WEB__WORKERS``."""

DATABASE_CONNECTIONS: Final = 100
"""PostgreSQL's default of ``max_connections``."""

ASSUMED: Final = "assumption"
VERDICTS: Final = "measured with Authentik 2026.5, web and database together"
BENCH: Final = "measured on a busy two-core machine"


def figure(
    default: float, meaning: str, source: str, *, least: float = 0.001, most: float = math.inf
) -> Any:
    """Return a field with what the page says about it, and its range."""
    metadata = {"meaning": meaning, "source": source, "least": least, "most": most}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one Mac and of one check. Raises :exc:`ValueError` for one out of its range."""

    checks_per_hour: float = figure(
        1, "checks of a Mac in an hour", "`NetworkCheck` of 60 minutes, the default of Jamf Connect"
    )
    working_hours: float = figure(8, "hours a day in which a Mac is awake", ASSUMED, most=24)
    peak_share: float = figure(
        0.5, "part of all Macs that log in at nine o'clock", ASSUMED, least=0, most=1
    )
    peak_minutes: float = figure(15, "minutes in which they do", ASSUMED)
    wrong_share: float = figure(
        0.02, "part of the checks at Authentik with a wrong password", ASSUMED, least=0, most=1
    )
    answered_share: float = figure(
        0,
        "part of all checks that the daemon answers alone, by a cache or a limit",
        "the cache of rejected passwords lasts ten minutes: hourly checks do not meet it",
        least=0,
        most=0.99,
    )
    utilisation: float = figure(
        0.6, "part of its time that a core is busy at the peak", ASSUMED, least=0.05, most=0.95
    )
    authentik_cpu: float = figure(
        0.85,
        "CPU seconds of Authentik for a right password",
        f"{VERDICTS}: the recommended flow, whose session ends by itself. "
        "With a removal 1.05; the login alone 0.82",
    )
    authentik_cpu_wrong: float = figure(0.65, "the same for a wrong password", VERDICTS)
    requests: float = figure(
        7, "requests to Authentik for a right password", "counted: the recommended flow", least=1
    )
    requests_wrong: float = figure(4, "the same for a wrong password", "counted", least=1)
    daemon_cpu_ms: float = figure(4.6, "CPU ms of the daemon for a check", f"{BENCH}, with RS256")
    tls_cpu_ms: float = figure(0.5, "CPU ms for the new TLS connection of a check", BENCH)
    shared_limits_cpu_ms: float = figure(
        0.4, "CPU ms of the daemon for limits in Redis instead of memory", BENCH
    )
    daemon_mb: float = figure(63, "MB of a daemon that is idle", BENCH)
    check_mb: float = figure(
        0.13, "MB for each check under way", "measured: 197 MB with 1,000 clients"
    )
    redis_cpu_ms: float = figure(0.1, "CPU ms of Redis for a check", BENCH)
    redis_commands: float = figure(
        4,
        "commands to Redis for a right password",
        "counted: two scripts and two writes, with `ROPG_PASSWORD_HASH_KEY`",
    )
    redis_user_bytes: float = figure(
        330, "bytes in Redis for a user", "measured: one network, one hash, one count"
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        for each in fields(self):
            least, most = each.metadata["least"], each.metadata["most"]
            if not least <= getattr(self, each.name) <= most:
                raise ValueError(f"{option(each.name)} is not within {least:g} and {most:g}")

    @property
    def average_rate(self) -> float:
        """Checks of a Mac in a second, if all Macs spread theirs evenly."""
        return self.checks_per_hour / 3600

    @property
    def peak_rate(self) -> float:
        """Checks of a Mac in a second at the peak.

        One part of the Macs log in. The others make their hourly checks.
        """
        others = (1 - self.peak_share) * self.average_rate
        return max(self.average_rate, self.peak_share / (60 * self.peak_minutes) + others)

    @property
    def daemon_seconds(self) -> float:
        """CPU seconds of the daemon for a check."""
        return (self.daemon_cpu_ms + self.tls_cpu_ms + self.shared_limits_cpu_ms) / 1000

    @property
    def authentik_seconds(self) -> float:
        """CPU seconds of Authentik for a check that reaches it."""
        wrong = self.wrong_share
        return (1 - wrong) * self.authentik_cpu + wrong * self.authentik_cpu_wrong

    @property
    def authentik_requests(self) -> float:
        """Requests to Authentik for a check that reaches it."""
        return (1 - self.wrong_share) * self.requests + self.wrong_share * self.requests_wrong

    @property
    def latency(self) -> float:
        """Seconds of a check at a busy Authentik.

        A core that shares its time among requests and is busy for a part ``u`` of it takes 1 / (1 -
        u) times as long (M/M/1). Many cores wait less for each other, so this is an upper bound.
        """
        return self.authentik_seconds / (1 - self.utilisation)


@dataclass(frozen=True, slots=True)
class Need:
    """Need of a fleet at its peak.

    Attributes:
        checks_a_day: also lines in the audit log.
        average: checks a second over the working hours.
        peak: checks a second at the peak.
        at_authentik: checks under way at Authentik, on average at the peak.
        authentik_cores: also web workers: one process keeps at most one core busy.
        requests: requests a second to Authentik.
        instances: daemons, each on a core.
        daemon_cores: what they use of these.
        daemon_mb: memory of all instances.
        slots: the least ``ROPG_MAX_CHECKS`` of each instance.
        database_connections: of Authentik's web processes.
        redis_cores: part of the one core that Redis can use.
        redis_commands: commands a second.
        redis_mb: memory.
        address_rate: checks in a minute, if all Macs have one address.
    """

    checks_a_day: float
    average: float
    peak: float
    at_authentik: float
    authentik_cores: int
    requests: float
    instances: int
    daemon_cores: float
    daemon_mb: float
    slots: int
    database_connections: int
    redis_cores: float
    redis_commands: float
    redis_mb: float
    address_rate: int


def with_bursts(mean: float) -> int:
    """Return how many are there at a time at most, if ``mean`` are on average; at least 1.

    Checks that do not know of each other are a Poisson process: their number exceeds its mean by
    three standard deviations in one moment of several hundred.
    """
    return max(1, math.ceil(mean + 3 * math.sqrt(mean)))


def mean_within(most: float) -> float:
    """Return the largest mean that :func:`with_bursts` keeps within ``most``."""
    root = (math.sqrt(9 + 4 * most) - 3) / 2
    return root * root


def need(macs: float, figures: Figures) -> Need:
    """Return what ``macs`` Macs need."""
    peak = macs * figures.peak_rate
    reaching = peak * (1 - figures.answered_share)
    at_authentik = reaching * figures.latency  # Little's law
    daemon_cores = peak * figures.daemon_seconds
    instances = max(1, math.ceil(daemon_cores / figures.utilisation))
    hours = figures.working_hours
    return Need(
        checks_a_day=macs * (figures.peak_share + figures.checks_per_hour * hours),
        average=macs * figures.average_rate,
        peak=peak,
        at_authentik=at_authentik,
        authentik_cores=max(
            1, math.ceil(reaching * figures.authentik_seconds / figures.utilisation)
        ),
        requests=reaching * figures.authentik_requests,
        instances=instances,
        daemon_cores=daemon_cores,
        daemon_mb=instances * figures.daemon_mb + with_bursts(at_authentik) * figures.check_mb,
        slots=with_bursts(at_authentik / instances),
        database_connections=with_bursts(at_authentik),
        redis_cores=peak * figures.redis_cpu_ms / 1000,
        redis_commands=peak * figures.redis_commands,
        redis_mb=macs * figures.redis_user_bytes / 1_000_000,
        address_rate=with_bursts(peak * 60),
    )


def ends(figures: Figures) -> list[tuple[int, str, str]]:
    """Return where each part ends, the first one first: Macs, the part, and what then."""
    rate = figures.peak_rate
    reaching = rate * (1 - figures.answered_share)
    at_authentik = reaching * figures.latency
    address = rates(DEFAULT_LIMITS).address
    assert address is not None
    slots = int(TABLE["ROPG_MAX_CHECKS"].default or 0)
    busy = figures.utilisation
    return sorted(
        (max(1, math.floor(macs)), part, then)
        for macs, part, then in (
            (
                mean_within(address.amount) / (address.get_expiry() * rate),
                f"the default rate of an address, {address.amount} in {address.get_expiry()} s",
                "[set the rate](#many-macs-behind-one-address)",
            ),
            (
                WEB_WORKERS * busy / (reaching * figures.authentik_seconds),
                f"Authentik's {WEB_WORKERS} web workers",
                "[more workers, then more hosts](#authentik)",
            ),
            (
                mean_within(slots) / at_authentik,
                f"the default `ROPG_MAX_CHECKS`, {slots}",
                "[set it](#the-daemon)",
            ),
            (
                MAX_USERS,
                f"the {MAX_USERS:,} users whom a daemon remembers",
                "[Redis](#redis), with one daemon too",
            ),
            (
                mean_within(DATABASE_CONNECTIONS) / at_authentik,
                f"the {DATABASE_CONNECTIONS} connections of PostgreSQL",
                "[more connections, or a pooler](#authentik)",
            ),
            (
                busy / (rate * figures.daemon_seconds),
                "one core of the daemon",
                "[several instances](#the-daemon)",
            ),
            (
                busy / (rate * figures.redis_cpu_ms / 1000),
                "one core of Redis",
                "[a second group of daemons](#redis)",
            ),
        )
    )


def need_rows(fleets: Sequence[float], figures: Figures) -> Iterator[Row]:
    """Yield the table of needs: a column for each fleet."""
    needs = [need(macs, figures) for macs in fleets]
    yield "Macs", *(number(macs) for macs in fleets)
    for name, values in (
        ("checks a day", [each.checks_a_day for each in needs]),
        ("checks a second, spread evenly", [each.average for each in needs]),
        ("**checks a second at the peak**", [each.peak for each in needs]),
        ("**Authentik: cores, and web workers**", [each.authentik_cores for each in needs]),
        ("requests a second", [each.requests for each in needs]),
        ("checks under way", [each.at_authentik for each in needs]),
        ("database connections", [each.database_connections for each in needs]),
        ("**the daemon: instances, each on a core**", [each.instances for each in needs]),
        ("CPU, in cores", [each.daemon_cores for each in needs]),
        ("memory of all, MB", [math.ceil(each.daemon_mb) for each in needs]),
        ("`ROPG_MAX_CHECKS` of each, at least", [each.slots for each in needs]),
        ("**Redis: CPU, in cores**", [each.redis_cores for each in needs]),
        ("commands a second", [each.redis_commands for each in needs]),
        ("memory, MB", [math.ceil(each.redis_mb) for each in needs]),
        ("**rate of an address, all behind one**, a minute", [each.address_rate for each in needs]),
    ):
        yield name, *(number(value) for value in values)


def end_rows(figures: Figures) -> Iterator[Row]:
    """Yield the table of ends."""
    yield "ends at", "part", "then"
    for macs, part, then in ends(figures):
        yield f"{number(_rounded(macs))} Macs", part, then


def change_rows(macs: float, figures: Figures) -> Iterator[Row]:
    """Yield the table of changes to a fleet, each alone."""
    yield "change", "option", "checks a second at the peak", "cores of Authentik"
    for change, changed in (
        ("none", {}),
        ("`NetworkCheck` of 240 minutes", {"checks_per_hour": 0.25}),
        ("logins within an hour instead", {"peak_minutes": 60.0}),
        ("no check at the login", {"peak_share": 0.0}),
        ("sessions are removed", {"authentik_cpu": 1.05}),
    ):
        result = need(macs, replace(figures, **changed))
        options = " ".join(f"`{option(name)} {value:g}`" for name, value in changed.items())
        yield change, options, number(result.peak), number(result.authentik_cores)


def figure_rows(figures: Figures) -> Iterator[Row]:
    """Yield the table of figures, with their sources."""
    yield "figure", "value", "option", "source"
    for each in fields(figures):
        value = f"{getattr(figures, each.name):g}"
        yield each.metadata["meaning"], value, f"`{option(each.name)}`", each.metadata["source"]


def option(name: str) -> str:
    """Return the option of a figure."""
    return "--" + name.replace("_", "-")


def number(value: float) -> str:
    """Return a number for a reader: whole from 100 on, else with one digit, or two below 1."""
    if 0 < value < 0.01:
        return "under 0.01"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _rounded(macs: int) -> int:
    """Return a number of Macs, rounded down to two digits: the figures are not better."""
    unit: int = 10 ** max(0, len(str(macs)) - 2)
    return macs // unit * unit


def plain(rows: Sequence[Row]) -> str:
    """Return a table as text in columns, without Markdown."""
    texts = [[cell.replace("*", "").replace("`", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in texts)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables for the figures of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.scale", description="Plans a fleet.")
    parser.add_argument(
        "--macs", type=float, nargs="+", default=FLEETS, help="Macs; several for several columns"
    )
    for each in fields(Figures):
        meaning, source = each.metadata["meaning"], each.metadata["source"]
        text = f"{meaning} (%(default)g; {source})"
        parser.add_argument(option(each.name), type=float, default=each.default, help=text)
    values = vars(parser.parse_args(arguments))
    fleets = values.pop("macs")
    if not all(0 < macs < math.inf for macs in fleets):
        parser.error("--macs is not a number of Macs")
    try:
        figures = Figures(**values)
    except ValueError as error:
        parser.error(str(error))
    print(plain(list(need_rows(fleets, figures))))
    print()
    print(plain([row[:2] for row in end_rows(figures)]))


if __name__ == "__main__":
    main()
