"""``python -m tests.bench``: runs the parts and prints the tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from tests.bench.cpu import WRONG, find_extras, measure_cpu
from tests.bench.machine import describe, prepared
from tests.bench.report import cpu_table

PARTS: Final = ("cpu", "tls", "mixed")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--rounds", type=int, help="rounds of each part")
    parsed = parser.parse_args(arguments)
    parsed.only = parsed.only.split(",")
    if unknown := set(parsed.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parsed


async def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    wanted = options(arguments)
    with prepared(wanted.rounds) as bench:
        for name, value in describe(bench).items():
            print(f"- {name}: {value}")
        bench.extras = await find_extras(bench)
        for part in ("cpu", "tls", "mixed"):
            if part in wanted.only:
                wrong = WRONG if part == "mixed" else 0
                rows = await measure_cpu(bench, tls=part == "tls", wrong=wrong)
                print(f"\n## {part}\n\n{cpu_table(rows)}")
