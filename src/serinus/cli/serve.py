"""`canary serve`: run a server here."""

from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.exits import ExitCode


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="PATH", help="The folder for its data. [default: as the server is set]"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow to listen to the network without access control.")
    ] = False,
) -> None:
    """Run a server; Ctrl-C ends it.

    Example: canary serve --port 8000 --home ./serinus-data
    """
    from serinus.http.serving import run

    try:
        code = run(host=host, port=port, home=home, insecure=insecure)
    except KeyboardInterrupt:
        # uvicorn has closed down by now, and passes Ctrl-C on.
        code = ExitCode.OK
    raise typer.Exit(code)
