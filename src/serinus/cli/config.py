"""`canary config`: the settings that a server started here would have."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.local import show
from serinus.cli.session import Output

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from serinus.cli.display.screen import Screen

Home = Annotated[
    Path | None, typer.Option("--home", metavar="PATH", help="As `canary serve` would be given it; likewise --workers.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes that would serve.")]


def config(ctx: typer.Context, home: Home = None, workers: Workers = None, output: Output = None) -> None:
    """Show the settings of a server started here, and where each comes from.

    Secrets are masked. Exits with 2 if settings are wrong, and names all that are.

    Example: canary config -o json
    """
    from serinus.settings import read_settings, settings_in_force

    settings = read_settings(home=home, workers=workers)
    listed = settings_in_force(settings, home=home, workers=workers)
    show({"settings": [asdict(each) for each in listed]}, settings_view, ctx, output)


def settings_view(document: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    """Show one setting a line; those that were set stand out."""
    from rich.text import Text

    from serinus.cli.display.words import plain, rows

    table = screen.table("setting", "value", "from")
    for row in rows(document, "settings"):
        chosen = row.get("source") != "default"
        source = plain(row.get("source"))
        if source in {"file", "option"}:
            source += f" {plain(row.get('place'))}"
        table.add_row(
            Text(plain(row.get("name")), "bold" if chosen else ""), _value(row), Text(source, "" if chosen else "dim")
        )
    return table


def _value(row: Mapping[str, Any]) -> "Text":
    from rich.text import Text

    from serinus.cli.display.words import plain

    value = row.get("value")
    if value is None:
        _, _, unset = plain(row.get("about")).partition("default: ")
        return Text(f"({unset})" if unset else "-", "dim")
    if isinstance(value, bool):
        return Text(str(value).lower())
    return Text(", ".join(plain(each) for each in value) if isinstance(value, list) else plain(value))
