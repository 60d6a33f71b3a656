"""Tables and numbers as files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.decisions.aims import Aim, Results
from bench.decisions.scenarios import SCENARIOS, Row

COLUMNS = {
    "rule": "rule",
    "case": "canary",
    "per_s": "requests/s",
    "share": "share",
    "errors": "baseline errors",
    "p95_ms": "baseline p95 ms",
    "rollouts": "rollouts",
    "rolled_back": "rolled back",
    "promoted": "promoted",
    "undecided": "undecided",
    "seconds": "seconds",
    "seconds_p95": "p95 seconds",
    "canary_requests": "canary requests",
    "canary_failed": "failed",
    "limit": "limit",
    "ratio": "over limit",
}
_PERCENT = {"share", "errors"}


def write(folder: Path, results: Results, aims: Sequence[Aim], command: str, seconds: float) -> None:
    """Write a table for each scenario, the aims, and all numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f"Made by `{command}` in {seconds:.0f} s; the same seed gives the same numbers.\n"
    (folder / "aims.md").write_text("\n".join(["# Aims", "", head, *_aims(aims), ""]))
    for name, rows in results.items():
        title = (SCENARIOS[name].__doc__ or "").strip().partition("\n")[0]
        (folder / f"{name}.md").write_text("\n".join([f"# {title}", "", head, *_table(rows), ""]))
        numbers = {"command": command, "scenario": title, "rows": rows}
        (folder / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n")


def _aims(aims: Sequence[Aim]) -> list[str]:
    rows = [f"| {aim.says} | {aim.limit:g}{aim.unit} | {aim.measured:.2f}{aim.unit} | {_met(aim)} |" for aim in aims]
    return ["| aim | at most | measured | |", "|---|---:|---:|---|", *rows]


def _met(aim: Aim) -> str:
    return "met" if aim.met else "**not met**"


def _table(rows: Sequence[Row]) -> list[str]:
    names = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    lines = [" | ".join(COLUMNS[name] for name in names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_cell(name, row.get(name)) for name in names) for row in rows]
    return [f"| {line} |" for line in lines]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _PERCENT:
        return f"{100 * value:g} %"
    if name == "ratio":
        return f"{value:.2f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value}"
