"""A rollout judged again: whether it came out as it was, and what another policy would have done."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serinus.cli.display.badges import health_badge
from serinus.cli.display.release import policy_words
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import ago, clock, count, mapped, number, plain
from serinus.core.forecast import duration

Document = Mapping[str, Any]


def replay_view(replay: Document, screen: Screen) -> RenderableType:
    """Show what happened, whether the verdicts are the same again, and beside it the course under another policy."""
    happened = mapped(replay.get("happened"))
    parts: list[RenderableType] = [_title(replay, happened, screen), "", _sameness(replay, screen)]
    parts += ["", Text("As it was", "bold"), _course(mapped(replay.get("recorded")), screen, _end(happened))]
    if replay.get("other"):
        parts += ["", Text(f"By {plain(replay.get('policy_file'))}", "bold")]
        parts.append(_course(mapped(replay.get("other")), screen))
    return Group(*parts)


def _title(replay: Document, happened: Document, screen: Screen) -> Text:
    title = Text(f"{plain(replay.get('rollout'))}  ", "bold")
    if happened.get("canary"):
        title.append(f"{plain(happened['canary'])} against {plain(happened.get('baseline'))}  ")
    started = f"started {ago(happened.get('started_at'), screen.now)}" if happened.get("started_at") else ""
    looks = replay.get("looks")
    facts = (*([started] if started else []), f"{count(looks)} look{'' if looks == 1 else 's'}")
    return title.append(screen.glyph(" \N{MIDDLE DOT} ", ", ").join(facts), "dim")


def _sameness(replay: Document, screen: Screen) -> RenderableType:
    difference = mapped(replay.get("first_difference"))
    if not difference:
        mark = screen.glyph("\N{CHECK MARK}", "+")
        return Text(f"{mark} every verdict comes out as it was, to the byte", "green")
    mark = screen.glyph("\N{BALLOT X}", "x")
    same, looks = number(replay.get("same")) or 0.0, number(replay.get("looks")) or 0.0
    differ = f"{count(looks - same)} of {count(looks)} verdicts come out otherwise"
    heading = Text(f"{mark} {differ}; the first is look {plain(difference.get('look'))}", "bold red")
    heading.append(f", {clock(difference.get('at'))}", "dim")
    grid = _grid()
    for name, key in (("  it was", "recorded"), ("  it is", "replayed")):
        verdict = mapped(difference.get(key))
        grid.add_row(name, _judged(verdict, screen))
    names = [name for name in mapped(difference.get("replayed")) if _differs(difference, name)]
    grid.add_row("  differs in", ", ".join(plain(name) for name in names))
    return Group(heading, grid)


def _differs(difference: Document, name: str) -> bool:
    return bool(mapped(difference.get("recorded")).get(name) != mapped(difference.get("replayed")).get(name))


def _course(course: Document, screen: Screen, end: str = "") -> RenderableType:
    grid = _grid()
    rule, last = policy_words(course.get("policy")), mapped(course.get("last"))
    if rule:
        grid.add_row("  policy", Text(rule, "dim"))
    grid.add_row("  promotion", _first(course.get("promotion")))
    grid.add_row("  rollback", _first(course.get("rollback")))
    grid.add_row("  last look", _judged(last, screen))
    if end:
        grid.add_row("  happened", end)
    return Padding(grid, 0, expand=False)


def _judged(verdict: Document, screen: Screen) -> Text:
    return Text().append_text(health_badge(verdict.get("health"), screen)).append(f"  {_reason(verdict)}")


def _first(decision: object) -> str:
    told = mapped(decision)
    if not told:
        return "never advised"
    after_s = number(told.get("after_s"))
    after = "" if after_s is None or after_s < 0 else f", after {duration(after_s)}"
    return f"advised from {clock(told.get('at'))} on{after}: {_reason(told)}"


def _end(happened: Document) -> str:
    if not happened.get("phase"):
        return ""
    phase = plain(happened["phase"]).replace("_", " ")
    ended = f"{phase} {clock(happened['ended_at'])}" if happened.get("ended_at") else f"it is {phase}"
    return f"{ended}: {plain(happened['reason'])}" if happened.get("reason") else ended


def _reason(verdict: Document) -> str:
    return plain(verdict.get("reason"))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    return grid
