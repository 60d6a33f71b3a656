"""The decisions of a rollout: each with who took it, by what rule, and what spoke for and against it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serinus.cli.display.badges import event_badge
from serinus.cli.display.evidence import metrics_table
from serinus.cli.display.release import policy_words
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import ago, clock, count, listed, mapped, milliseconds, plain, rate, rows

Document = Mapping[str, Any]
DIGEST = 12
"""Characters of a policy's digest that are enough to tell it from others."""


def explanation_view(explanation: Document, screen: Screen) -> RenderableType:
    """Show a rollout, and below it a block for each decision."""
    decisions = rows(explanation, "decisions")
    parts: list[RenderableType] = [_title(explanation, screen)]
    rule = policy_words(explanation.get("policy"))
    if rule:
        parts.append(Padding(Text(rule, "dim"), (0, 0, 0, 2), expand=False))
    if not decisions:
        parts += ["", Text("No decision yet.")]
    for decision in decisions:
        parts += ["", _decision(decision, explanation.get("policy"), screen)]
    return Group(*parts)


def _title(explanation: Document, screen: Screen) -> Text:
    rollout = mapped(explanation.get("rollout"))
    if not rollout:
        return Text(plain(explanation.get("deployment")), "bold").append("  no rollout yet", "dim")
    title = Text(f"{plain(rollout.get('id'))}  ", "bold")
    title.append(f"{plain(rollout.get('canary'))} against {plain(rollout.get('baseline'))}, ")
    ended = rollout.get("ended_at")
    title.append(plain(rollout.get("phase")).replace("_", " "))
    when = ago(ended, screen.now) if ended else f"started {ago(rollout.get('started_at'), screen.now)}"
    return title.append(f"  {when}", "dim")


def _decision(decision: Document, usual: object, screen: Screen) -> RenderableType:
    heading = Text().append_text(event_badge(decision.get("kind"), screen))
    facts = (
        f"by {plain(decision.get('actor'))}",
        f"{clock(decision.get('at'))} ({ago(decision.get('at'), screen.now)})",
        f"generation {plain(decision.get('generation'))}",
    )
    heading.append("  " + screen.glyph(" \N{MIDDLE DOT} ", ", ").join(facts), "dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, fact in (
        ("  why", plain(decision["reason"]) if decision.get("reason") else ""),
        ("  policy", _policy(decision, usual)),
        ("  canary", _arm(decision, "canary")),
        ("  baseline", _arm(decision, "baseline")),
    ):
        if fact:
            grid.add_row(name, fact)
    for name, style in (("for", "green"), ("against", "red")):
        for sentence in listed(decision.get(name)):
            grid.add_row(f"  {name}", Text(plain(sentence), style))
    metrics = metrics_table(decision, screen)
    return Group(heading, grid, *(["", metrics] if metrics is not None else []))


def _policy(decision: Document, usual: object) -> str:
    """Give the rule by its digest, and in words where it was another than the one above."""
    policy, digest = decision.get("policy"), plain(decision.get("policy_digest") or "")
    short = digest.rpartition(":")[2][:DIGEST]
    words = "" if policy is None or policy == usual else policy_words(policy)
    return f"{words} ({short})" if words and short else words or short


def _arm(decision: Document, role: str) -> str:
    known = mapped(decision.get(role))
    if not known:
        return ""
    failed = f"{count(known.get('errors'))} failed ({rate(known.get('error_rate'))})"
    said = f"{count(known.get('requests'))} requests, {failed}"
    # Where metrics are judged by themselves, theirs is the finer measurement.
    return said if decision.get("metrics") else f"{said}, p95 {milliseconds(known.get('p95_ms'))}"
