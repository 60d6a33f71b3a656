"""`make bench-serving`: measure every server on one core, with one generator of load on the other.

Each is measured once before any is measured again: a machine that others share is slow for minutes, and then for all.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.serving import report
from bench.serving.contenders import CONTENDERS, MODELS
from bench.serving.measure import CONNECTIONS, Plan, measured, medians
from rich.console import Console

RESULTS = Path(__file__).with_name("results.json")
CORES = 2
WIDTH = 110
"""Characters that the tables need."""


def main() -> int:
    """Measure, write the results and print them; 1 if a measurement failed."""
    asked = _asked()
    load_core, *others = sorted(os.sched_getaffinity(0))
    if not others:
        print(f"It takes {CORES} cores: one for the server, one for the load.", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {load_core})  # the load and the databases inherit it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console, plan = Console(), Plan(asked.seconds, others[-1])
    console.width = max(console.width, WIDTH)
    measurements, failures = _all(asked, plan, console)
    results = _merged(asked.to, measurements, failures)
    results["settings"] = {"seconds": asked.seconds, "repeats": asked.repeats, "connections": CONNECTIONS}
    results["machine"] = _machine(len(others) + 1)
    asked.to.write_text(json.dumps(results, indent=1) + "\n")
    report.show(console, results)
    if any(contender.kind == "serinus" for contender in CONTENDERS if contender.name in asked.only):
        report.show_parts(console)
    return 1 if failures else 0


def _asked() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="make bench-serving", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="of each, of which the median counts")
    parser.add_argument("--only", type=_listed(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument("--models", type=_listed(list(MODELS)), default=list(MODELS), help=f"of {','.join(MODELS)}")
    parser.add_argument("--to", type=Path, default=RESULTS, help="the results; those of others in it are kept")
    return parser.parse_args()


def _listed(known: list[str]) -> Any:
    def listed(given: str) -> list[str]:
        names = given.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(known)}")
        return names

    return listed


def _all(asked: argparse.Namespace, plan: Plan, console: Console) -> tuple[list[Any], list[Any]]:
    """Measure all in turn, as often as was asked; one that fails is not measured again."""
    rivals = [
        (contender, model)
        for contender in CONTENDERS
        if contender.name in asked.only
        for model in asked.models
        if model in contender.models
    ]
    found: dict[tuple[str, str], list[Any]] = {(contender.name, model): [] for contender, model in rivals}
    failures = []
    with tempfile.TemporaryDirectory() as models:
        for turn in range(1, asked.repeats + 1):
            for contender, kind in rivals:
                if (contender.name, kind) not in found:
                    continue
                what = f"{contender.title}, {kind}"
                try:
                    measurement = measured(contender, kind, plan, Path(models))
                except Exception as failure:  # noqa: BLE001 - whatever it is, the others are measured
                    reason = f"{type(failure).__name__}: {failure}"
                    del found[contender.name, kind]
                    failures.append({"name": contender.name, "model": kind, "reason": reason})
                    console.print(f"[bold red]FAILED[/]   {what}: ", end="")
                    console.print(reason, markup=False)
                else:
                    found[contender.name, kind].append(measurement)
                    console.print(f"{turn} of {asked.repeats}: {what}: {report.in_short(measurement)}", style="dim")
    return [medians(measurements) for measurements in found.values()], failures


def _merged(path: Path, measurements: list[Any], failures: list[Any]) -> dict[str, Any]:
    """Give the results with what was measured before of servers that were not measured now."""
    known = json.loads(path.read_text()) if path.exists() else {"servers": [], "failed": []}
    now = {(each["name"], each["model"]) for each in measurements + failures}
    order = {contender.name: place for place, contender in enumerate(CONTENDERS)}

    def kept(name: str, news: list[Any]) -> list[Any]:
        before = [each for each in known[name] if (each["name"], each["model"]) not in now and each["name"] in order]
        return sorted(before + news, key=lambda each: (order[each["name"]], MODELS.index(each["model"])))

    return {"servers": kept("servers", measurements), "failed": kept("failed", failures)}


def _machine(cores: int) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.machine(), "cores": cores, "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
