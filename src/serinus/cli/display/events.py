"""Events of many deployments, one a line."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from serinus.cli.display.badges import event_badge
from serinus.cli.display.screen import Screen
from serinus.cli.display.timeline import happened
from serinus.cli.display.words import clock, plain, rows

Document = Mapping[str, Any]
NAME = 16
"""Columns that names of deployments have at least."""
KIND = 20


def events_view(document: Document, screen: Screen) -> RenderableType:
    """Show the document's events in their order."""
    events = rows(document, "events")
    if not events:
        return Text("No such events.")
    return Group(*(event_line(each, screen) for each in events))


def event_line(event: Document, screen: Screen) -> Text:
    """Show one event: when, where, what, and by whom."""
    when = clock(event.get("at"))
    line = Text(when[5:] if screen.narrow else when, "dim")
    line.append(f"  {plain(event.get('deployment')):<{NAME}}  ", "bold")
    badge = event_badge(event.get("kind"), screen)
    line.append_text(badge).append(" " * max(0, KIND - len(badge.plain)))
    said = happened(event)
    line.append(f"  {said}" if said else "")
    return line.append(f"  ({plain(event.get('actor'))})", "dim")
