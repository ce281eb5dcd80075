"""Scenarios of the simulation, and the table of their results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import Final

from tests.simulation.fleet import HOUR, Fleet, Outage, Result, SimulatedUser

START: Final = 3 * HOUR
"""Start of the outage, or time of the change."""

END: Final = 10 * HOUR
"""End of a run."""

PEAK: Final = 900.0
"""Seconds within which all Macs check, at nine o'clock and every hour after it."""

RUNS: Final = {20: 40, 200: 40, 5000: 4}
"""Number of runs of each scenario, by the number of users. Each has another seed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, and what happens to it.

    Attributes:
        directories: number of directories; the first one fails.
        internal: share of users whose password Authentik keeps.
        sick: share of checks that the failing directory refuses.
        seconds: duration of the outage; 0 for none.
        changed: number of users who set a new password at the same time; ``None`` for all.
        at_peak: the Macs check within :data:`PEAK`, which begins shortly before.
    """

    title: str
    directories: int = 1
    internal: float = 0.0
    sick: float = 1.0
    seconds: float = 2 * HOUR
    changed: int | None = 0
    at_peak: bool = False

    def run(self, users: int, seed: int) -> Result:
        """Return the result for a fleet of ``users``."""
        chance = Random(seed)
        fleet = Fleet(chance, users, self.directories, self.internal)
        for user in fleet.users:
            first = chance.uniform(0, HOUR)
            if self.at_peak:
                first = (START - PEAK / 3 + chance.uniform(0, PEAK)) % HOUR
            fleet.start_mac(user, first)
            fleet.change_now_and_then(user)
        if self.seconds:
            fleet.outage = self._outage(fleet)
        for user in chance.sample(fleet.users, users if self.changed is None else self.changed):
            fleet.at(START, lambda user=user: fleet.change(user))  # type: ignore[misc]
        return fleet.run(END)

    def _outage(self, fleet: Fleet) -> Outage:
        end = START + self.seconds

        def refuses(user: SimulatedUser) -> bool:
            is_down = user.directory == 1 and START <= fleet.clock.seconds() < end
            return is_down and fleet.chance.random() < self.sick

        return refuses


_OUTAGES: Final = (
    Scenario("one directory"),
    Scenario("one directory, 30 % internal", internal=0.3),
    Scenario("one of two directories", directories=2),
    Scenario("one of two, 30 % internal", directories=2, internal=0.3),
    Scenario("one of two servers sick", sick=0.5),
    Scenario("one of two servers sick, 30 % internal", sick=0.5, internal=0.3),
    Scenario("one directory, for two minutes", seconds=120),
)

OUTAGES: Final = tuple(
    scenario
    for each in _OUTAGES
    for scenario in (each, replace(each, title=f"{each.title}, nine o'clock", at_peak=True))
)

CHANGES: Final = (
    Scenario("nothing", seconds=0),
    Scenario("five new passwords", seconds=0, changed=5),
    Scenario("a new password for everybody", seconds=0, changed=None),
    Scenario("a new password for everybody, nine o'clock", seconds=0, changed=None, at_peak=True),
)


def most_told(users: int) -> int:
    """Return how many users may be told falsely: three, or one in a hundred."""
    return max(3, users // 100)


def table(fleets: Iterable[int] = tuple(RUNS)) -> str:
    """Return the results of all scenarios as tables in Markdown, for each number of users."""
    return "\n".join([*_outage_rows(fleets), "", *_change_rows(fleets)])


def _outage_rows(fleets: Iterable[int]) -> Iterator[str]:
    yield "| outage | users | told *wrong* falsely, at most | recognized after | over after |"
    yield "| --- | --- | --- | --- | --- |"
    for scenario in OUTAGES:
        for users in fleets:
            results = [scenario.run(users, seed) for seed in range(RUNS[users])]
            told = max(len(result.falsely_told) for result in results)
            recognized = _minutes([r.recognized for r in results], START)
            over = _minutes([r.over for r in results], START + scenario.seconds)
            yield f"| {scenario.title} | {users} | {told} | {recognized} | {over} |"


def _change_rows(fleets: Iterable[int]) -> Iterator[str]:
    yield "| change | users | told at once | within an hour | within two | never |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for scenario in CHANGES:
        for users in fleets:
            results = [scenario.run(users, seed) for seed in range(RUNS[users])]
            delays = [delay for result in results for delay in result.delays.values()]
            never = sum(len(result.waiting) for result in results)
            parts = [_percent(delays, seconds) for seconds in (1, HOUR + 1, 2 * HOUR + 1)]
            yield f"| {scenario.title} | {users} | {' | '.join(parts)} | {never} |"


def _minutes(times: list[float | None], since: float) -> str:
    """Return the median of the times that there are."""
    found = [time - since for time in times if time is not None]
    if 2 * len(found) < len(times):
        return "not"
    return f"{median(found) / 60:.0f} min"


def _percent(delays: list[float], seconds: float) -> str:
    """Return the share of delays of at most ``seconds``."""
    return f"{100 * sum(delay <= seconds for delay in delays) / max(len(delays), 1):.0f} %"
