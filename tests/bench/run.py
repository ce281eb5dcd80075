"""``python -m tests.bench``: runs the parts and prints the report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.bench.clients import measure_clients
from tests.bench.cpu import FEWER_ROUNDS, ROUNDS, WRONG, find_extras, measure_cpu
from tests.bench.latency import measure_latency
from tests.bench.machine import Bench, describe, prepared
from tests.bench.overload import measure_overload
from tests.bench.report import report
from tests.bench.results import Results
from tests.bench.scaling import measure_scaling
from tests.bench.targets import targets

PARTS: Final = ("cpu", "tls", "mixed", "latency", "clients", "overload", "scaling")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--rounds", type=int, help="rounds of each part that has rounds")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parsed = parser.parse_args(arguments)
    parsed.only = parsed.only.split(",")
    if unknown := set(parsed.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parsed


async def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    wanted = options(arguments)
    with prepared(wanted.rounds) as bench:
        results = Results(describe(bench))
        if not bench.go:
            _say("Go is not on PATH: the compiled peer is left out")
        bench.extras = await find_extras(bench)
        try:
            for part in wanted.only:
                _say(f"part {part}")
                await _measure(bench, part, results)
        finally:
            # A part that fails takes none of those before it along.
            print(report(results))
            if wanted.json is not None:
                write_json(results, wanted.json)


def write_json(results: Results, path: Path) -> None:
    """Write all figures, and whether each target is met."""
    met = [{**asdict(target), "met": target.met} for target in targets(results)]
    path.write_text(json.dumps({**asdict(results), "targets": met}, indent=1) + "\n", "utf-8")


async def _measure(bench: Bench, part: str, results: Results) -> None:
    match part:
        case "cpu":
            results.cpu = await measure_cpu(bench, ROUNDS)
        case "tls":
            results.tls = await measure_cpu(bench, FEWER_ROUNDS, tls=True)
        case "mixed":
            results.mixed = await measure_cpu(bench, FEWER_ROUNDS, wrong=WRONG)
        case "latency":
            results.latency = await measure_latency(bench)
        case "clients":
            results.clients = await measure_clients(bench)
        case "overload":
            results.overload = await measure_overload(bench)
        case "scaling":
            results.scaling = await measure_scaling(bench)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
