"""A forecast: when a bad canary would be found and a good one promoted, share by share."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from serinus.cli.display.release import policy_words, warnings_of
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import MISSING, count, mapped, milliseconds, number, plain, rate, rows, weight
from serinus.core.forecast import duration

Document = Mapping[str, Any]
WITHOUT_EFFECTS, FOR_EACH_EFFECT = 28, 14
"""Columns that a table takes."""

_LEGEND = (
    "On average: the time and the canary requests until a canary that fails so much more is rolled back, and until a "
    "good one has the evidence to be promoted."
)


def forecast_view(forecast: Document, screen: Screen) -> RenderableType:
    """Show what is to be expected at each share, the plan if there is one, and what is wrong with it."""
    shares = rows(forecast, "weights")
    effects = _effects(shares)
    narrow = screen.narrow or screen.width < WITHOUT_EFFECTS + FOR_EACH_EFFECT * len(effects)
    shown = _sentences(forecast, shares, effects) if narrow else _table(forecast, shares, effects, screen)
    parts: list[RenderableType] = [_title(forecast, screen), ""]
    if shares:
        parts += [Padding(shown, (0, 0, 0, 2), expand=False), ""]
        parts.append(_indented(_LEGEND))
    else:
        parts.append(_indented("There is no share to forecast."))
    plan = _plan(forecast)
    if plan:
        parts.append(_indented(plan, ""))
    rule = policy_words(forecast.get("policy"))
    if rule:
        parts.append(_indented(rule))
    warnings = warnings_of([forecast], screen)
    return Group(*parts, *(["", *warnings] if warnings else []))


def _title(forecast: Document, screen: Screen) -> Text:
    per_second = number(forecast.get("rate"))
    facts = [
        "traffic not known" if per_second is None else f"{per_second:.3g} request{_s(per_second)} per second",
        f"baseline errors {rate(forecast.get('baseline_error_rate'))}",
        f"p95 {'not known' if number(forecast.get('p95_ms')) is None else milliseconds(forecast.get('p95_ms'))}",
    ]
    title = Text(f"{plain(forecast['deployment'])}  " if forecast.get("deployment") else "Forecast  ", "bold")
    return title.append(screen.glyph(" \N{MIDDLE DOT} ", ", ").join(facts), "dim")


def _table(forecast: Document, shares: Sequence[Document], effects: Sequence[str], screen: Screen) -> RenderableType:
    headings = ["canary", *(_more(effect) for effect in effects), "promoted"]
    table = screen.table(*headings, right=tuple(headings))
    for share in shares:
        found = mapped(share.get("found"))
        cells = [*(mapped(found.get(effect)) for effect in effects), mapped(share.get("promoted"))]
        table.add_row(Text(weight(share.get("weight")), "bold"), *(_cell(cell, forecast) for cell in cells))
    return table


def _cell(reached: Document, forecast: Document) -> Text:
    when = Text(_when(reached, forecast), "" if number(reached.get("seconds")) is not None else "yellow")
    requests = number(reached.get("canary_requests"))
    return when if requests is None else when.append(f"\n{count(requests)} req.", "dim")


def _sentences(forecast: Document, shares: Sequence[Document], effects: Sequence[str]) -> RenderableType:
    lines: list[RenderableType] = []
    for share in shares:
        found = mapped(share.get("found"))
        lines.append(Text(weight(share.get("weight")), "bold"))
        told = [(_more(effect), mapped(found.get(effect))) for effect in effects]
        for name, reached in [*told, ("promoted", mapped(share.get("promoted")))]:
            requests = number(reached.get("canary_requests"))
            of = "" if requests is None else f" ({count(requests)} req.)"
            lines.append(Text(f"  {name}: {_when(reached, forecast)}{of}"))
    return Group(*lines)


def _when(reached: Document, forecast: Document) -> str:
    """Say when something is reached: what has no limit either is not looked for."""
    seconds = number(reached.get("seconds"))
    if seconds is not None:
        return duration(seconds)
    if number(reached.get("limit")) is None:
        return MISSING
    horizon_s = number(mapped(forecast.get("policy")).get("horizon_s"))
    return "never" if horizon_s is None else f"not within {duration(horizon_s)}"


def _plan(forecast: Document) -> str:
    plan = mapped(forecast.get("plan"))
    if not plan:
        return ""
    finished_s = number(plan.get("finished_s"))
    if finished_s is None:
        return f"The plan would not be finished in time, and stay at {weight(plan.get('weight'))}."
    return f"The plan would take a good canary {duration(finished_s)}."


def _effects(shares: Sequence[Document]) -> list[str]:
    """Give the points that are told of any share, the least first."""
    named = {str(effect) for share in shares for effect in mapped(share.get("found"))}
    return sorted(named, key=lambda effect: (_points(effect), effect))


def _points(effect: str) -> float:
    try:
        return float(effect)
    except ValueError:
        return 0.0


def _more(effect: str) -> str:
    return f"+{plain(effect)} point{_s(_points(effect))}"


def _s(number_of: float) -> str:
    return "" if number_of == 1 else "s"


def _indented(text: str, style: str = "dim") -> RenderableType:
    return Padding(Text(text, style), (0, 0, 0, 2), expand=False)
