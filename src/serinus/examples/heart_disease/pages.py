"""What the demo shows: documents of the API and counts of the callers as lines, tables and pictures."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serinus.cli.display.arms import MEASURED, comparison, health_view
from serinus.cli.display.badges import event_badge, health_badge
from serinus.cli.display.evidence import metrics_table
from serinus.cli.display.release import policy_words
from serinus.cli.display.screen import Screen
from serinus.cli.display.split import split_bar
from serinus.cli.display.timeline import timeline
from serinus.cli.display.words import count, listed, mapped, number, odds, plain, rate, rows, seconds
from serinus.core.advance import odds_wanted
from serinus.core.deployment import ALL
from serinus.core.policy import GUARDRAIL, SequentialPolicy
from serinus.examples.heart_disease.models import Candidate
from serinus.examples.heart_disease.story import (
    DEPLOYMENT,
    HOLDBACK,
    HOLDBACK_S,
    MODEL,
    Document,
    Look,
    Move,
    Release,
    measured,
)
from serinus.examples.heart_disease.traffic import CONNECTIONS, RATE, Tally

PACE = f"about {RATE:g} a second over {CONNECTIONS} connections"
BAR_WIDTH = 40
USUAL = SequentialPolicy()
_LIVE = frozenset({"requests", "model_errors"})


def candidates(versions: Sequence[Document], trained: Sequence[Candidate], screen: Screen) -> RenderableType:
    """Show the versions and how well each did on patients it was not trained on."""
    table = screen.table(
        "version", "what it is", "trained on", "held-out accuracy", right=("trained on", "held-out accuracy")
    )
    best = max(each.accuracy for each in trained)
    for version, each in zip(versions, trained, strict=True):
        table.add_row(
            Text(plain(version.get("ref")), "bold"),
            each.description,
            f"{len(each.training)} patients",
            Text(f"{rate(each.accuracy)} of {each.held_out}", "bold" if each.accuracy == best else ""),
        )
    return table


def rule(deployed: Document) -> RenderableType:
    """Say by which rule its canaries will be judged, and what differs from the defaults."""
    policy = mapped(mapped(deployed.get("settings")).get("policy"))
    age, usual = seconds(policy.get("bake_s")), seconds(USUAL.bake_s)
    return Text(
        f"Policy {policy_words(policy)}.\n"
        f"Not as by default: a canary may be promoted when it is {age} old, not only at {usual}.",
        "dim",
    )


def moment(look: Look, screen: Screen) -> RenderableType:
    """Show a canary as it is now."""
    bar = split_bar(look.weight, min(BAR_WIDTH, screen.width - 30), screen)
    bar.append(f"  {look.weight:g} % to {look.ref}")
    arms = comparison([each for each in MEASURED if each.key in _LIVE], look.metrics, screen)
    callers = Text(f"  callers: {look.tally.requests} asked, {look.tally.failed} failed", "dim")
    return Group("", bar, "", arms, "", *_judged(look, screen), callers)


def _judged(look: Look, screen: Screen) -> Iterator[RenderableType]:
    """Show what the last check made of a canary: odds of each metric, and what the plan waits for."""
    metrics = metrics_table(look.health, screen)
    if metrics is None:
        yield Text("  no check yet", "dim")
        return
    waiting = look.health.get("waiting")
    yield Text("  ").append_text(health_badge(look.health.get("health"), screen))
    yield metrics
    if waiting:
        yield Text(f"  {plain(waiting)}", "cyan")


def line(look: Look) -> str:
    """Say in a line how a canary is now."""
    requests, failed = measured(look.metrics, "canary")
    others, others_failed = measured(look.metrics, "baseline")
    against, speaks_for = _logs(look.health, "odds_against"), _logs(look.health, "odds_for")
    known = "no check yet"
    if against and speaks_for:
        known = f"odds {odds(max(against))} against it, {odds(min(speaks_for))} for it"
    return f"{look.weight:>3g} %  failed: canary {failed}/{requests}, baseline {others_failed}/{others}; {known}"


def _logs(judged: Document, name: str) -> list[float]:
    """Give the logarithms of the odds of the metrics that decide."""
    logs = [number(each.get(name)) for each in rows(judged, "metrics") if each.get("role") == GUARDRAIL]
    return [log for log in logs if log is not None]


def verdict(life: Release, screen: Screen) -> RenderableType:
    """Show the last health check of a canary."""
    # That the rollout has ended is said next.
    judged = {name: value for name, value in life.health.items() if name != "status"}
    return health_view(judged, screen, policy=False)


def what_it_cost(life: Release, baseline: str, callers: Tally) -> Iterator[Text]:
    """Say what a bad canary saw, did and cost."""
    requests, failed = measured(life.metrics, "canary")
    asked = requests + measured(life.metrics, "baseline")[0]
    end = life.event("rolled_back")
    if end:
        after_s = life.seconds_until(end)
        yield Text.assemble((f"Rolled back by the health checker after {after_s:.1f} s", "bold"), ", on its own.")
    share = f", {rate(requests / asked)}" if asked else ""
    yield Text(f"{life.ref} saw {count(requests)} of {count(asked)} requests{share}, and failed {count(failed)}.")
    yield Text(
        f"Callers without an answer: {callers.failed} of {callers.requests} so far; "
        f"{baseline} answered {callers.failovers} for {life.ref}."
    )


def plan(started: Document, baseline: str) -> Text:
    """Say what a canary's plan is, and what it wants before each step."""
    rollout = mapped(started.get("rollout"))
    steps = listed(mapped(rollout.get("plan")).get("steps"))
    half, whole = (odds(odds_wanted(share, USUAL.beta)) for share in (ALL / 2, ALL))
    return Text(
        f"The plan: {', '.join(plain(each) for each in steps)}. Nobody steers it: odds have to say that "
        f"{plain(rollout.get('canary'))} is within the margins, {half} before it gets 50 %, {whole} before all and the "
        f"promotion. After that {baseline} keeps {HOLDBACK} % for {HOLDBACK_S} s, to compare on.",
        "dim",
    )


def move(done: Move, ref: str, screen: Screen) -> RenderableType:
    """Say what the checker did with a canary, when, why, and on what evidence."""
    canary, kind = mapped(done.verdict.get("canary")), event_badge(done.kind, screen)
    evidence = f"{ref} failed {count(canary.get('errors'))} of {count(canary.get('requests'))}"
    # What is said last of a bad one is what speaks against it, and that is the reason.
    if done.kind != "rolled_back":
        evidence += f"; odds for it: {_odds_for(done.verdict)}"
    if done.wanted is not None:
        evidence += f" ({odds(odds_wanted(done.wanted, USUAL.beta))} wanted)"
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(f"{done.after_s:4.1f} s", kind.append(f"  {plain(done.event.get('reason'))}", "not bold default"))
    grid.add_row("", Text(evidence, "cyan"))
    return grid


def _odds_for(verdict: Document) -> str:
    """Write for each metric the odds that a canary is within its margin: errors 12:1, p95 40:1."""
    return ", ".join(f"{plain(each.get('name'))} {odds(each.get('odds_for'))}" for each in rows(verdict, "metrics"))


def record(events: Document, screen: Screen) -> RenderableType:
    """Show the timeline; a reason that several events of one decision share is said once."""
    told: list[Document] = []
    last: object = None
    for event in rows(events, "events"):
        again = bool(told) and event.get("reason") == last
        last = event.get("reason")
        told.append(event | {"reason": ""} if again else event)
    return timeline({"events": told}, screen)


def see_more() -> Text:
    """Say in a line how to ask a server for what its decisions rested on."""
    command = canary_command()
    return Text.assemble(
        ("See more: ", "dim"), f"{command} explain {DEPLOYMENT}", (" and ", "dim"), f"{command} replay {DEPLOYMENT}:1"
    )


def dashboard(url: str, *, watched: bool) -> Iterator[Text]:
    """Say where the dashboard is, and what is worth a try there; ``watched``: a canary waits there for an approval."""
    yield Text(f"open {url}", "bold")
    if watched:
        yield Text("A canary waits for your word there: approve it, give it more, or roll it back.", "dim")
    yield Text(f"Then start {MODEL}@2 on the last page; Model comparison says why it was gone in seconds.", "dim")


def next_steps(url: str) -> Iterator[Text]:
    """Say how to look around on a server that was kept."""
    yield Text(f"export SERINUS_URL={url}", "bold")
    yield from _commands(
        (f"{canary_command()} status {DEPLOYMENT}", "what serves now"),
        (f"{canary_command()} explain {DEPLOYMENT}", "each decision, with what it rested on"),
        (f"{canary_command()} replay {DEPLOYMENT}:1", "the bad release, judged again"),
        (f"{canary_command()} history {DEPLOYMENT}", "the timeline; -o json has all the evidence"),
        (f"{canary_command()} models {MODEL}", "the versions"),
        (f"open {url}/docs", "the API"),
    )


def what_stays(folder: Path, home: Path) -> Iterator[Text]:
    """Say what can be done with the data that were kept."""
    yield from _commands(
        (f"{canary_command()} serve --home {home}", "serves the data again"), (f"rm -r {folder}", "removes them")
    )


def _commands(*pairs: tuple[str, str]) -> Iterator[Text]:
    width = max(len(command) for command, _ in pairs) + 3
    for command, what in pairs:
        yield Text.assemble((command.ljust(width), "bold"), (what, "dim"))


def canary_command() -> str:
    """Give how this user calls the command."""
    if shutil.which("canary"):
        return "canary"
    beside = Path(sys.executable).with_name("canary")
    if not beside.exists():
        return f"{sys.executable} -m serinus"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
