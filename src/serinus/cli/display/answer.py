"""One prediction."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from serinus.cli.display.screen import Screen
from serinus.cli.display.words import milliseconds, number, plain, rate, scalar


def answer_view(answer: Mapping[str, Any], screen: Screen) -> RenderableType:
    """Show what was predicted, by whom, and how fast."""
    line = Text(scalar(answer.get("prediction")), "bold")
    name = answer.get("prediction_class")
    if name is not None and str(name) != str(answer.get("prediction")):
        line.append(f"  {plain(name)}", "bold")
    if number(answer.get("confidence")) is not None:
        line.append(f"  confidence {rate(answer['confidence'])}")
    by = (
        f"{plain(answer.get('model_version'))} ({plain(answer.get('model_role'))})",
        milliseconds(answer.get("latency_ms")),
        plain(answer.get("prediction_id")),
    )
    facts = Text(screen.glyph(" \N{MIDDLE DOT} ", ", ").join(by), "dim")
    if not answer.get("failover"):
        return Group(line, facts)
    mark = screen.glyph("\N{BLACK UP-POINTING SMALL TRIANGLE}", "!")
    return Group(line, facts, Text(f"{mark} fail-over: the canary failed, the baseline answered", "yellow"))
