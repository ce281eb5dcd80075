"""Outages behind Authentik, and changes of passwords, in simulated fleets."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import FIRST_PYTHON_ONLY
from tests.parametrize import parametrize
from tests.simulation.fleet import HOUR
from tests.simulation.scenarios import CHANGES, OUTAGES, Scenario, most_told, table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "directories.md"


class OutageTests(SynchronousTestCase):
    """An outage of a directory tells few users that their password is wrong."""

    skip = FIRST_PYTHON_ONLY

    @parametrize({scenario.title: (scenario,) for scenario in OUTAGES})
    def test_at_most_three_users_or_one_in_a_hundred_are_told(self, scenario: Scenario) -> None:
        """In fleets of 20 and 200, with seeds that the table does not have."""
        for users, seed in product((20, 200), range(100, 103)):
            told = scenario.run(users, seed).falsely_told
            self.assertLessEqual(len(told), most_told(users), (users, seed))

    @parametrize({scenario.title: (scenario,) for scenario in OUTAGES if scenario.seconds > HOUR})
    def test_a_long_outage_is_recognized_and_ends(self, scenario: Scenario) -> None:
        """Also in a fleet of which 30 % are accepted all the while."""
        for seed in range(100, 103):
            result = scenario.run(200, seed)
            self.assertIsNotNone(result.recognized, seed)
            self.assertIsNotNone(result.over, seed)


class ChangeTests(SynchronousTestCase):
    """A user who has set a new password is told that the old one is wrong."""

    skip = FIRST_PYTHON_ONLY

    @parametrize({scenario.title: (scenario,) for scenario in CHANGES})
    def test_everybody_is_told(self, scenario: Scenario) -> None:
        """Also if an administrator has set new passwords for all users."""
        for users, seed in product((20, 200), range(100, 103)):
            self.assertEqual(scenario.run(users, seed).waiting, set(), (users, seed))

    @parametrize({scenario.title: (scenario,) for scenario in CHANGES if scenario.changed is None})
    def test_new_passwords_for_everybody(self, scenario: Scenario) -> None:
        """Most users are told within an hour of their first check, nearly all within two."""
        for users in (20, 200):
            results = [scenario.run(users, seed) for seed in range(100, 105)]
            delays = [delay for result in results for delay in result.delays.values()]
            self.assertGreaterEqual(len(delays), 5 * users)
            self.assertGreaterEqual(sum(d <= HOUR + 1 for d in delays), 0.7 * len(delays))
            two = sum(delay <= 2 * HOUR + 1 for delay in delays)
            self.assertGreaterEqual(two, 0.95 * len(delays))

    def test_five_new_passwords_at_once(self) -> None:
        """Nearly all are told at the first check."""
        [five] = [scenario for scenario in CHANGES if scenario.changed == 5]
        delays = [
            delay for seed in range(100, 120) for delay in five.run(200, seed).delays.values()
        ]
        at_once = sum(delay == 0 for delay in delays)
        self.assertGreaterEqual(at_once / len(delays), 0.98)


class TableTests(SynchronousTestCase):
    """The table in the documents is what the simulation prints."""

    skip = FIRST_PYTHON_ONLY

    def test_the_rows_of_the_smallest_fleet(self) -> None:
        """The rows of 20 users are in the documents, figure by figure."""
        document = DOCUMENT.read_text("utf-8")
        rows = [row for row in table(fleets=(20,)).splitlines() if "| 20 |" in row]
        self.assertEqual([row for row in rows if row not in document], [])
        self.assertEqual(len(rows), len(OUTAGES) + len(CHANGES))
