"""The rule that tells an outage behind Authentik from changed passwords."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard import plausibility as plausibility_module
from ropg_twisted.guard.plausibility import (
    ALLOWANCE_PER_PROOF,
    MASS_CHANGE_SECONDS,
    MAX_EPISODE,
    MAX_RATIO,
    MIN_ALLOWANCE,
    RECOVERED,
    REFUSAL_WINDOW,
    USERS_PER_ALLOWANCE,
    Plausibility,
)
from tests.parametrize import parametrize

USERS = 200
NAMES = [f"user{number}" for number in range(USERS)]


class PlausibilityTests(SynchronousTestCase):
    """Refusals of last accepted passwords."""

    def setUp(self) -> None:
        """A fleet whose passwords were accepted an hour ago."""
        self.clock = Clock()
        self.plausibility = Plausibility(self.clock)
        self.accept(*NAMES)
        self.clock.advance(3600)

    def accept(self, *names: str, changed: bool = False) -> None:
        """Accept a password of each."""
        for name in names:
            self.plausibility.accept(name, changed=changed)

    def refuse(self, *names: str, known: int = USERS) -> list[bool]:
        """Refuse the last accepted password of each. Return whether that is plausible."""
        return [self.plausibility.refuse(name, known) for name in names]

    def begin_episode(self) -> None:
        """Refuse one more user than the allowance."""
        self.assertEqual(self.refuse(*NAMES[: MIN_ALLOWANCE + 1]), [*[True] * MIN_ALLOWANCE, False])
        self.assertTrue(self.plausibility.implausible)

    def test_the_fourth_user_starts_an_episode(self) -> None:
        """Three users are told, every later one is not."""
        self.begin_episode()
        self.assertEqual(self.refuse(*NAMES[10:40]), [False] * 30)

    def test_the_same_user_counts_once(self) -> None:
        """However often the Mac asks."""
        self.assertEqual(self.refuse(*["user0"] * 50), [True] * 50)
        self.assertFalse(self.plausibility.implausible)

    def test_the_allowance_grows_with_the_fleet(self) -> None:
        """The allowance is one in a hundred of the known users."""
        known = 10 * USERS_PER_ALLOWANCE
        self.assertEqual(self.refuse(*NAMES[:11], known=known), [*[True] * 10, False])

    def test_an_old_refusal_does_not_count(self) -> None:
        """Only those of the last hours."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.clock.advance(REFUSAL_WINDOW)
        self.assertEqual(self.refuse("user9"), [True])

    def test_a_young_refusal_counts(self) -> None:
        """Up to the last second."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.clock.advance(REFUSAL_WINDOW - 1)
        self.assertEqual(self.refuse("user9"), [False])

    def test_refusals_in_proportion(self) -> None:
        """More than nineteen times as many are accepted meanwhile."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.accept(*NAMES[10 : 11 + MAX_RATIO * (MIN_ALLOWANCE + 1)])
        self.assertEqual(self.refuse("user9"), [True])

    def test_refusals_out_of_proportion(self) -> None:
        """An acceptance less is too few."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.accept(*NAMES[10 : 10 + MAX_RATIO * (MIN_ALLOWANCE + 1)])
        self.assertEqual(self.refuse("user9"), [False])

    def test_one_user_who_is_accepted_often_hides_nothing(self) -> None:
        """Users are counted, not checks."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.accept(*["user100"] * 1000)
        self.assertEqual(self.refuse("user9"), [False])

    def test_a_proof_gives_back_its_place(self) -> None:
        """A user who comes with a new password was refused truly."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.accept("user0", changed=True)
        self.assertEqual(self.refuse("user8", "user9"), [True, False])

    def test_the_same_password_is_no_proof(self) -> None:
        """It was refused falsely. That counts like any other refusal."""
        self.refuse(*NAMES[:MIN_ALLOWANCE])
        self.accept("user0")
        self.assertEqual(self.refuse("user9"), [False])

    def test_who_was_told_is_told_again(self) -> None:
        """During an episode as well, so that the user comes with the new password."""
        self.begin_episode()
        self.assertEqual(self.refuse("user0"), [True])

    def test_who_was_accepted_since_is_not_told_again(self) -> None:
        """The first refusal was false."""
        self.begin_episode()
        self.accept("user0")
        self.assertEqual(self.refuse("user0"), [False])

    def test_recovery_ends_an_episode(self) -> None:
        """Users who were refused are accepted with the same passwords."""
        needed = RECOVERED * (MIN_ALLOWANCE + 1)
        self.begin_episode()
        self.refuse(*NAMES[:50])
        self.accept(*NAMES[: needed - 1])
        self.assertTrue(self.plausibility.implausible)
        self.accept(NAMES[needed - 1])
        self.assertFalse(self.plausibility.implausible)

    def test_a_refusal_in_between_sets_the_recovery_back(self) -> None:
        """A directory may have two servers, of which one is down."""
        needed = RECOVERED * (MIN_ALLOWANCE + 1)
        self.begin_episode()
        self.refuse(*NAMES[:50])
        self.accept(*NAMES[: needed - 1])
        self.refuse("user49")
        self.accept(NAMES[needed - 1])
        self.assertTrue(self.plausibility.implausible)

    def test_a_few_refused_users_recover(self) -> None:
        """All of them are accepted again."""
        self.begin_episode()
        self.accept(*NAMES[:MIN_ALLOWANCE])
        self.assertTrue(self.plausibility.implausible)
        self.accept(NAMES[MIN_ALLOWANCE])
        self.assertFalse(self.plausibility.implausible)

    def test_users_who_were_never_refused_do_not_end_an_episode(self) -> None:
        """Authentik keeps their passwords itself."""
        self.begin_episode()
        self.accept(*NAMES[100 : 100 + MAX_RATIO * (MIN_ALLOWANCE + 1)])
        self.assertTrue(self.plausibility.implausible)

    def test_refusals_back_in_proportion_end_an_episode(self) -> None:
        """Four accounts were closed, and everybody else is accepted."""
        self.begin_episode()
        self.accept(*NAMES[100 : 101 + MAX_RATIO * (MIN_ALLOWANCE + 1)])
        self.assertFalse(self.plausibility.implausible)

    def test_proofs_end_an_episode(self) -> None:
        """An administrator has set new passwords for all users."""
        self.begin_episode()
        self.accept("user0", changed=True)
        self.assertTrue(self.plausibility.implausible)
        self.accept("user1", changed=True)
        self.assertFalse(self.plausibility.implausible)

    @parametrize({"at once": (0, 2 * ALLOWANCE_PER_PROOF), "hours later": (MASS_CHANGE_SECONDS, 0)})
    def test_proofs_raise_the_allowance(self, pause: float, bonus: int) -> None:
        """More users are told in the next round, for some hours."""
        self.begin_episode()
        self.accept("user0", "user1", changed=True)
        self.clock.advance(pause)
        told = self.refuse(*NAMES[50:80]).index(False)
        self.assertEqual(told, MIN_ALLOWANCE + bonus)

    def test_a_changed_password_of_a_user_who_was_not_refused_is_no_proof(self) -> None:
        """Only what follows a refusal shows that it was true."""
        self.begin_episode()
        self.accept(*NAMES[100:110], changed=True)
        self.assertTrue(self.plausibility.implausible)

    def test_one_user_gives_one_proof(self) -> None:
        """However often the user sets a new password."""
        self.begin_episode()
        self.accept(*["user0"] * 10, changed=True)
        self.assertTrue(self.plausibility.implausible)

    def test_an_episode_ends_after_a_day(self) -> None:
        """No acceptance is needed."""
        self.begin_episode()
        self.clock.advance(MAX_EPISODE - 1)
        self.assertTrue(self.plausibility.implausible)
        self.clock.advance(1)
        self.assertFalse(self.plausibility.implausible)


class BoundTests(SynchronousTestCase):
    """A fleet of any size."""

    def test_only_the_latest_users_are_remembered(self) -> None:
        """The user who was told first is told again, as one who was never told."""
        self.patch(plausibility_module, "MAX_USERS", 2)
        plausibility = Plausibility(Clock())
        told = [plausibility.refuse(name, USERS) for name in ("a", "b", "c", "a", "b", "c")]
        self.assertEqual(told, [True] * 6)
        self.assertFalse(plausibility.implausible)


Event = tuple[str, int, float]

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("refuse", "accept")),
        st.integers(0, 30),
        st.floats(0, REFUSAL_WINDOW / 200),
    ),
    max_size=199,
)
"""Events of users and the seconds before each, all within the time that a refusal counts."""


class RandomTests(SynchronousTestCase):
    """Random fleets."""

    @given(EVENTS)
    def test_without_a_proof_the_allowance_is_never_exceeded(self, events: list[Event]) -> None:
        """Between two episodes at most three users are told, whoever is accepted."""
        clock = Clock()
        plausibility = Plausibility(clock)
        told: set[str] = set()
        for kind, number, pause in events:
            clock.advance(pause)
            name = f"user{number}"
            was_implausible = plausibility.implausible
            if kind == "accept":
                plausibility.accept(name, changed=False)
            elif plausibility.refuse(name, 30):
                told.add(name)
            self.assertLessEqual(len(told), MIN_ALLOWANCE)
            if was_implausible and not plausibility.implausible:
                told.clear()

    @given(EVENTS)
    def test_who_knows_no_accepted_password_starts_no_episode(self, events: list[Event]) -> None:
        """Without a refusal of a last accepted password everything is plausible."""
        clock = Clock()
        plausibility = Plausibility(clock)
        for kind, number, pause in events:
            clock.advance(pause)
            if kind == "accept":
                plausibility.accept(f"user{number}", changed=number % 2 == 0)
        self.assertFalse(plausibility.implausible)
