"""`canary demo`: the whole story on real data, with a server of its own."""

from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave server, callers and dashboard up.")] = False,
) -> None:
    """Watch a good canary being promoted and a bad one rolled back.

    Example: canary demo --keep
    """
    from serinus.cli.display.screen import stdout_console
    from serinus.examples.heart_disease.demo import run

    raise typer.Exit(run(keep, stdout_console()))
