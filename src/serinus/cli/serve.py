"""`canary serve` and `canary check`: run a server, or a checker alone, here."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from serinus.cli.exits import ExitCode

Host = Annotated[str, typer.Option("--host", help="The address to listen at.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="PATH", help="The folder for its data. [default: as the server is set]"),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow to listen to the network without access control.")]


def serve(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    home: Home = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that serve; more than one needs Redis.")
    ] = None,
    no_checker: Annotated[
        bool, typer.Option("--no-checker", help="Judge no canaries here: `canary check` does it elsewhere.")
    ] = False,
    insecure: Insecure = False,
) -> None:
    """Run a server; Ctrl-C ends it.

    Example: canary serve --port 8000 --home ./serinus-data
    """
    with _looking_for_no_garbage():
        from serinus.http import serving

    _run(
        lambda: serving.serve(
            host=host, port=port, home=home, insecure=insecure, checks=not no_checker, workers=workers
        )
    )


def check(
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port of its health and metrics; 0 takes a free one.")
    ] = 8001,
    home: Home = None,
    insecure: Insecure = False,
) -> None:
    """Judge canaries, without serving; Ctrl-C ends it.

    Any number may run: one leads, and another takes over within seconds when it is gone.

    Example: canary check --port 8001
    """
    with _looking_for_no_garbage():
        from serinus.http import serving

    _run(lambda: serving.check(host=host, port=port, home=home, insecure=insecure))


@contextmanager
def _looking_for_no_garbage() -> Iterator[None]:
    """Import in six sevenths of the time, and never look through what was imported: it lasts as long as the process."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _run(server: Callable[[], int]) -> NoReturn:
    try:
        code = server()
    except KeyboardInterrupt:
        # uvicorn has closed down by now, and passes Ctrl-C on.
        code = ExitCode.OK
    raise typer.Exit(code)
