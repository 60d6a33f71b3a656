"""Simulate the seven scenarios, print the aims, and write tables, numbers and pictures.

The reduced set takes some minutes on one core; --full has ten times the rollouts, and every second of the first hours.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from bench.decisions import pictures, report
from bench.decisions.aims import Aim, aims
from bench.decisions.scenarios import FULL, REDUCED, SCENARIOS, Row, Size
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"


def main() -> int:
    """Measure, print and write; 1 if an aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.decisions", description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="scenarios at the same time")
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="FOLDER")
    asked = parser.parse_args()
    console, began = Console(), time.monotonic()
    results: dict[str, list[Row]] = {}
    size = FULL if asked.full else REDUCED
    with ProcessPoolExecutor(asked.jobs) as pool:
        for name, rows in zip(SCENARIOS, pool.map(simulated, SCENARIOS, repeat(size)), strict=True):
            results[name] = rows
            console.print(f"{name}: {len(rows)} cells, {time.monotonic() - began:.0f} s so far")
    reached = aims(results)
    command = f"python -m bench.decisions{' --full' if asked.full else ''}"
    report.write(asked.to, results, reached, command, time.monotonic() - began)
    pictures.draw(asked.to, results)
    console.print(_table(reached))
    return 0 if all(aim.met for aim in reached) else 1


def simulated(name: str, size: Size) -> list[Row]:
    """Give the rows of a scenario."""
    return list(SCENARIOS[name](size))


def _table(reached: list[Aim]) -> Table:
    table = Table("aim", "at most", "measured", "")
    for aim in reached:
        met = "met" if aim.met else "[bold red]not met"
        table.add_row(aim.says, f"{aim.limit:g}{aim.unit}", f"{aim.measured:.2f}{aim.unit}", met)
    return table


if __name__ == "__main__":
    sys.exit(main())
