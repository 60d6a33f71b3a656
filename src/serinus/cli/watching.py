"""`status --watch`: look again every second, through a server's restart, until Ctrl-C."""

import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from serinus.cli.display.screen import Screen, screen_of, stdout_console
from serinus.cli.messages import warn
from serinus.cli.reading import View, read_status
from serinus.cli.session import Session, write_document
from serinus.client import UnreachableError

EVERY_S = 1.0

Seen = tuple[dict[str, Any], View]


def watch(session: Session, deployment: str | None) -> None:
    """Show the status until it is interrupted; Ctrl-C is how one leaves, and no failure."""
    try:
        if not session.for_people:
            _write_documents(session, deployment)
        elif sys.stdout.isatty():
            _show_live(session, deployment)
        else:
            _show_frames(session, deployment)
    except KeyboardInterrupt:
        return


def _looks(session: Session, deployment: str | None) -> Iterator[Seen | UnreachableError]:
    """Look every second, without end."""
    while True:
        started = time.monotonic()
        try:
            yield read_status(session, deployment)
        except UnreachableError as error:
            yield error
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - started)))


def _write_documents(session: Session, deployment: str | None) -> None:
    reachable = True
    for look in _looks(session, deployment):
        if isinstance(look, UnreachableError):
            if reachable:
                warn(f"{look.message} Trying again.")
        else:
            write_document(look[0], session.output, one_line=True)
        reachable = not isinstance(look, UnreachableError)


def _show_live(session: Session, deployment: str | None) -> None:
    console = stdout_console()
    seen: Seen | None = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for look in _looks(session, deployment):
            trouble = look if isinstance(look, UnreachableError) else None
            if not isinstance(look, UnreachableError):
                seen = look
            live.update(_frame(seen, trouble, screen_of(console)), refresh=True)


def _show_frames(session: Session, deployment: str | None) -> None:
    console = stdout_console()
    reachable = True
    for look in _looks(session, deployment):
        if not isinstance(look, UnreachableError):
            console.print(_frame(look, None, screen_of(console)), "")
            sys.stdout.flush()
        elif reachable:
            warn(f"{look.message} Trying again.")
        reachable = not isinstance(look, UnreachableError)


def _frame(seen: Seen | None, trouble: UnreachableError | None, screen: Screen) -> RenderableType:
    # What has to be seen comes first: a terminal that is not high enough shows the beginning.
    if trouble is not None:
        mark = screen.glyph("\N{BALLOT X}", "x")
        heading = Text(f"{mark} unreachable, retrying: {trouble.message}", "bold red")
    else:
        heading = Text(f"{screen.now.astimezone():%H:%M:%S}  every second, until Ctrl-C", "dim")
    if seen is None:
        return heading
    document, view = seen
    return Group(heading, "", view(document, screen))
