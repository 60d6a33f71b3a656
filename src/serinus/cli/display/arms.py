"""The two arms side by side, with the difference and what the policy allows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serinus.cli.display.badges import health_badge
from serinus.cli.display.evidence import metrics_table
from serinus.cli.display.release import policy_words, warnings_of
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import ago, count, listed, mapped, milliseconds, number, plain, rate


@dataclass(frozen=True, slots=True)
class Measure:
    """A row: how a value is written, and how a difference (canary minus baseline) is."""

    label: str
    key: str
    written: Callable[[object], str]
    difference: Callable[[float], str] | None = None
    limit: str = ""


def _points(difference: float) -> str:
    return f"{difference * 100:+.1f} points"


def _more_ms(difference: float) -> str:
    return f"{difference:+.1f} ms"


COUNTED = (Measure("requests", "requests", count), Measure("errors", "errors", count))
CHECKED = (
    *COUNTED,
    Measure("error rate", "error_rate", rate, _points, "error_delta"),
    Measure("p95", "p95_ms", milliseconds, _more_ms, "p95_delta_ms"),
)
MEASURED = (
    Measure("requests", "requests", count),
    Measure("model errors", "model_errors", count),
    Measure("timeouts", "timeouts", count),
    Measure("error rate", "error_rate", rate, _points),
    Measure("p50", "p50_ms", milliseconds, _more_ms),
    Measure("p95", "p95_ms", milliseconds, _more_ms),
    Measure("p99", "p99_ms", milliseconds, _more_ms),
    Measure("mean", "mean_ms", milliseconds, _more_ms),
    Measure("client errors", "client_errors", count),
    Measure("platform errors", "platform_errors", count),
)

_UNITS = {"error_delta": _points, "p95_delta_ms": _more_ms}


def health_view(health: Mapping[str, Any], screen: Screen, *, policy: bool = True) -> RenderableType:
    """Show the last verdict and what it rests on; ``policy``: say the rule, too."""
    parts: list[RenderableType] = [_verdict(health, screen), *warnings_of([health], screen), *alarms(health, screen)]
    metrics = metrics_table(health, screen)
    if health.get("baseline") or health.get("canary"):
        parts += ["", comparison(CHECKED if metrics is None else COUNTED, health, screen)]
    if metrics is not None:
        parts += ["", metrics]
    rule = policy_words(health.get("policy")) if policy else ""
    if rule:
        parts += ["", Padding(Text(rule, "dim"), (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def metrics_view(metrics: Mapping[str, Any], screen: Screen) -> RenderableType:
    """Show the totals of the active or last rollout."""
    title = Text(plain(metrics.get("deployment")), "bold")
    if metrics.get("rollout"):
        title.append(f"  rollout {plain(metrics['rollout'])}", "dim")
    if metrics.get("since"):
        title.append(f"  since {ago(metrics['since'], screen.now)}", "dim")
    return Group(title, "", comparison(MEASURED, metrics, screen))


def comparison(measures: Sequence[Measure], document: Mapping[str, Any], screen: Screen) -> RenderableType:
    """Set the document's ``baseline`` and ``canary`` side by side; a measure that neither has is left out."""
    baseline, canary = mapped(document.get("baseline")), mapped(document.get("canary"))
    policy = mapped(document.get("policy"))
    limited = any(measure.limit and number(policy.get(measure.limit)) is not None for measure in measures)
    limited = limited and not screen.narrow
    shown = [measure for measure in measures if measure.key in baseline or measure.key in canary]
    if not shown:
        return Text("  no requests yet", "dim")
    table = screen.table("")
    for role, arm in (("baseline", baseline), ("canary", canary)):
        table.add_column(_heading(role, arm), justify="right", overflow="fold")
    compared = any(measure.difference for measure in shown)
    if compared:
        table.add_column("difference", justify="right")
    if limited:
        table.add_column("allowed", justify="right")
    for measure in shown:
        difference = _difference(measure, baseline, canary)
        limit = number(policy.get(measure.limit)) if measure.limit else None
        row: list[RenderableType] = [
            Text(measure.label, "dim"),
            measure.written(baseline.get(measure.key)),
            measure.written(canary.get(measure.key)),
        ]
        if compared:
            row.append(_difference_cell(measure, difference, limit, screen))
        if limited:
            row.append(Text(f"{_UNITS[measure.limit](limit)}" if limit is not None else "", "dim"))
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _heading(role: str, arm: Mapping[str, Any]) -> str:
    return f"{role}\n{plain(arm['version'])}" if arm.get("version") else role


def _difference(measure: Measure, baseline: Mapping[str, Any], canary: Mapping[str, Any]) -> float | None:
    b, c = number(baseline.get(measure.key)), number(canary.get(measure.key))
    return c - b if measure.difference and b is not None and c is not None else None


def _difference_cell(measure: Measure, difference: float | None, limit: float | None, screen: Screen) -> Text:
    if difference is None or measure.difference is None:
        return Text("")
    written = measure.difference(difference)
    if limit is None:
        return Text(written)
    if difference > limit:
        return Text(written + screen.glyph(" \N{BALLOT X}", " x"), "bold red")
    if difference > limit / 2:
        return Text(written + screen.glyph(" \N{BLACK UP-POINTING SMALL TRIANGLE}", " !"), "yellow")
    return Text(written + screen.glyph(" \N{CHECK MARK}", " +"), "green")


def _verdict(health: Mapping[str, Any], screen: Screen) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    if health.get("health") is None:
        reason = plain(health["reason"]) if health.get("reason") else _why_nothing(health)
        grid.add_row(Text("- not judged", "dim"), reason)
        return grid
    badge = health_badge(health["health"], screen)
    advice = plain(health.get("recommendation"))
    grid.add_row(badge, Text(plain(health.get("reason"))))
    facts = [f"advice: {advice}"]
    if health.get("status") == "stable":
        facts.append(f"rollout {plain(health.get('rollout'))} has ended")
    if health.get("action"):
        facts.append(f"action: {plain(health['action'])}")
    facts.append(f"checked {ago(health.get('checked_at'), screen.now)}")
    grid.add_row("", Text(screen.glyph(" \N{MIDDLE DOT} ", ", ").join(facts), "dim"))
    if health.get("waiting"):
        grid.add_row("", Text(f"the plan: {plain(health['waiting'])}", "cyan"))
    return grid


def alarms(document: Mapping[str, Any], screen: Screen) -> list[RenderableType]:
    """Give what is wrong with the comparison itself."""
    mark = screen.glyph("\N{BLACK UP-POINTING SMALL TRIANGLE}", "!")
    return [Text(f"{mark} {plain(each)}", "bold yellow") for each in listed(document.get("alarms"))]


def _why_nothing(health: Mapping[str, Any]) -> str:
    if health.get("status") == "stable":
        return "no canary is running"
    return "no check has been made yet"
