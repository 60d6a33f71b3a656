"""What the demo shows: documents of the API and counts of the callers as lines, tables and pictures."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
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
_LIVE = frozenset({"requests", "model_errors", "error_rate", "p95_ms"})
_ALL = 100.0


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
    known = odds_of(look.health, "odds_for")
    told = "no check yet" if known is None else f"odds {odds(known)} for {look.ref}"
    return f"{look.weight:>3g} %  failed: canary {failed}/{requests}, baseline {others_failed}/{others}; {told}"


def odds_of(judged: Document, name: str) -> float | None:
    """Give the logarithm of the least evidence of a guardrail; None if there is none."""
    known = [number(each.get(name)) for each in rows(judged, "metrics") if each.get("role") == GUARDRAIL]
    return min((each for each in known if each is not None), default=None)


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


def plan(started: Document, baseline: str) -> Iterator[Text]:
    """Say what a plan wants of a canary before each step."""
    rollout = mapped(started.get("rollout"))
    yield Text(f"The plan: {', '.join(plain(each) for each in listed(mapped(rollout.get('plan')).get('steps')))}.")
    half, whole = (odds(odds_wanted(share, USUAL.beta)) for share in (_ALL / 2, _ALL))
    yield Text(f"Nobody steers it: 50 % wants odds of {half} that {rollout.get('canary')} is not worse by the")
    yield Text(
        f"margins, more and the promotion {whole}. Then {baseline} keeps {HOLDBACK} % for {HOLDBACK_S} s, to compare."
    )


def move(done: Move, ref: str, screen: Screen) -> RenderableType:
    """Say what the checker did with a canary, when, and on what evidence."""
    canary = mapped(done.verdict.get("canary"))
    requests, failed = count(canary.get("requests")), count(canary.get("errors"))
    share = f"{done.given:g} % of the traffic" if done.given is not None else ""
    return Text.assemble(
        (f"{done.after_s:>5.1f} s  ", "dim"),
        event_badge(done.kind, screen),
        (f"  {share}" if share else ""),
        "\n",
        f"         {ref} failed {failed} of {requests}; odds {_each(done.verdict)}\n",
        (f"         {plain(done.event.get('reason'))}", "dim"),
    )


def _each(verdict: Document) -> str:
    """Write the odds of each metric that a canary is not worse by its margin: errors 12:1, p95 40:1."""
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
