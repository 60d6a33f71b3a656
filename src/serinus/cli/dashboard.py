"""`canary dashboard`: show the releases of a server in a browser."""

import sys
from typing import Annotated

import typer

from serinus.cli.exits import ExitCode
from serinus.cli.serve import Host
from serinus.cli.session import Globals, Url


def dashboard(
    ctx: typer.Context,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8501,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow to listen to the network: whoever comes can act.")
    ] = False,
    url: Url = None,
) -> None:
    """Show the releases of a server in a browser; Ctrl-C ends it.

    It needs no server when it starts: as long as none answers, it says so.

    Example: canary dashboard --port 8501
    """
    from serinus.client.way import Way
    from serinus.dashboard import launching

    given = ctx.obj if isinstance(ctx.obj, Globals) else Globals()
    # What is wrong with the address, or the token, is said now.
    server = Way.to(url or given.url, "", None, launching.PATIENCE_S)
    port = launching.checked(host, port, insecure=insecure)
    where = f"{launching.address(host, port)}  (of the server at {server.shown}; Ctrl-C ends it)"
    sys.stdout.write(f"Dashboard: {where}\n")
    sys.stdout.flush()
    try:
        launching.run(host, port, server.base_url, insecure=insecure)
    except KeyboardInterrupt:
        # Before Streamlit heeds it.
        raise typer.Exit(ExitCode.OK) from None
