"""How commands print a document that is made here, without a server."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from serinus.cli.session import Format, Globals, write_document

if TYPE_CHECKING:
    from rich.console import RenderableType

    from serinus.cli.display.screen import Screen


def show(
    document: dict[str, Any],
    view: "Callable[[dict[str, Any], Screen], RenderableType]",
    ctx: typer.Context,
    output: Format | None,
) -> None:
    """Print a document on stdout: as ``view`` shows it, or as it is.

    Args:
        document, view: what, and how for people.
        ctx, output: an option of the command goes before the same one before the command.
    """
    given = ctx.obj if isinstance(ctx.obj, Globals) else Globals()
    wanted = output or given.output or Format.TABLE
    if wanted is not Format.TABLE:
        write_document(document, wanted)
        return
    from serinus.cli.display.screen import screen_of, stdout_console

    console = stdout_console()
    console.print(view(document, screen_of(console)))
