"""Figures, targets, the report, and how processes are measured."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.bench.clients import FLASK_THREADS, OURS_1000, ClientsRow
from tests.bench.cpu import SHAPES, CPURow
from tests.bench.figures import quantile, ratios, spread
from tests.bench.latency import LatencyRow
from tests.bench.overload import OverloadRow
from tests.bench.processes import Child, divide_cores
from tests.bench.report import report
from tests.bench.results import Results
from tests.bench.run import PARTS, options, write_json
from tests.bench.scaling import Scaling
from tests.bench.servers import FLASK, OURS, OURS_EC, Shape
from tests.bench.targets import Target, targets
from tests.daemon import wait_until

positive = st.floats(0.001, 1000)
rounds = st.lists(st.tuples(positive, positive, positive), min_size=1, max_size=9)


class FigureTests(SynchronousTestCase):
    """Medians, quantiles and ratios."""

    @given(st.lists(positive, min_size=1), st.floats(0.01, 1))
    def test_a_quantile_is_a_value_that_so_many_do_not_exceed(
        self, values: list[float], part: float
    ) -> None:
        """And it is the smallest of these."""
        found = quantile(values, part)
        self.assertIn(found, values)
        self.assertGreaterEqual(sum(value <= found for value in values), part * len(values) - 1e-9)
        self.assertLess(sum(value < found for value in values), part * len(values) + 1e-9)

    @given(rounds)
    def test_a_round_that_is_slow_for_both_changes_no_ratio(
        self, measured: list[tuple[float, float, float]]
    ) -> None:
        """So a busy machine does not decide."""
        values, base, slowness = zip(*measured, strict=True)
        slow = [[v * s for v, s in zip(some, slowness, strict=True)] for some in (values, base)]
        quiet, busy = ratios(values, base), ratios(*slow)
        self.assertAlmostEqual(quiet.median / busy.median, 1.0)
        self.assertAlmostEqual(quiet.highest / busy.highest, 1.0)

    @given(st.lists(positive, min_size=1))
    def test_the_median_lies_between_the_lowest_and_the_highest(self, values: list[float]) -> None:
        """Both of which are values."""
        found = spread(values)
        self.assertTrue(found.lowest <= found.median <= found.highest)
        self.assertTrue({found.lowest, found.highest} <= set(values))


def results(milliseconds: float) -> Results:
    """Return results in which a check of the daemon takes so long, and Flask's takes ten."""

    def cpu(shape: Shape) -> CPURow:
        value = 10.0 if shape == FLASK else milliseconds
        return CPURow(shape, 50.0, [100.0] * 3, [value] * 3, [50.0] * 3, 9.0, 0.0)

    def clients(shape: Shape, rate: float) -> ClientsRow:
        return ClientsRow(shape, 100, 0, 0.0, 0, rate, milliseconds, 5.0, 0, 60.0, 50.0)

    return Results(
        machine={"CPU": "fast"},
        cpu=[cpu(shape) for shape in SHAPES],
        latency=[LatencyRow(OURS, [milliseconds / 1000] * 5)],
        clients=[clients(FLASK_THREADS, 3), clients(OURS, 80), clients(OURS_1000, 350)],
        overload=[OverloadRow(OURS, [100.0], [2.0], [0.95], [1.0])],
        scaling=Scaling(True, [100.0], [170.0]),
    )


class ReportTests(SynchronousTestCase):
    """The report and its targets."""

    def test_a_target_is_met_up_to_its_limit(self) -> None:
        """From below or from above."""
        for value, least, met in (
            (1, False, True),
            (1, True, True),
            (2, False, False),
            (0, True, False),
        ):
            self.assertEqual(Target("", value, 1, least).met, met, (value, least))

    def test_what_is_missed_is_marked(self) -> None:
        """Each target has a line, met or missed."""
        fast, slow = results(1.0), results(9.0)
        self.assertNotIn("missed", report(fast).replace("| CPU per check of aiohttp", ""))
        self.assertGreater(report(slow).count("**missed**"), 5)
        lines = [
            line for line in report(slow).splitlines() if line.endswith(("met |", "missed** |"))
        ]
        self.assertEqual(len(lines), len(list(targets(slow))))

    def test_a_part_that_did_not_run_has_no_section_and_no_target(self) -> None:
        """Only the machine is left."""
        empty = Results(machine={"CPU": "fast"})
        self.assertEqual(list(targets(empty)), [])
        self.assertEqual(report(empty).count("\n### "), 0)
        self.assertIn("fast", report(empty))

    def test_the_figures_are_json(self) -> None:
        """As they are written to a file."""
        path = Path(self.mktemp())
        write_json(results(1.0), path)
        figures = json.loads(path.read_text("utf-8"))
        self.assertEqual(figures["cpu"][3]["shape"]["name"], OURS_EC.name)
        self.assertEqual({target["met"] for target in figures["targets"]}, {True})

    def test_options(self) -> None:
        """All parts are run unless some are named; a part that does not exist is refused."""
        self.assertEqual(options([]).only, list(PARTS))
        self.assertEqual(options(["--only", "cpu,tls", "--rounds", "2"]).only, ["cpu", "tls"])
        with redirect_stderr(StringIO()) as output:
            self.assertRaises(SystemExit, options, ["--only", "cpu,nonsense"])
        self.assertIn("nonsense", output.getvalue())


class ProcessTests(SynchronousTestCase):
    """Processes are measured with their children."""

    @given(st.sets(st.integers(0, 200), min_size=1))
    def test_a_server_has_a_core_of_its_own(self, cores: set[int]) -> None:
        """Unless there is only one; the second daemon needs a third."""
        divided = divide_cores(cores)
        self.assertEqual(divided.apart, len(cores) > 1)
        self.assertEqual(divided.servers[0] in divided.load, len(cores) == 1)
        self.assertEqual(divided.load.isdisjoint(divided.servers), len(cores) > 2)
        self.assertTrue({*divided.servers, *divided.load} <= cores)

    def test_time_and_memory_of_children_count(self) -> None:
        """Of those that run, and of those that have ended."""
        burn = "import time\nwhile time.process_time() < 0.3: pass\n"
        stay = burn + "print(1, flush=True)\ntime.sleep(60)"
        script = (
            f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
            f"child = subprocess.Popen([sys.executable, '-c', {stay!r}], "
            "stdout=subprocess.PIPE)\nchild.stdout.readline()\n"
            "print('both', flush=True)\ntime.sleep(60)\n"
        )
        folder = Path(self.mktemp())
        folder.mkdir()
        core = min(os.sched_getaffinity(0))
        child = Child([sys.executable, "-c", script], {}, folder, [core], folder / "log")
        self.addCleanup(child.end)
        wait_until(lambda: "both" in child.log.read_text(), "both children have burnt")
        self.assertGreaterEqual(child.cpu_seconds(), 0.55)
        self.assertEqual(len(child.pids()), 2)
        self.assertGreater(child.memory(), 5)
        pids = child.pids()
        child.end()
        wait_until(lambda: not any(_runs(pid) for pid in pids), "the children have ended")


def _runs(pid: int) -> bool:
    """Return whether a process exists, and has not ended."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
