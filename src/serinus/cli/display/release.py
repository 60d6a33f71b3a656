"""Deployments: one in full, or all in a table."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serinus.cli.display.badges import health_badge, status_badge
from serinus.cli.display.screen import Screen
from serinus.cli.display.split import BASELINE_STYLE, CANARY_STYLE, split_bar
from serinus.cli.display.words import (
    MISSING,
    ago,
    ahead,
    clock,
    commands,
    count,
    listed,
    mapped,
    number,
    pairs,
    plain,
    points,
    scalar,
    seconds,
    weight,
)
from serinus.core.policy import DRY_RUN, GUARDRAIL, SequentialPolicy, ThresholdPolicy

BAKING = "baking"
"""The phase after a promotion in which the version before it keeps a share of the traffic."""
ACTIVE = frozenset({"running", "paused", BAKING})
Document = Mapping[str, Any]
BAR_WIDTH = 40
SMALL_BAR_WIDTH = 16

_SWITCHES = {
    "sticky": ("sticky by entity", ""),
    "allow_forced": ("X-Canary allowed", ""),
    "failover": ("", "no fail-over"),
    "auto_rollback": ("", "no auto-rollback"),
    "auto_promote": ("", "no auto-promotion"),
    "dry_run": ("dry run", ""),
}


def active_rollout(deployment: Document) -> dict[str, Any] | None:
    """Give the rollout under way, if any."""
    rollout = deployment.get("rollout")
    return rollout if isinstance(rollout, dict) and str(rollout.get("phase")) in ACTIVE else None


def deployment_view(deployment: Document, screen: Screen) -> RenderableType:
    """Show one deployment: its state, its split and its settings."""
    warnings = warnings_of([deployment], screen)
    told = [*warnings, ""] if warnings else []
    return Group(_title(deployment, screen), "", _split(deployment, screen), "", *told, _facts(deployment, screen))


def overview(deployments: list[dict[str, Any]], healths: Mapping[str, object], screen: Screen) -> RenderableType:
    """Show all deployments; ``healths`` holds the last verdict of those with a canary."""
    if not deployments:
        return Text("No deployments yet. Make one: canary deploy NAME MODEL@VERSION")
    cells = [_row(deployment, healths, screen) for deployment in deployments]
    table = screen.table(*_COLUMNS)
    for row in cells:
        table.add_row(*row)
    heads = [Text(name) for name in _COLUMNS]
    needed = sum(max(cell.cell_len for cell in column) + 3 for column in zip(heads, *cells, strict=True))
    shown = table if needed <= screen.width else _stacked(deployments, healths, screen)
    warnings = warnings_of(deployments, screen)
    return Group(shown, "", *warnings) if warnings else shown


_COLUMNS = ("deployment", "status", "baseline", "canary", "traffic", "health")


def _row(deployment: Document, healths: Mapping[str, object], screen: Screen) -> list[Text]:
    rollout = active_rollout(deployment)
    return [
        _name(deployment, screen),
        Text().append_text(status_badge(deployment.get("status"), screen)).append(_place(rollout), "dim"),
        Text(plain(_baseline(deployment))),
        Text(plain(rollout.get("canary"))) if rollout else Text("-", "dim"),
        split_bar(_share(rollout), SMALL_BAR_WIDTH, screen).append("  ").append(_shares(rollout)),
        health_badge(healths.get(str(deployment.get("name"))), screen),
    ]


def _name(deployment: Document, screen: Screen) -> Text:
    """Give the name, marked where there is something to know."""
    name = Text(plain(deployment.get("name")), "bold")
    return name.append(f" {_mark(screen)}", "yellow") if listed(deployment.get("warnings")) else name


def _place(rollout: Document | None) -> str:
    """Say where in its plan a rollout is: 4/10."""
    plan = mapped((rollout or {}).get("plan"))
    step, steps = number(plan.get("step")), listed(plan.get("steps"))
    return f" {min(step + 1, len(steps)):.0f}/{len(steps)}" if step is not None and steps else ""


def _baseline(deployment: Document) -> object:
    """Give the version that the canary is compared with, which after a promotion is the one before."""
    rollout = active_rollout(deployment)
    baking = rollout is not None and rollout.get("phase") == BAKING
    return (rollout or {}).get("baseline") if baking else deployment.get("baseline")


def warnings_of(deployments: Sequence[Document], screen: Screen) -> list[RenderableType]:
    """Give what there is to know, each thing once."""
    texts = dict.fromkeys(plain(each) for one in deployments for each in listed(one.get("warnings")))
    return [Text(f"{_mark(screen)} {text}", "yellow") for text in texts]


def _mark(screen: Screen) -> str:
    return screen.glyph("\N{BLACK UP-POINTING SMALL TRIANGLE}", "!")


def _stacked(deployments: list[dict[str, Any]], healths: Mapping[str, object], screen: Screen) -> RenderableType:
    lines = []
    for deployment in deployments:
        rollout, name = active_rollout(deployment), str(deployment.get("name"))
        line = _name(deployment, screen).append("  ").append_text(status_badge(deployment.get("status"), screen))
        line.append(_place(rollout), "dim")
        if rollout:
            line.append("  ").append_text(health_badge(healths.get(name), screen))
        lines.append(line)
        versions = f"{plain(_baseline(deployment))}"
        if rollout:
            versions += f" / {plain(rollout.get('canary'))}"
        lines.append(Text(f"  {versions}  {_shares(rollout)}", "dim"))
    return Group(*lines)


def _share(rollout: dict[str, Any] | None) -> float:
    return (number(rollout.get("weight")) or 0.0) if rollout else 0.0


def _shares(rollout: dict[str, Any] | None) -> str:
    share = _share(rollout)
    return f"{100 - share:g} % / {share:g} %" if rollout else "100 %"


def _title(deployment: Document, screen: Screen) -> Text:
    title = Text(plain(deployment.get("name")), "bold").append("  ")
    title.append_text(status_badge(deployment.get("status"), screen))
    rest = (
        f"generation {plain(deployment.get('generation'))}",
        f"created {ago(deployment.get('created_at'), screen.now)}",
    )
    return title.append("  " + screen.glyph(" \N{MIDDLE DOT} ", ", ").join(rest), "dim")


def _split(deployment: Document, screen: Screen) -> RenderableType:
    rollout = active_rollout(deployment)
    share = _share(rollout)
    width = max(10, min(BAR_WIDTH, screen.width - 4))
    grid = Table.grid(padding=(0, 0, 0, 2))
    grid.add_column(width=width)
    grid.add_row(split_bar(share, width, screen))
    baking = rollout is not None and rollout.get("phase") == BAKING
    roles = ("before", "promoted") if baking else ("baseline", "canary")
    grid.add_row(_legend(roles[0], _baseline(deployment), 100 - share, BASELINE_STYLE))
    if rollout:
        grid.add_row(_legend(roles[1], rollout.get("canary"), share, CANARY_STYLE))
    return grid


def _legend(role: str, version: object, share: float, style: str) -> Text:
    line = Text(f"{share:>6g} %  ").append(f"{role:<9}", style)
    return line.append(plain(version), "bold")


def _facts(deployment: Document, screen: Screen) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, fact in (
        ("  rollout", _rollout(deployment.get("rollout"), screen)),
        ("  plan", _plan(deployment, screen)),
        ("  bake", _bake(deployment, screen)),
        ("  settings", _settings(deployment.get("settings"))),
        ("  policy", policy_words(deployment.get("policy") or mapped(deployment.get("settings")).get("policy"))),
        ("  previous", ", ".join(plain(ref) for ref in reversed(listed(deployment.get("previous"))))),
        ("  possible", commands(deployment.get("possible"))),
    ):
        if fact:
            grid.add_row(name, fact)
    return grid


def _rollout(rollout: object, screen: Screen) -> str:
    if not isinstance(rollout, dict):
        return ""
    phase = plain(rollout.get("phase")).replace("_", " ")
    ended = rollout.get("ended_at")
    when = f"{phase} {ago(ended, screen.now)}" if ended else phase
    what = f"{plain(rollout.get('id'))}: {plain(rollout.get('canary'))}, {when}"
    if not ended:
        what += f", started {ago(rollout.get('started_at'), screen.now)}"
    return f"{what} ({plain(rollout['reason'])})" if rollout.get("reason") else what


def _plan(deployment: Document, screen: Screen) -> str:
    """Say at which step of its plan a rollout is, since when, and what is wanted of a person."""
    rollout = mapped(deployment.get("rollout"))
    plan = mapped(rollout.get("plan"))
    step, steps = number(plan.get("step")), listed(plan.get("steps"))
    if not plan:
        return ""
    name = plain(plan.get("name"))
    if rollout.get("ended_at") or step is None:
        return name
    at = int(step)
    if not 0 <= at < len(steps):
        return f"{name}: all {len(steps)} steps are done" if steps else name
    place = f"{name}: step {at + 1} of {len(steps)}, {plain(steps[at])}"
    if plan.get("waiting_for_approval"):
        return f"{place}: canary approve {plain(deployment.get('name'))}"
    return f"{place} (came to it {ago(plan['step_at'], screen.now)})" if plan.get("step_at") else place


def _bake(deployment: Document, screen: Screen) -> str:
    rollout = active_rollout(deployment) or {}
    until = rollout.get("bake_until")
    if rollout.get("phase") != BAKING or not until:
        return ""
    share = weight(100 - _share(rollout))
    when = f"until {clock(until)}, {ahead(until, screen.now)}"
    return f"{plain(rollout.get('baseline'))} keeps {share} {when}; promote ends it now, rollback undoes the promotion"


def _settings(settings: object) -> str:
    if not isinstance(settings, dict):
        return ""
    words = [on if settings[name] else off for name, (on, off) in _SWITCHES.items() if name in settings]
    if number(settings.get("promote_from_weight")):
        words.append(f"promotion from {weight(settings['promote_from_weight'])}")
    if settings.get("feature_service"):
        words.append(f"features from {plain(settings['feature_service'])} by {plain(settings.get('feature_entity'))}")
    # What a newer server knows besides is shown as it is.
    known = {*_SWITCHES, "promote_from_weight", "policy", "feature_service", "feature_entity"}
    words += [f"{plain(name)} {scalar(value)}" for name, value in settings.items() if name not in known]
    return ", ".join(word for word in words if word) or "defaults"


def policy_words(policy: object) -> str:
    """Say in a line what a policy allows."""
    if not isinstance(policy, dict):
        return ""
    for kind, say in ((ThresholdPolicy, _threshold_words), (SequentialPolicy, _sequential_words)):
        if {field.name for field in fields(kind)} <= set(policy):
            return f"{plain(policy['name'])}: {say(policy)}"
    return pairs(policy)


def _threshold_words(policy: Document) -> str:
    return (
        f"at most {points(policy['error_delta'])} more errors and {number(policy['p95_delta_ms']) or 0:g} ms slower; "
        f"judged over {seconds(policy['window_s'])}, every {seconds(policy['interval_s'])}; "
        f"promoted from {count(policy['min_requests'])} requests"
    )


def _sequential_words(policy: Document) -> str:
    errors, p95 = (policy[name] == GUARDRAIL for name in ("error_role", "p95_role"))
    others = [
        f"{name} {'decide in a dry run' if policy[role] == DRY_RUN else 'are only shown'}"
        for name, role, decides in (("errors", "error_role", errors), ("latencies", "p95_role", p95))
        if not decides
    ]
    if not errors and not p95:
        return "; ".join(("nothing rolls back and nothing promotes", *others))
    margins = {name: number(policy[f"{name}_margin{unit}"]) or 0.0 for name, unit in (("error", ""), ("p95", "_ms"))}
    tolerances = {
        name: margins[name] / 10 if tolerance is None else tolerance
        for name, unit in (("error", ""), ("p95", "_ms"))
        for tolerance in [number(policy[f"{name}_tolerance{unit}"])]
    }
    worse = [f"{points(tolerances['error'])} more errors"] * errors + [f"p95 {tolerances['p95']:g} ms slower"] * p95
    within = [points(margins["error"])] * errors + [f"{margins['p95']:g} ms"] * p95
    return "; ".join(
        (
            f"worse than {' or '.join(worse)} rolls back at odds {_odds_of(policy['alpha'])}",
            f"within {' and '.join(within)} promotes, {seconds(policy['bake_s'])} old at least",
            f"false alarms {_percent(policy['alpha'])} in {seconds(policy['horizon_s'])} at most",
            *others,
        )
    )


def _odds_of(risk: object) -> str:
    value = number(risk)
    return f"{count(1 / value)} to 1" if value else MISSING


def _percent(share: object) -> str:
    value = number(share)
    return MISSING if value is None else f"{value * 100:.4g} %"
