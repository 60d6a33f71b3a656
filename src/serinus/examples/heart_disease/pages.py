"""What the demo shows: documents of the API and counts of the callers as lines, tables and pictures."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from serinus.cli.display.arms import MEASURED, comparison, health_view
from serinus.cli.display.badges import health_badge
from serinus.cli.display.release import policy_words
from serinus.cli.display.screen import Screen
from serinus.cli.display.split import split_bar
from serinus.cli.display.timeline import timeline
from serinus.cli.display.words import count, mapped, plain, rate, rows, seconds
from serinus.core.policy import ThresholdPolicy
from serinus.examples.heart_disease.models import Candidate
from serinus.examples.heart_disease.story import DEPLOYMENT, MODEL, POLICY, Document, Look, Release, Step, measured
from serinus.examples.heart_disease.traffic import CONNECTIONS, RATE, Tally

PACE = f"about {RATE:g} a second over {CONNECTIONS} connections"
BAR_WIDTH = 40
_WAITING = f"none yet; there is one every {POLICY['interval_s']:g} s"
_LIVE = frozenset({"requests", "model_errors", "error_rate", "p95_ms"})


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
    often, usual = seconds(policy.get("interval_s")), seconds(ThresholdPolicy().interval_s)
    return Text(
        f"Policy {policy_words(policy)}.\n"
        f"Not as by default: a check every {often} instead of {usual}; promotion at 100 % of the traffic only.",
        "dim",
    )


def moment(look: Look, screen: Screen) -> RenderableType:
    """Show a canary as it is now."""
    bar = split_bar(look.weight, min(BAR_WIDTH, screen.width - 30), screen)
    bar.append(f"  {look.weight:g} % to {look.ref}")
    arms = comparison([each for each in MEASURED if each.key in _LIVE], look.metrics, screen)
    judged = health_badge(look.health.get("health"), screen) if look.health.get("health") else Text(_WAITING, "dim")
    callers = Text.assemble("callers     ", (f"{look.tally.requests} asked, {look.tally.failed} failed", ""))
    return Group("", bar, "", arms, "", Text.assemble("  last check  ", judged), Text("  ").append_text(callers))


def line(look: Look) -> str:
    """Say in a line how a canary is now."""
    requests, failed = measured(look.metrics, "canary")
    others, others_failed = measured(look.metrics, "baseline")
    health = look.health.get("health") or "none yet"
    arms = f"canary {failed}/{requests}, baseline {others_failed}/{others}"
    return f"{look.weight:>3g} %  failed: {arms}; last check: {health}"


def verdict(life: Release, screen: Screen) -> RenderableType:
    """Show the last health check of a canary."""
    # That the rollout has ended is said next.
    judged = {name: value for name, value in life.health.items() if name != "status"}
    return health_view(judged, screen, policy=False)


def what_it_cost(life: Release, baseline: str, callers: Tally) -> Iterator[Text]:
    """Say what a bad canary saw, did and cost."""
    requests, failed = measured(life.metrics, "canary")
    asked = requests + measured(life.metrics, "baseline")[0]
    ended = life.seconds_until("rolled_back")
    if ended is not None:
        yield Text.assemble((f"Rolled back by the health checker after {ended:.1f} s", "bold"), ", on its own.")
    share = f", {rate(requests / asked)}" if asked else ""
    yield Text(f"{life.ref} saw {count(requests)} of {count(asked)} requests{share}, and failed {count(failed)}.")
    yield Text(
        f"Callers without an answer: {callers.failed} of {callers.requests} so far; "
        f"{baseline} answered {callers.failovers} for {life.ref}."
    )


def step(done: Step, screen: Screen) -> RenderableType:
    """Say what came of one share."""
    mark = health_badge("healthy" if done.came_true else "critical", screen).plain.partition(" ")[0]
    share = f"{done.share:.1f} %" if done.share is not None else "-"
    return Text.assemble(
        (f"{done.weight:>3g} %  ", "bold"),
        (f"{mark} {done.outcome:<8}", "green" if done.came_true else "bold red"),
        f"  {done.ref} got {share:>7} of {done.tally.requests} requests, failed {done.tally.failovers}",
    )


def record(events: Document, screen: Screen) -> RenderableType:
    """Show the timeline; a reason that several events of one decision share is said once."""
    told: list[Document] = []
    last: object = None
    for event in rows(events, "events"):
        again = bool(told) and event.get("reason") == last
        last = event.get("reason")
        told.append(event | {"reason": ""} if again else event)
    return timeline({"events": told}, screen)


def next_steps(url: str) -> Iterator[Text]:
    """Say how to look around on a server that was kept."""
    yield Text(f"export SERINUS_URL={url}", "bold")
    yield from _commands(
        (f"{canary_command()} status {DEPLOYMENT}", "what serves now"),
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
