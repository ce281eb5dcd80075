"""The arithmetic of docs/scale.md."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tools.scale import (
    FLEETS,
    Figures,
    ends,
    figure_rows,
    main,
    mean_within,
    need,
    number,
    with_bursts,
)

MACS = st.integers(1, 10_000_000)
FIGURES = st.builds(
    Figures,
    checks_per_hour=st.floats(0.05, 12),
    peak_share=st.floats(0, 1),
    peak_minutes=st.floats(1, 240),
    wrong_share=st.floats(0, 1),
    answered_share=st.floats(0, 0.99),
    utilisation=st.floats(0.05, 0.95),
    authentik_cpu=st.floats(0.01, 5),
    daemon_cpu_ms=st.floats(0.1, 50),
)

GROWING = (
    "checks_per_hour",
    "authentik_cpu",
    "authentik_cpu_wrong",
    "daemon_cpu_ms",
    "tls_cpu_ms",
    "shared_limits_cpu_ms",
    "redis_cpu_ms",
    "redis_commands",
    "requests",
    "daemon_mb",
    "check_mb",
)
"""Figures that nothing needs less of when they are larger."""


def values(macs: float, figures: Figures) -> dict[str, float]:
    """The need by name, without what is divided among the instances."""
    result = need(macs, figures)
    return {
        each.name: getattr(result, each.name) for each in fields(result) if each.name != "slots"
    }


class NeedTests(SynchronousTestCase):
    """What a fleet needs."""

    def assert_no_less(self, more: dict[str, float], less: dict[str, float]) -> None:
        """Nothing of ``more`` is below ``less``, but for rounding."""
        for name, value in less.items():
            self.assertGreaterEqual(more[name] * (1 + 1e-9), value, name)

    @given(MACS, MACS, FIGURES)
    def test_more_macs_need_more(self, one: int, two: int, figures: Figures) -> None:
        """A larger fleet needs at least as much of everything."""
        self.assert_no_less(values(max(one, two), figures), values(min(one, two), figures))

    @given(MACS, FIGURES, st.sampled_from(GROWING), st.floats(1, 3))
    def test_larger_figures_need_more(
        self, macs: int, figures: Figures, name: str, factor: float
    ) -> None:
        """A check that costs more, or comes more often, needs at least as much of everything."""
        # A wave that is slower than the hourly checks is none.
        figures = replace(figures, peak_minutes=min(figures.peak_minutes, 1))
        larger = replace(figures, **{name: getattr(figures, name) * factor})
        self.assert_no_less(values(macs, larger), values(macs, figures))

    @given(MACS, FIGURES)
    def test_at_least_one(self, macs: int, figures: Figures) -> None:
        """There is no fleet without a core, a daemon, a slot or a connection."""
        result = need(macs, figures)
        for name in ("authentik_cores", "instances", "slots", "database_connections"):
            self.assertGreaterEqual(getattr(result, name), 1, name)
        self.assertGreaterEqual(result.address_rate, 1)

    @given(MACS, FIGURES)
    def test_littles_law(self, macs: int, figures: Figures) -> None:
        """Checks under way are the checks a second times their seconds."""
        result = need(macs, figures)
        reaching = result.peak * (1 - figures.answered_share)
        self.assertAlmostEqual(
            result.at_authentik / (reaching * figures.latency), 1, msg="checks under way"
        )
        # Slots are for at least that many in all instances together.
        self.assertGreaterEqual(result.slots * result.instances, result.at_authentik * (1 - 1e-9))
        self.assertGreaterEqual(result.database_connections, result.at_authentik)

    @given(MACS, FIGURES)
    def test_utilisation(self, macs: int, figures: Figures) -> None:
        """No core is busier than it may be, and one core less would be."""
        result = need(macs, figures)
        reaching = result.peak * (1 - figures.answered_share)
        for cores, busy in (
            (result.authentik_cores, reaching * figures.authentik_seconds),
            (result.instances, result.daemon_cores),
        ):
            self.assertLessEqual(busy, cores * figures.utilisation * (1 + 1e-9))
            if cores > 1:
                self.assertGreater(busy, (cores - 1) * figures.utilisation * (1 - 1e-9))

    @given(MACS, FIGURES)
    def test_peak(self, macs: int, figures: Figures) -> None:
        """The peak is no less than the average, nor than the logins alone."""
        result = need(macs, figures)
        self.assertGreaterEqual(result.peak, result.average)
        logins = macs * figures.peak_share / (60 * figures.peak_minutes)
        self.assertGreaterEqual(result.peak * (1 + 1e-9), logins)

    def test_by_hand(self) -> None:
        """A fleet of 7,200 Macs, worked out with pencil and paper."""
        figures = Figures(wrong_share=0, authentik_cpu=0.9, utilisation=0.6, peak_minutes=10)
        result = need(7_200, figures)
        self.assertAlmostEqual(result.average, 2)
        self.assertAlmostEqual(result.peak, 3_600 / 600 + 1)
        self.assertEqual(result.authentik_cores, 11)  # 7 * 0.9 / 0.6 = 10.5
        self.assertAlmostEqual(result.at_authentik, 15.75)  # 7 * 0.9 / (1 - 0.6)
        self.assertEqual(result.slots, 28)  # 15.75 + 3 * 3.97 = 27.7
        self.assertEqual(result.address_rate, 482)  # 420 + 3 * 20.5 = 481.5
        self.assertEqual(result.checks_a_day, 7_200 * 8.5)
        self.assertAlmostEqual(result.requests, 49)


class BurstTests(SynchronousTestCase):
    """Room for chance."""

    @given(st.floats(1, 1e6))
    def test_inverse(self, most: float) -> None:
        """A mean within a limit keeps its bursts within it, and a larger mean does not."""
        mean = mean_within(most)
        self.assertLessEqual(mean + 3 * math.sqrt(mean), most * (1 + 1e-9))
        self.assertGreater(with_bursts(mean * 1.01 + 1), most)

    @given(st.floats(0, 1e9))
    def test_no_less_than_the_mean(self, mean: float) -> None:
        """A limit is above the mean."""
        self.assertGreaterEqual(with_bursts(mean), mean)

    def test_at_least_one(self) -> None:
        """A limit is never 0, which would let nobody in."""
        self.assertEqual(with_bursts(0), 1)


class EndTests(SynchronousTestCase):
    """Where a part ends."""

    @given(FIGURES)
    def test_first_things_first(self, figures: Figures) -> None:
        """The part that ends first comes first."""
        macs = [each[0] for each in ends(figures)]
        self.assertEqual(macs, sorted(macs))
        self.assertGreaterEqual(macs[0], 1)

    def test_agrees_with_the_need(self) -> None:
        """At its end a part is used as far as it may be, and not beyond."""
        figures = Figures()
        end = {part: macs for macs, part, _ in ends(figures)}
        for word, name, most in (
            ("60 in 60 s", "address_rate", 60),
            ("web workers", "authentik_cores", 2),
            ("ROPG_MAX_CHECKS", "slots", 64),
            ("PostgreSQL", "database_connections", 100),
            ("core of the daemon", "instances", 1),
        ):
            [macs] = [macs for part, macs in end.items() if word in part]
            self.assertLessEqual(getattr(need(macs, figures), name), most, word)
            self.assertGreater(getattr(need(macs * 1.02 + 2, figures), name), most, word)


class CommandTests(SynchronousTestCase):
    """``python -m tools.scale``."""

    def printed(self, *arguments: str) -> str:
        """What the command prints."""
        with redirect_stdout(io.StringIO()) as out:
            main(arguments)
        return out.getvalue()

    def test_default(self) -> None:
        """Without options it prints the fleets of the page."""
        first, *_ = self.printed().splitlines()
        self.assertEqual(first.split(), ["Macs", *map(number, FLEETS)])

    def test_options(self) -> None:
        """Each figure can be changed."""
        for each in fields(Figures):
            value = min(1.5, each.metadata["most"])
            self.printed(f"--{each.name.replace('_', '-')}={value}")
        peak = "checks a second at the peak"
        [line] = [
            line
            for line in self.printed("--macs", "3600", "--peak-share", "0").splitlines()
            if line.startswith(peak)
        ]
        self.assertEqual(line.split()[-1], "1")

    def test_nonsense(self) -> None:
        """A figure out of its range is refused by name."""
        for words, name in (
            (["--peak-share", "1.5"], "--peak-share"),
            (["--utilisation", "1"], "--utilisation"),
            (["--authentik-cpu", "nan"], "--authentik-cpu"),
            (["--macs", "0"], "--macs"),
            (["--macs", "inf"], "--macs"),
        ):
            with redirect_stderr(io.StringIO()) as err, self.assertRaises(SystemExit):
                main(words)
            self.assertIn(name, err.getvalue())

    def test_every_figure_has_a_source(self) -> None:
        """The page tells where each figure comes from."""
        _, *rows = figure_rows(Figures())
        self.assertEqual(len(rows), len(fields(Figures)))
        self.assertTrue(all(cell for row in rows for cell in row))

    def test_numbers(self) -> None:
        """Numbers have as many digits as they deserve."""
        for value, text in (
            (0, "0"),
            (0.0001, "under 0.01"),
            (0.276, "0.28"),
            (1.0, "1"),
            (27.77, "27.8"),
            (1234.5, "1,234"),
        ):
            self.assertEqual(number(value), text)
