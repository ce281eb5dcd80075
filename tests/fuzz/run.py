"""``python -m tests.fuzz``: hostile bytes for everything that reads what others send.

Guided by coverage where atheris can be imported, else by Hypothesis in its long profile. The exit
status is 1, and the input is printed, if any target raises, takes too long or logs an error.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import time
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Final

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    globalLogPublisher,
)

from ropg_twisted.telemetry.log import LineObserver, text_line
from tests.fuzz.targets import TARGETS, Run, Target

MOST_BYTES: Final = 4096
"""Length of an input."""

MOST_SECONDS: Final = 2.0
"""Processor time for one input: with instruments, and with any collection of garbage in it."""

PATIENCE: Final = 60
"""Seconds after its time at which a run that has not ended has failed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of one target: number of inputs, seconds, and what was wrong.

    ``wrong``: the input that was. ``trouble``: what it raised, or how the run ended.
    """

    inputs: int
    seconds: float
    wrong: bytes | None = None
    trouble: str = ""

    @property
    def clean(self) -> bool:
        """Return whether nothing was found."""
        return self.wrong is None and not self.trouble


def survive(run: Run, data: bytes) -> None:
    """Run a target on one input, and fail if that takes too long or logs an error."""
    said = StringIO()
    lines = LineObserver(said, text_line)
    errors = FilteringLogObserver(lines, [LogLevelFilterPredicate(LogLevel.error)])
    globalLogPublisher.addObserver(errors)
    began = time.process_time()
    try:
        run(data)
    finally:
        globalLogPublisher.removeObserver(errors)
    assert time.process_time() - began < MOST_SECONDS, "that took too long"
    assert not said.getvalue(), f"logged as an error: {said.getvalue()}"


INSTRUMENTED: Final = (
    *("ropg_twisted", "urllib.parse", "ipaddress", "json.decoder", "base64"),
    *("twisted.web.http", "twisted.web.server", "klein"),
)
"""Modules in which atheris counts what is reached."""


def with_atheris(target: Target, seconds: float, number: int) -> Findings:
    """Fuzz with libFuzzer in a process of its own, which it ends in its own way."""
    began = time.monotonic()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        for index, data in enumerate(target.seeds):
            (folder / "seeds" / str(index)).write_bytes(data)
        lines = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
        (folder / "words").write_text("".join(f'"{line}"\n' for line in lines))
        (folder / "wrong").mkdir()
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=_fuzz, args=(target.run, seconds, number, folder))
        child.start()
        child.join(seconds + PATIENCE)
        if child.is_alive():
            child.kill()
            child.join()
        said = (folder / "said").read_text(errors="replace")
        wrong = next((path.read_bytes() for path in (folder / "wrong").iterdir()), None)
    inputs, _, trouble = said.rpartition(COUNT)[2].partition("\n")
    if child.exitcode == 0 and wrong is None:
        return Findings(int(inputs), time.monotonic() - began)
    if COUNT not in said:
        inputs, trouble = "0", f"exit status {child.exitcode}\n{said[-2000:]}"
    return Findings(int(inputs), time.monotonic() - began, wrong, trouble)


COUNT: Final = "stat::number_of_executed_units: "
"""The line in which libFuzzer reports the number of inputs."""


def _fuzz(run: Run, seconds: float, number: int, folder: Path) -> None:
    """The child process of a target; it never returns."""
    out = os.open(folder / "said", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    inputs = 0

    def look(data: bytes) -> None:
        nonlocal inputs
        inputs += 1
        try:
            survive(run, data)
        except Exception:
            (folder / "wrong" / "input").write_bytes(data)
            print(f"{COUNT}{inputs}\n{traceback.format_exc()}", flush=True)
            os._exit(1)

    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    for item in gc.get_objects():
        if isinstance(item, FunctionType) and (item.__module__ or "").startswith(INSTRUMENTED):
            atheris.instrument_func(item)
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={MOST_BYTES}",
        f"-seed={number}",
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder / 'wrong'}{os.sep}",
        f"-timeout={PATIENCE // 2}",
        "-print_final_stats=1",
        str(folder / "seeds"),
    ]
    atheris.Setup(["fuzz", *options], look)
    atheris.Fuzz()


EXAMPLES: Final = 1000
"""Inputs between two looks at the clock."""


def with_hypothesis(target: Target, seconds: float, number: int) -> Findings:
    """Fuzz with Hypothesis in rounds, each with a seed of its own, until the time is over."""
    began = time.monotonic()
    profile = settings(settings.get_profile("long"), max_examples=EXAMPLES, database=None)
    inputs = 0
    last = b""

    def look(data: bytes) -> None:
        nonlocal inputs, last
        inputs, last = inputs + 1, data
        survive(target.run, data)

    while not inputs or time.monotonic() - began < seconds:
        try:
            seed(number)(profile(given(inputs_of(target))(look)))()
        except Exception as error:
            # The last that Hypothesis runs is the smallest that it has found.
            trouble = f"{type(error).__name__}: {error}"
            return Findings(inputs, time.monotonic() - began, last, trouble)
        number += 1
    return Findings(inputs, time.monotonic() - began)


def inputs_of(target: Target) -> SearchStrategy[bytes]:
    """Words and noise in a row, and seeds with words and noise in the place of some bytes."""
    piece = st.one_of(st.sampled_from([*target.seeds, *target.words]), st.binary(max_size=16))
    index = st.integers(0, 400)
    changes = st.lists(st.tuples(index, st.integers(0, 20), piece), max_size=4)
    return st.one_of(
        st.lists(piece, max_size=12).map(b"".join),
        st.builds(_changed, st.sampled_from(target.seeds), changes),
    ).map(lambda data: data[:MOST_BYTES])


def _changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for start, length, piece in changes:
        data = data[:start] + piece + data[start + length :]
    return data


def main(arguments: list[str]) -> int:
    """Fuzz the targets that are named, or all; 1 if anything is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    guided = find_spec("atheris") is not None
    print(f"fuzzing with {'atheris' if guided else 'Hypothesis'}, seed {options.seed}", flush=True)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    found = 0
    for name in options.targets or TARGETS:
        fuzz = with_atheris if guided else with_hypothesis
        findings = fuzz(TARGETS[name], options.seconds, options.seed)
        state = "clean" if findings.clean else "FOUND"
        row = f"{name:<14} {findings.inputs:>9} inputs {findings.seconds:>7.1f} s  {state}"
        print(row, flush=True)
        if not findings.clean:
            found += 1
            print(f"input: {(findings.wrong or b'').hex() or 'unknown'}\n{findings.trouble}")
    return 1 if found else 0
