"""`canary doctor`: check what a server needs, from this machine."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from serinus.cli.config import Home, Workers
from serinus.cli.exits import ExitCode
from serinus.cli.local import show
from serinus.cli.session import Output

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from serinus.cli.display.screen import Screen


def doctor(ctx: typer.Context, home: Home = None, workers: Workers = None, output: Output = None) -> None:
    """Check what a server with these settings needs, and what runs.

    It changes nothing, and needs no server. Exits with 1 if something is wrong; a note alone is none.

    Example: canary doctor
    """
    from serinus.doctor import Status, examine

    reports = asyncio.run(examine(home=home, workers=workers))
    wrong = any(report.status is Status.WRONG for report in reports)
    document = {"status": "wrong" if wrong else "ok", "checks": [report.document() for report in reports]}
    show(document, doctor_view, ctx, output)
    if wrong:
        raise typer.Exit(ExitCode.FAILURE)


def doctor_view(document: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    """Show each check with what was found, what is wrong, and what to do about it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from serinus.cli.display.words import plain, rows

    checks = rows(document, "checks")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark, style = _mark(check.get("status"), screen)
        name = Text(f"{mark} {plain(check.get('check'))}", style)
        separator = screen.glyph(" \N{MIDDLE DOT} ", ", ")
        facts = Text(separator.join(plain(fact) for fact in check.get("facts") or ()), "dim")
        problems = rows(check, "problems")
        if facts or not problems:
            table.add_row(name, facts)
            name = Text()
        for problem in problems:
            table.add_row(name, _problem(problem, screen))
            name = Text()
    return Group(table, "", _summary(checks))


def _problem(problem: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from serinus.cli.display.words import plain

    note = problem.get("severity") == "note"
    arrow = screen.glyph("\N{RIGHTWARDS ARROW}", "->")
    message = Text(plain(problem.get("message")), "yellow" if note else "bold red")
    return Group(message, Padding(Text(f"{arrow} {plain(problem.get('remedy'))}"), (0, 0, 0, 2)))


def _mark(status: object, screen: "Screen") -> tuple[str, str]:
    marks = {
        "ok": ("\N{CHECK MARK}", "+", "green"),
        "note": ("\N{BLACK UP-POINTING SMALL TRIANGLE}", "!", "yellow"),
        "wrong": ("\N{BALLOT X}", "x", "bold red"),
        "skipped": ("\N{EN DASH}", "-", "dim"),
    }
    symbol, ascii_symbol, style = marks.get(str(status), ("\N{BULLET}", "*", ""))
    return screen.glyph(symbol, ascii_symbol), style


def _summary(checks: Sequence[Mapping[str, Any]]) -> "Text":
    from rich.text import Text

    from serinus.cli.display.words import rows

    severities = [problem.get("severity") for check in checks for problem in rows(check, "problems")]
    wrong, notes = severities.count("wrong"), severities.count("note")
    if not severities:
        return Text("All is well.", "green")
    parts = [f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"] if wrong else ["Nothing is wrong"]
    parts += [f"{notes} {'is' if notes == 1 else 'are'} worth a look"] if notes else []
    return Text(", ".join(parts) + ".", "bold red" if wrong else "yellow")
