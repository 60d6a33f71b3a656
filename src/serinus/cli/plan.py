"""`canary plan`: look at rollout plans, and check them; it needs no server."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.exits import ExitCode
from serinus.cli.local import show
from serinus.cli.session import Format, Output, write_document
from serinus.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

    from serinus.cli.display.screen import Screen
    from serinus.core.plan import Plan

HELP = """Look at rollout plans, and check them.

A plan says which shares of the traffic a canary gets one after another, and what it waits for in between.

Example: canary plan show standard
"""

# Plain help: see serinus.cli.app.
commands = typer.Typer(name="plan", help=HELP, rich_markup_mode=None, no_args_is_help=True, add_completion=False)


@commands.command("list")
def listed(ctx: typer.Context, output: Output = None) -> None:
    """List the plans that are there from the start.

    Example: canary plan list
    """
    from serinus.core.presets import ABOUT, PRESETS

    plans = [
        {"name": name, "about": ABOUT[name], "weights": _weights(plan), "promotes": plan.promotes}
        for name, plan in PRESETS.items()
    ]
    show({"plans": plans}, _list_view, ctx, output)


@commands.command("show")
def shown(
    ctx: typer.Context,
    plan: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A plan of the list, or a file; - is stdin.")],
    output: Output = None,
) -> None:
    """Show a plan, step by step; as YAML it is a start for one of your own.

    Example: canary plan show standard -o yaml > plan.yaml
    """
    from serinus.plans import to_document

    chosen = find_plan(plan)
    show(to_document(chosen), lambda _, screen: plan_view(chosen, screen), ctx, output)


@commands.command("lint")
def linted(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="YAML or JSON; - is stdin.")],
    output: Output = None,
) -> None:
    """Check plans, and say what is wrong with them and what is hardly meant.

    Exits with 2 if one of them cannot be followed; advice alone is no error.

    Example: canary plan lint plans/*.yaml
    """
    reports = [_report(name) for name in files]
    show({"files": reports}, _lint_view, ctx, output)
    if not all(report["valid"] for report in reports):
        raise typer.Exit(ExitCode.USAGE)


@commands.command("schema")
def schema(
    output: Annotated[Format, typer.Option("--output", "-o", help="As JSON or YAML.")] = Format.JSON,
) -> None:
    """Print the JSON Schema of plans, for editors.

    Example: canary plan schema > rollout-plan.schema.json
    """
    from serinus.plans import shipped_schema

    write_document(shipped_schema(), Format.JSON if output is Format.TABLE else output)


def find_plan(name: str) -> "Plan":
    """Read the plan of that name, or the one in the file.

    Raises:
        NotFound: it is neither; InvalidInput: it is no plan.
    """
    from serinus.core.presets import PRESETS
    from serinus.plans import read_plan

    if name in PRESETS:
        return PRESETS[name]
    return read_plan(_text_of(name))


def plan_view(plan: "Plan", screen: "Screen") -> "RenderableType":
    """Show the steps of a plan with what each wants, and below what holds for all of them."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = screen.table("step", "what", "wants", right=("step",))
    for number, (step, wanted) in enumerate(zip(plan.steps, _wanted(plan), strict=True), start=1):
        table.add_row(str(number), str(step), Text(wanted, "dim"))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, fact in _facts(plan):
        facts.add_row(f"  {name}", fact)
    return Group(Text(plan.name, "bold"), "", table, "", facts)


def _wanted(plan: "Plan") -> list[str]:
    """Say for each step what the evidence has to be."""
    import math

    from serinus.core.advance import odds_wanted
    from serinus.core.plan import ALL, StepKind, own_policy
    from serinus.core.policy import SequentialPolicy

    policy = own_policy(plan) or SequentialPolicy()
    wanted = []
    for index, step in enumerate(plan.steps):
        if step.kind not in {StepKind.SET_WEIGHT, StepKind.PROMOTE} or not index:
            wanted.append("")
        elif isinstance(policy, SequentialPolicy):
            odds = math.exp(odds_wanted(step.weight or ALL, policy.beta))
            wanted.append(f"odds of {odds:.3g} to 1 for the canary")
        else:
            wanted.append("a healthy canary")
    return wanted


def _facts(plan: "Plan") -> list[tuple[str, str]]:
    from serinus.core.plan import camel, span
    from serinus.core.policy import POLICIES

    chosen = [str(plan.policy.get("name", next(iter(POLICIES))))] if plan.policy else []
    chosen += [f"{camel(name)} {value}" for name, value in plan.policy.items() if name != "name"]
    deadline = plan.progress_deadline_s
    duration = "the policy's bake time" if plan.holdback_s is None else span(plan.holdback_s)
    holdback = f"{plan.holdback_weight:g} % on the old version for {duration}" if plan.holdback_weight else "none"
    facts = [
        ("policy", ", ".join(chosen) or "the deployment's"),
        ("no progress", "holds" if deadline is None else f"pauses after {span(deadline)}"),
        ("hold alert", f"every {span(plan.hold_alert_s)}"),
        ("at the end", "promoted" if plan.promotes else "a person promotes"),
        ("holdback", holdback),
    ]
    return facts + [("frozen", str(freeze)) for freeze in plan.freeze]


def _list_view(document: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    from rich.text import Text

    table = screen.table("plan", "weights", "about")
    for plan in document["plans"]:
        weights = ", ".join(f"{weight:g}" for weight in plan["weights"])
        table.add_row(Text(plan["name"], "bold"), f"{weights} %", plan["about"])
    return table


def _lint_view(document: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from serinus.cli.display.words import plain

    views: list[RenderableType] = []
    for report in document["files"]:
        pretty, ascii_only, colour = ("✓", "ok", "green") if report["valid"] else ("✗", "x", "red")
        views.append(Text(f"{screen.glyph(pretty, ascii_only)} ", colour).append(plain(report["file"]), "bold"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", justify="right", min_width=10)
        grid.add_column(overflow="fold")
        for each in (*report["problems"], *report["warnings"]):
            line = "" if each["line"] is None else f"line {each['line']}"
            text = f"{each['message']} {each['remedy']}" if "remedy" in each else f"advice: {each['message']}"
            grid.add_row(line, Text(plain(text), "" if "remedy" in each else "yellow"))
        if grid.row_count:
            views.append(grid)
    return Group(*views)


def _report(name: str) -> dict[str, Any]:
    from serinus.plans import line_of, lint, read_plan

    text = _text_of(name)
    report: dict[str, Any] = {"file": name, "valid": True, "problems": [], "warnings": []}
    try:
        plan = read_plan(text)
    except InvalidInput as wrong:
        return report | {"valid": False, "problems": wrong.details["problems"]}
    report["warnings"] = [
        {"field": finding.field, "message": finding.message, "line": line_of(text, finding.field)}
        for finding in lint(plan, datetime.now(UTC))
    ]
    return report


def _text_of(name: str) -> str:
    from serinus.core.presets import PRESETS

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode()
    except FileNotFoundError as absent:
        raise NotFound(
            f"There is no plan and no file {name!r}.",
            field="plan",
            remedy=f"Name a file, or one of {', '.join(PRESETS)}.",
        ) from absent
    except (OSError, ValueError) as wrong:
        why = getattr(wrong, "strerror", None) or "it is not text in UTF-8"
        raise InvalidInput(
            f"{name} cannot be read: {why}.", field="plan", remedy="Give a YAML or JSON file."
        ) from wrong


def _weights(plan: "Plan") -> list[float]:
    return [step.weight for step in plan.steps if step.weight is not None]
