"""Events and what was in production as words and icons; documents of the API in, text out."""

import textwrap
from collections.abc import Mapping
from typing import Any

from serinus.core.events import EventKind
from serinus.dashboard import badges
from serinus.dashboard.charts import ROLES
from serinus.dashboard.markup import element, table, text
from serinus.words import MISSING, clock, mapped, pairs, plain, scalar, weight

Document = Mapping[str, Any]
REASON = 110
"""So much of a reason stands in its event's line; the whole is behind the click."""
ICONS = {
    EventKind.DEPLOYMENT_CREATED: ":material/add_circle:",
    EventKind.CONFIGURED: ":material/tune:",
    EventKind.CANARY_REFUSED: ":material/block:",
    EventKind.CANARY_STARTED: ":material/rocket_launch:",
    EventKind.TRAFFIC_ADJUSTED: ":material/swap_horiz:",
    EventKind.PAUSED: ":material/pause_circle:",
    EventKind.RESUMED: ":material/play_circle:",
    EventKind.STEP_REACHED: ":material/stairs:",
    EventKind.APPROVED: ":material/how_to_reg:",
    EventKind.PROMOTED: ":material/trending_up:",
    EventKind.BAKE_ENDED: ":material/task_alt:",
    EventKind.ROLLED_BACK: ":material/undo:",
    EventKind.PROMOTION_UNDONE: ":material/history:",
    EventKind.HEALTH_CHECK_PASSED: ":material/check_circle:",
    EventKind.HEALTH_CHECK_FAILED: ":material/cancel:",
    EventKind.HEALTH_CHECK_INCONCLUSIVE: ":material/help:",
    EventKind.HEALTH_CHECK_ERROR: ":material/error:",
    EventKind.AUTO_ROLLBACK_TRIGGERED: ":material/bolt:",
    EventKind.AUTO_PROMOTION_TRIGGERED: ":material/auto_awesome:",
    EventKind.ROLLBACK_RECOMMENDED: ":material/thumb_down:",
    EventKind.PROMOTION_RECOMMENDED: ":material/thumb_up:",
    EventKind.HOLDING: ":material/front_hand:",
    EventKind.PROGRESS_OVERDUE: ":material/timer_off:",
}


def icon(kind: object) -> str:
    """Give the icon of a kind of event."""
    return next((shown for each, shown in ICONS.items() if each == kind), _OTHER)


_OTHER = ":material/circle:"


def kind_in_words(kind: object) -> str:
    """Say a kind of event."""
    return plain(kind).replace("_", " ")


def line(event: Document, *, with_name: bool) -> str:
    """Say an event in a line of Markdown, in which nothing that others wrote can be more than text."""
    said = [clock(event.get("at")), *([plain(event.get("deployment"))] if with_name else [])]
    by, reason = f"by {plain(event.get('actor'))}", plain(event.get("reason") or "")
    what = [*changed(event), by, *([textwrap.shorten(reason, REASON, placeholder=" …")] if reason else [])]
    lead = escaped("  ·  ".join(said))
    return f"{lead}  ·  **{escaped(kind_in_words(event.get('kind')))}**  ·  {escaped('  ·  '.join(what))}"


def changed(event: Document) -> list[str]:
    """Say what an event changed, as far as its data tell in short."""
    data = mapped(event.get("data"))
    if {"from", "to"} <= data.keys():
        written = weight if isinstance(data["to"], int | float) else plain
        return [f"{written(data['from'])} → {written(data['to'])}"]
    if isinstance(data.get("canary"), str):
        share = f" at {weight(data['weight'])}" if "weight" in data and event.get("kind") == "canary_started" else ""
        return [f"{data['canary']}{share}"]
    return [data["baseline"]] if isinstance(data.get("baseline"), str) else []


def escaped(said: str) -> str:
    r"""Write text so that Markdown shows it as it is: ``*`` as ``\*``; on one line."""
    return "".join(f"\\{each}" if each in _MARKS else each for each in " ".join(said.split()))


_MARKS = frozenset(r"\`*_{}[]()<>#+-!|~$:&^=.")


def facts(event: Document) -> str:
    """Show what is known of an event besides its data."""
    known = [
        ("event", event.get("id")),
        ("time", event.get("at")),
        ("by", event.get("actor")),
        ("reason", event.get("reason") or MISSING),
        ("deployment", event.get("deployment")),
        ("rollout", event.get("rollout")),
        ("generation", event.get("generation")),
    ]
    data = mapped(event.get("data"))
    known += [(name.replace("_", " "), _written(value)) for name, value in data.items() if _is_plain(value)]
    cells = "".join(element("dt", text(name)) + element("dd", text(value)) for name, value in known)
    return element("dl", cells, class_="sr-dl")


def evidence(event: Document) -> dict[str, Any]:
    """Give what an event rests on: the data that are more than a word."""
    return {name: value for name, value in mapped(event.get("data")).items() if not _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(not isinstance(each, Mapping | list) for each in value.values())
    return not isinstance(value, list) or all(isinstance(each, str) for each in value)


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return pairs(dict(value))
    return "; ".join(plain(each) for each in value) if isinstance(value, list) else scalar(value)


def production(document: Document, name: str) -> str:
    """Say what a deployment had in production; ``document`` is null where it did not exist yet."""
    if not document:
        return element("p", f"{text(name)} did not exist yet.", class_="sr-verdict")
    since = mapped(document.get("event"))
    said = element("strong", text(document.get("baseline")))
    if document.get("canary"):
        canary = element("strong", text(document.get("canary")))
        said += f" as the baseline, and {canary} with {text(weight(document.get('weight')))} of the traffic"
    else:
        said += " with all of the traffic"
    by = f"{kind_in_words(since.get('kind'))} by {plain(since.get('actor'))}"
    status, at = badges.status(document.get("status")).html, clock(document.get("since"))
    return element("p", f"{status} {said}, since {text(at)} ({text(by)}).", class_="sr-verdict")


def production_of_all(document: Document) -> str:
    """Set what every deployment had in production in a table."""
    lines = []
    for each in document.get("deployments") or ():
        was = mapped(each.get("production"))
        versions = [plain(was.get(role)) for role in ROLES]
        cells = [*versions, weight(was.get("weight")), clock(was.get("since"))]
        status = badges.status(was["status"]).html if was else "not there yet"
        lines.append([text(each.get("deployment")), status, *(text(cell) for cell in cells)])
    heads = ("deployment", "status", "baseline", "canary", "its share", "since")
    return table(heads, lines, caption="What was in production", numeric=(4,))
