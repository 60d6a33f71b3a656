"""`canary simulate`: what a policy would do to made-up traffic, without a server."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.local import show
from serinus.cli.session import Output
from serinus.core.errors import InvalidInput
from serinus.core.policy import Policy, SequentialPolicy, ThresholdPolicy, policy_values

if TYPE_CHECKING:
    from rich.console import RenderableType

    from serinus.cli.display.screen import Screen
    from serinus.simulation import Results, Traffic

POINTS = 100.0
MOST_REQUESTS = 5e9
"""Of all rollouts together; more would take hours."""


def simulate(  # noqa: PLR0917  # Typer passes its options by name
    ctx: typer.Context,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="The policy's values, YAML or JSON.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.01, max=1e6, help="Requests a second, of both roles.")] = 10.0,
    share: Annotated[float, typer.Option("--share", min=0.1, max=99.9, help="The canary's, in percent.")] = 20.0,
    baseline_errors: Annotated[
        float, typer.Option("--baseline-errors", min=0.0, max=100.0, help="The baseline's error rate, in percent.")
    ] = 0.2,
    effects: Annotated[
        str, typer.Option("--effects", metavar="POINTS", help="How much more the canary fails, in points.")
    ] = "0,1,2,5,19",
    rollouts: Annotated[int, typer.Option("--rollouts", min=1, max=100_000, help="How many of each.")] = 200,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=168.0, help="How long one lasts at most.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Where chance comes from.")] = 1,
    output: Output = None,
) -> None:
    """Say what a policy would do, and how fast, to canaries that fail more; it needs no server.

    Example: canary simulate --rate 50 --share 10 --effects 0,2,5
    """
    from serinus.simulation import Traffic

    rule = policy_of(policy)
    points = points_of(effects)
    if rate * hours * 3600.0 * rollouts * len(points) > MOST_REQUESTS:
        raise InvalidInput(
            f"{rollouts} rollouts of {hours:g} h at {rate:g} requests/s are too many requests to simulate.",
            field="--rollouts",
            remedy="Ask for fewer rollouts, hours or effects.",
        )
    traffic = Traffic(per_s=rate, shares=((0.0, share / POINTS),), errors=((0.0, baseline_errors / POINTS),))
    with _progress(len(points), hours * 3600.0) as watch:
        rows = [
            row(rule, traffic, each, rollouts=rollouts, seconds=hours * 3600.0, seed=seed, watch=watch(place))
            for place, each in enumerate(points)
        ]
    asked = {"rate": rate, "share": share, "baseline_errors": baseline_errors, "hours": hours, "seed": seed}
    show({"policy": policy_values(rule), "traffic": asked, "effects": rows}, simulated_view, ctx, output)


def policy_of(file: Path | None, default: Policy | None = None) -> SequentialPolicy | ThresholdPolicy:
    """Read the policy that a file describes, over the values of the default one."""
    from serinus.cli.policy_file import read_policy

    present = SequentialPolicy() if default is None else default
    policy = present if file is None else read_policy(str(file), present)
    if not isinstance(policy, SequentialPolicy | ThresholdPolicy):
        raise InvalidInput(f"The policy {policy.name!r} cannot be simulated.", field="--policy")
    return policy


def points_of(text: str) -> list[float]:
    """Read numbers from -100 to 100 with commas between them."""
    try:
        points = [float(each) for each in text.split(",")]
    except ValueError:
        points = []
    if not points or not all(-POINTS <= each <= POINTS for each in points):
        raise InvalidInput(
            f"{text!r} are no effects.", field="--effects", remedy="Give points like 0,1,2,5,19, from -100 to 100."
        )
    return points


def row(
    policy: SequentialPolicy | ThresholdPolicy,
    traffic: "Traffic",
    points: float,
    *,
    rollouts: int,
    seconds: float,
    seed: int,
    watch: Callable[[float, int], None],
) -> dict[str, Any]:
    """Simulate canaries that fail so many points more, and sum up what became of them."""
    from dataclasses import replace

    from serinus.simulation import PROMOTED, ROLLED_BACK, UNDECIDED, simulate

    worse = replace(traffic, effect=points / POINTS)
    results = simulate(policy, worse, rollouts=rollouts, seconds=seconds, seed=seed, watch=watch)
    return {
        "effect": points,
        "rollouts": rollouts,
        "rolled_back": results.count(ROLLED_BACK),
        "promoted": results.count(PROMOTED),
        "undecided": results.count(UNDECIDED),
        **costs(results),
    }


def costs(results: "Results") -> dict[str, float | None]:
    """Give the seconds until a decision, and the canary requests that it took, on average; None where there is none."""
    import numpy as np

    decided = results.decision != 0
    if not decided.any():
        return dict.fromkeys(("mean_s", "p95_s", "canary_requests", "canary_failed"))
    return {
        "mean_s": round(float(results.seconds[decided].mean()), 1),
        "p95_s": round(float(np.quantile(results.seconds[decided], 0.95)), 1),
        "canary_requests": round(float(results.canary_requests[decided].mean()), 1),
        "canary_failed": round(float(results.canary_failed[decided].mean()), 1),
    }


def simulated_view(document: Mapping[str, Any], screen: "Screen") -> "RenderableType":
    """Show a line for each effect."""
    from rich.console import Group
    from rich.text import Text

    from serinus.cli.display.words import count, plain

    numbers = ("rolled back", "promoted", "undecided", "mean s", "p95 s", "canary requests", "failed")
    table = screen.table("more errors", *numbers, right=("more errors", *numbers))
    for each in document["effects"]:
        shares = [
            f"{POINTS * each[name] / each['rollouts']:.1f} %" for name in ("rolled_back", "promoted", "undecided")
        ]
        costly = [count(each[name]) for name in ("mean_s", "p95_s", "canary_requests", "canary_failed")]
        table.add_row(f"{each['effect']:+g}", *shares, *costly)
    traffic, rollouts = document["traffic"], document["effects"][0]["rollouts"]
    says = (
        f"Policy {plain(document['policy']['name'])}, {rollouts} rollouts of {traffic['hours']:g} h at most, "
        f"{traffic['rate']:g} requests/s, {traffic['share']:g} % to the canary, baseline errors "
        f"{traffic['baseline_errors']:g} %. More errors are in points; times and requests are those until a decision."
    )
    return Group(table, "", Text(says, "dim"))


@contextmanager
def _progress(effects: int, seconds: float) -> Iterator[Callable[[int], Callable[[float, int], None]]]:
    """Show on stderr, if it is a terminal, how much is simulated; gives what to tell of each effect's time."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from serinus.cli.display.screen import stderr_console

    console = stderr_console()
    columns = (TextColumn("simulating"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=effects * seconds)

        def of_effect(place: int) -> Callable[[float, int], None]:
            def watch(second: float, undecided: int) -> None:
                done = second if undecided else seconds
                progress.update(task, completed=place * seconds + done)

            return watch

        yield of_effect
