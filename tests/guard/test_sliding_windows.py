"""Counts in the memory of one daemon."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from limits import parse
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard import sliding_windows
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.sliding_windows import SlidingWindows
from tests.guard.redis import ALICE, ALLOWED, BOB

STEPS = st.lists(
    st.tuples(st.sampled_from((0, 0, 0, 1, 7, 30, 59, 60, 61, 119, 120, 500)), st.booleans()),
    max_size=60,
)


class SlidingWindowsTests(SynchronousTestCase):
    """Counts in the memory of one daemon."""

    def setUp(self) -> None:
        """Nothing has been counted yet."""
        self.clock = Clock()
        self.clock.advance(12_345.6)
        self.windows = SlidingWindows(self.clock)
        self.rate = parse("4 per minute")

    def use_up(self, *key: str) -> int:
        """The number of attempts that are counted until there is no more room."""
        for count in range(100):
            if not self.windows.has_room(self.rate, key):
                return count
            self.windows.add(self.rate, key)
        self.fail(f"there is always room for {key}")

    def test_room(self) -> None:
        """There is room for as many as the rate allows, together and for each key."""
        for count in range(ALLOWED + 1):
            for cost in range(1, 2 * ALLOWED):
                expected = count + cost <= ALLOWED
                self.assertEqual(self.windows.has_room(self.rate, ALICE, cost=cost), expected)
            self.windows.add(self.rate, ALICE)
        self.assertEqual(self.use_up(*BOB), ALLOWED)

    def test_it_slides(self) -> None:
        """The window before counts for the part that the last minute still reaches into it."""
        self.assertEqual(self.use_up("alice"), 4)
        for seconds, room in (
            (59, 0),
            (1, 0),
            (1, 1),
            (14, 0),
            (15, 1),
            (30, 2),
            (60, 2),
            (120, 4),
        ):
            self.clock.advance(seconds)
            self.assertEqual(self.use_up("alice"), room, self.clock.seconds())

    def test_after_a_long_time(self) -> None:
        """A user who comes back after many windows begins anew, and is counted anew."""
        for seconds in (0, 180, 600.5):
            self.clock.advance(seconds)
            self.assertEqual(self.use_up("alice"), ALLOWED)
            self.clock.advance(1)
            self.assertEqual(self.use_up("alice"), 0)

    def test_no_clock_on_the_wall(self) -> None:
        """The time of day may jump: nobody gets new attempts, and nobody loses them."""
        limiter = RateLimiter(None, self.clock)
        now = time.time()
        for jump in (0, 3600, -3600, 400 * 24 * 3600):
            self.patch(time, "time", lambda moment=now + jump: moment)
            hit = Deferred.fromCoroutine(limiter.hit(parse("3 per day"), ALICE))
            self.assertEqual(self.successResultOf(hit), jump < 3600 * 24)

    @given(STEPS)
    def test_the_wait_is_as_long_as_it_says(self, steps: list[tuple[int, bool]]) -> None:
        """After the seconds that are left there is room, and a second before there was none."""
        clock = Clock()
        windows = SlidingWindows(clock)
        for seconds, in_any_case in steps:
            clock.advance(seconds)
            if in_any_case:
                windows.add(self.rate, ALICE)
            if windows.has_room(self.rate, ALICE):
                self.assertEqual(windows.seconds_left(self.rate, ALICE), 1)
                windows.add(self.rate, ALICE)
                continue
            left = windows.seconds_left(self.rate, ALICE)
            clock.advance(left - 1)
            if left > 1:
                self.assertFalse(windows.has_room(self.rate, ALICE))
            clock.advance(1)
            self.assertTrue(windows.has_room(self.rate, ALICE))

    @given(STEPS)
    def test_an_idle_window_is_as_good_as_none(self, steps: list[tuple[int, bool]]) -> None:
        """A window that is forgotten because it is over would have counted for nothing."""
        clock = Clock()
        windows = SlidingWindows(clock)
        for seconds, _ in steps:
            clock.advance(seconds)
            windows.add(self.rate, ALICE)
        clock.advance(120)
        self.assertTrue(windows.has_room(self.rate, ALICE, cost=ALLOWED))

    def test_memory_is_bounded(self) -> None:
        """Many others do not make a count forgotten that is higher than theirs."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        self.windows.add(self.rate, ("carol",))
        self.assertEqual(self.use_up("alice"), ALLOWED)
        for number in range(100):
            for _ in range(ALLOWED - 1):
                self.windows.add(self.rate, (f"user {number}",))
            self.assertLessEqual(len(vars(self.windows)["_windows"]), 8)
        self.assertEqual(self.use_up("alice"), 0)
        self.assertEqual(self.use_up("carol"), ALLOWED)

    def test_what_is_over_is_forgotten_first(self) -> None:
        """A high count of long ago makes way for a low one of now."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        for number in range(7):
            self.use_up(f"user {number}")
        self.clock.advance(120)
        self.windows.add(self.rate, ALICE)
        self.windows.add(self.rate, BOB)
        self.assertEqual(self.use_up(*ALICE), ALLOWED - 1)
        self.assertEqual(self.use_up(*BOB), ALLOWED - 1)

    def test_the_window_before_is_no_less_of_a_count(self) -> None:
        """A count that has just slid on is forgotten no sooner than one of now."""
        self.patch(sliding_windows, "MAX_COUNTS", 8)
        self.use_up("alice")
        self.clock.advance(61)
        for number in range(20):
            self.windows.add(self.rate, (f"user {number}",))
        self.assertEqual(self.use_up("alice"), 1)
