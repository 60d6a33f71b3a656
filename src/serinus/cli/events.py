"""The command that shows events of all deployments, those that were and those that come."""

import math
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from serinus.cli.messages import note
from serinus.cli.session import Output, Session, Url, connected, write_document
from serinus.cli.values import age
from serinus.core.errors import InvalidInput

PAGE = 500


def events(
    ctx: typer.Context,
    deployment: Annotated[
        str | None, typer.Argument(metavar="[DEPLOYMENT]", help="One deployment; all without it.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", metavar="KIND", help="Only events of this kind; can be given again."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="From then on: 30m, 2h, 7d ago, or an ISO 8601 time.")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="ID", min=0, help="Only what came after the event of this id.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most, the newest.")] = 20,
    output: Output = None,
    url: Url = None,
) -> None:
    """Show what happened in all deployments, or in one; with --follow also what comes, as it does.

    While it follows, a server that restarts costs no event. With --follow and -o json there is one event a line.

    Example: canary events --follow --kind rolled_back -o json
    """
    with connected(ctx, url, output) as session:
        wanted = _Wanted(session, deployment, tuple(kind or ()))
        start = None if since is None else _instant(since)
        if follow:
            try:
                wanted.follow(start, after)
            except KeyboardInterrupt:
                return
        else:
            wanted.show(start, after, limit)


class _Wanted:
    """The events that are asked for."""

    def __init__(self, session: Session, deployment: str | None, kinds: tuple[str, ...]) -> None:
        self._session = session
        self._deployment = deployment
        self._kinds = kinds

    def show(self, since: datetime | None, after: int | None, limit: int) -> None:
        """Show the newest, oldest first; after an id the first that followed."""
        from serinus.cli.display.events import events_view

        found = self._session.client.events(
            self._deployment, after=after or 0, limit=limit, newest_first=after is None, kinds=self._kinds, since=since
        )
        if after is None:
            found = {**found, "events": found["events"][::-1]}
        self._session.show(found, events_view)
        if self._session.for_people and found.get("next") is not None:
            note(f"There are more: --limit {limit * 5}")

    def follow(self, since: datetime | None, after: int | None) -> None:
        """Show those since then, and each that comes."""
        client, last = self._session.client, after
        if since is not None:
            newest = client.events(self._deployment, limit=1, newest_first=True)["events"]
            last = max(after or 0, *(each["id"] for each in newest), self._show_since(since, after or 0))
        for event in client.follow(self._deployment, after=last, kinds=self._kinds):
            self._show_one(event)

    def _show_since(self, since: datetime, after: int) -> int:
        """Show what is on record, and give the id of the last one."""
        last: int | None = after
        shown = after
        while last is not None:
            page = self._session.client.events(self._deployment, after=last, limit=PAGE, kinds=self._kinds, since=since)
            for event in page["events"]:
                self._show_one(event)
                shown = event["id"]
            last = page.get("next")
        return shown

    def _show_one(self, event: dict[str, Any]) -> None:
        if not self._session.for_people:
            write_document(event, self._session.output, one_line=True)
            return
        from serinus.cli.display.events import event_line
        from serinus.cli.display.screen import screen_of, stdout_console

        console = stdout_console()
        console.print(event_line(event, screen_of(console)), soft_wrap=True)
        sys.stdout.flush()


def _instant(text: str) -> datetime:
    """Read a time, or how long ago it was; a time without a zone is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - timedelta(seconds=age(text, "--since") if not text.startswith("-") else math.inf)
    except (InvalidInput, OverflowError):
        raise InvalidInput(
            f"--since is {text!r}, which is neither a time nor a span.",
            field="--since",
            remedy="Give it like 30m, 2h, 7d, or 2026-03-01T12:00.",
        ) from None
