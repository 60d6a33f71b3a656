"""`canary prune`: remove what is old from a server's database."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.local import show
from serinus.cli.session import Output
from serinus.cli.values import age

if TYPE_CHECKING:
    from rich.console import RenderableType

    from serinus.cli.display.screen import Screen


def prune(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option("--older-than", metavar="SPAN", help="Such as 30d, 12h or 90m.")],
    home: Annotated[
        Path | None, typer.Option("--home", metavar="PATH", help="The server's folder, if it was given one.")
    ] = None,
    output: Output = None,
) -> None:
    """Remove logged predictions and past checks that are older; events and versions stay.

    It speaks to the database itself, with the server's settings, and servers may run meanwhile.

    Example: canary prune --older-than 30d
    """
    from serinus import maintenance

    pruning = asyncio.run(maintenance.prune(age(older_than, "--older-than"), home))
    show(asdict(pruning), removed_view, ctx, output)


def removed_view(document: Mapping[str, Any], _screen: "Screen") -> "RenderableType":
    """Say how much was removed of what, and where."""
    from rich.text import Text

    removed = document["removed"]
    return Text(
        f"Removed {removed['predictions']} predictions, {removed['snapshots']} checks of ended rollouts and "
        f"{removed['outcomes']} idempotency keys from {document['database']}."
    )
