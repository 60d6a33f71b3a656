"""What is known of each metric of a canary: its values, how sure the difference is, and the odds."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serinus.cli.display.badges import finding_badge
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import MISSING, ago, clock, milliseconds, number, odds, plain, rate, rows
from serinus.core.policy import GUARDRAIL

Metric = Mapping[str, Any]
ERRORS = "errors"
TABLE_WIDTH = 114
"""Columns from which on the numbers have room side by side."""


def metrics_table(document: Mapping[str, Any], screen: Screen) -> RenderableType | None:
    """Show the ``metrics`` of a document of the API; None if it has none."""
    metrics = rows(document, "metrics")
    if not metrics:
        return None
    notes = [note for note in (_since(metric, screen) for metric in metrics) if note]
    shown = _sentences(metrics, screen) if screen.width < TABLE_WIDTH else _table(metrics, screen)
    return Padding(Group(shown, *(Text(note, "dim") for note in notes)), (0, 0, 0, 2), expand=False)


def _table(metrics: Sequence[Metric], screen: Screen) -> RenderableType:
    numbers = ("baseline", "canary", "odds against", "odds for")
    with_roles = any(_role(metric) for metric in metrics)
    table = screen.table("metric", "", *numbers[:2], "difference", *numbers[2:], right=numbers)
    if with_roles:
        table.add_column("role", overflow="fold")
    for metric in metrics:
        written = rate if metric.get("name") == ERRORS else milliseconds
        row: list[RenderableType] = [
            Text(plain(metric.get("name"))),
            finding_badge(metric.get("finding"), screen),
            written(metric.get("baseline")),
            written(metric.get("canary")),
            _difference(metric),
            odds(metric.get("odds_against")),
            odds(metric.get("odds_for")),
        ]
        table.add_row(*row, *([Text(_role(metric), "magenta")] if with_roles else []))
    return table


def _sentences(metrics: Sequence[Metric], screen: Screen) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column()
    grid.add_column(overflow="fold")
    for metric in metrics:
        written = rate if metric.get("name") == ERRORS else milliseconds
        line = Text(f"{written(metric.get('canary'))} against {written(metric.get('baseline'))}: {_difference(metric)}")
        line.append(f", odds {odds(metric.get('odds_against'))} against it, {odds(metric.get('odds_for'))} for it")
        if _role(metric):
            line.append(f"  {_role(metric)}", "magenta")
        grid.add_row(Text(plain(metric.get("name"))), finding_badge(metric.get("finding"), screen), line)
    return grid


def _difference(metric: Metric) -> str:
    """Write a difference with what it is bounded by: +3.2 (+1.0 to +6.1) points."""
    unit, scale = ("points", 100.0) if metric.get("name") == ERRORS else ("ms", 1.0)
    value, low, high = (number(metric.get(name)) for name in ("difference", "low", "high"))
    said = MISSING if value is None else f"{value * scale:+.1f}"
    if low is not None and high is not None:
        said += f" ({low * scale:+.1f} to {high * scale:+.1f})"
    return said if said == MISSING else f"{said} {unit}"


def _role(metric: Metric) -> str:
    role = plain(metric.get("role"))
    return "" if role in {MISSING, GUARDRAIL} else role


def _since(metric: Metric, screen: Screen) -> str:
    if not metric.get("since"):
        return ""
    return f"{plain(metric.get('name'))}: worse since {clock(metric['since'])}, {ago(metric['since'], screen.now)}"
