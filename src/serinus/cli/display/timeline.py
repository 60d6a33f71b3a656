"""A deployment's history, one event a line."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from serinus.cli.display.badges import event_badge
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import MISSING, ago, clock, plain, rows, scalar, weight
from serinus.core.events import EventKind

Data = Mapping[str, Any]


def timeline(document: Data, screen: Screen) -> RenderableType:
    """Show the document's events in their order."""
    events = rows(document, "events")
    if not events:
        return Text("No such events.")
    zone = screen.now.astimezone().tzname() or "local"
    table = screen.table(f"when ({zone})", "", "event", *([] if screen.narrow else ["by"]), "what")
    table.columns[0].no_wrap = True
    table.columns[1].no_wrap = True
    for event in events:
        when = clock(event.get("at"))
        cells: list[RenderableType] = [
            Text(when[5:-3] if screen.narrow else when, "dim"),
            ago(event.get("at"), screen.now),
            event_badge(event.get("kind"), screen),
            Text(happened(event), overflow="fold"),
        ]
        if not screen.narrow:
            cells.insert(3, Text(plain(event.get("actor"))))
        table.add_row(*cells)
    return table


def happened(event: Mapping[str, Any]) -> str:
    """Say in words what an event records, and its reason."""
    data = event.get("data")
    said = _said_by(str(event.get("kind")), data) if isinstance(data, dict) else ""
    return ": ".join(part for part in (said, plain(event["reason"]) if event.get("reason") else "") if part)


def _said_by(kind: str, data: Data) -> str:
    if kind in _REASON_SAYS_IT:
        return ""
    say = _SAYINGS.get(kind, _all_of)
    try:
        return say(data)
    except (KeyError, TypeError, AttributeError):
        # A newer server words this event otherwise.
        return _all_of(data)


def _all_of(data: Data) -> str:
    return ", ".join(f"{plain(name)} {scalar(value)}" for name, value in data.items())


def _moved(data: Data) -> str:
    moved = f"{plain(data['from'])} to {plain(data['to'])}"
    if not data.get("holdback"):
        return moved
    return f"{moved}; {plain(data['from'])} keeps {weight(data['holdback'])} until {clock(data['bake_until'])}"


def _adjusted(data: Data) -> str:
    return f"{weight(data['from'])} to {weight(data['to'])}"


def _approved(data: Data) -> str:
    return f"step {data['step'] + 1}"


def _started(data: Data) -> str:
    by = f", by the plan {plain(data['plan'])}" if data.get("plan") else ""
    return f"{plain(data['canary'])} at {weight(data['weight'])}, against {plain(data['baseline'])}{by}"


def _rolled_back(data: Data) -> str:
    stays = "serves again" if data.get("promotion") else "stays"
    return f"{plain(data['canary'])} taken out at {weight(data['weight'])}, {plain(data['baseline'])} {stays}"


def _created(data: Data) -> str:
    return f"baseline {plain(data['baseline'])}"


def _configured(data: Data) -> str:
    changes = [
        f"{plain(name)} {scalar(change['from'])} to {scalar(change['to'])}" for name, change in data["changes"].items()
    ]
    return ", ".join(changes) or MISSING


_REASON_SAYS_IT = frozenset(
    kind
    for kind in EventKind
    if kind.startswith(("health_check_", "auto_"))
    or kind.endswith("_recommended")
    or kind in {EventKind.CANARY_REFUSED, EventKind.HOLDING, EventKind.PROGRESS_OVERDUE, EventKind.STEP_REACHED}
)
"""Their data is the evidence in full; `-o json` shows it."""

_SAYINGS: dict[str, Callable[[Data], str]] = {
    "deployment_created": _created,
    "configured": _configured,
    "canary_started": _started,
    "traffic_adjusted": _adjusted,
    "approved": _approved,
    "promoted": _moved,
    "bake_ended": _moved,
    "promotion_undone": _moved,
    "rolled_back": _rolled_back,
}
