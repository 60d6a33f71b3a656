"""The command that says how long a canary would take, before it is started."""

from collections.abc import Sequence
from typing import Annotated

import typer

from serinus.cli import values
from serinus.cli.session import DeploymentName, Output, Url, connected
from serinus.core.errors import InvalidInput

ALL = 100.0
USUAL_WEIGHTS = "1,5,20,50"


def forecast(
    ctx: typer.Context,
    deployment: DeploymentName,
    weights: Annotated[
        str | None,
        typer.Option("--weights", "-w", metavar="PERCENT,...", help="The canary's shares. [default: 1,5,20,50]"),
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", "-p", metavar="NAME|FILE", help="A plan, with its shares and its pauses.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.0, help="Requests per second. [default: as it was of late]", show_default=False),
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Say how long it would take to find a bad canary and to promote a good one.

    It rests on the deployment's policy, its traffic and its baseline's errors and latency. It changes nothing.

    Example: canary forecast heart-prod --plan standard --rate 50
    """
    from serinus.cli.display.forecast import forecast_view

    name, steps = ("", []) if plan is None else _plan(plan)
    if weights is not None or plan is None:
        shares = _shares(USUAL_WEIGHTS if weights is None else weights)
    else:
        shares = [weight for weight, _ in steps if weight < ALL]
    with connected(ctx, url, output) as session:
        document = session.client.forecast(
            deployment, weights=shares, rate=rate, plan=name, steps=() if name else steps
        )
        session.show(document, forecast_view)


def _plan(name: str) -> tuple[str, Sequence[tuple[float, float]]]:
    """Read a plan: its name if it is there from the start, and its shares, each with how long it pauses there."""
    from serinus.cli.plan import find_plan
    from serinus.core.presets import PRESETS

    return (name if name in PRESETS else ""), find_plan(name).paced


def _shares(text: str) -> list[float]:
    """Read shares in percent, each between 0 and 100: at either there is nothing to compare."""
    shares = [values.percent(part) for part in text.split(",")]
    if not all(0.0 < share < ALL for share in shares):
        raise InvalidInput(
            f"The weights are {text}.", field="--weights", remedy="Give shares between 0 and 100, like 1,5,20,50."
        )
    return shares
