"""Commands that steer a rollout: start, traffic, pause, resume, approve, promote, rollback, undo.

What raises exposure asks first; what lowers it never waits.
"""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from serinus.cli import values
from serinus.cli.exits import ExitCode
from serinus.cli.messages import confirm
from serinus.cli.session import DeploymentName, Output, Reason, Session, Url, Yes, connected
from serinus.core.errors import InvalidInput
from serinus.core.lifecycle import checked_weight

USUAL_WEIGHT = 20.0
"""The share in percent that a canary starts with if neither a share nor a plan is given."""
ASK_ABOVE = 50.0
"""Raising the canary's share beyond this, in percent, asks first: most callers would get the canary."""


def start(
    ctx: typer.Context,
    deployment: DeploymentName,
    version: Annotated[
        str,
        typer.Argument(metavar="VERSION", help="The canary: a number of the baseline's model, or MODEL@VERSION."),
    ],
    weight: Annotated[
        str | None,
        typer.Option("--weight", "-w", metavar="PERCENT", help="Its share of the traffic. [default: 20]"),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", "-p", metavar="NAME|FILE", help="Follow a plan: see `canary plan list`; - is stdin."),
    ] = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Roll back the canary that is under way, if there is one.")
    ] = False,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Start a canary: at a share of the traffic, or by a plan.

    Example: canary start heart-prod 2 --plan standard
    """
    model, number = values.canary_version(version)
    if plan is not None and weight is not None:
        raise InvalidInput(
            f"--weight {weight} and --plan {plan} are both given.",
            field="--weight",
            remedy="Give one of them: a plan begins with a weight of its own.",
        )
    share = checked_weight(USUAL_WEIGHT if weight is None else values.percent(weight)) if plan is None else None
    followed = None if plan is None else sent_plan(plan)
    with connected(ctx, url, output) as session:
        session.show_deployment(
            session.client.start(deployment, number, share, model=model, plan=followed, replace=replace, reason=reason)
        )
        session.hint(f"Next: canary status {deployment} --watch")


def traffic(
    ctx: typer.Context,
    deployment: DeploymentName,
    weight: Annotated[
        str, typer.Argument(metavar="WEIGHT", help="The canary's new share in percent, or a change: +10, -10.")
    ],
    reason: Reason = None,
    yes: Yes = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Change the canary's share of the traffic.

    The very next request is routed by it. Raising it above 50 % asks first. Lowering it never does.

    Example: canary traffic heart-prod +10
    """
    change = weight.strip().startswith(("+", "-"))
    share = values.percent(weight) if change else checked_weight(values.percent(weight))
    with connected(ctx, url, output) as session:
        generation = None
        if change or share > ASK_ABOVE:
            state = session.client.deployment(deployment)
            now = _weight_of(state)
            if change:
                share, generation = min(100.0, max(0.0, (now or 0.0) + share)), state.get("generation")
            if now is not None and share > max(now, ASK_ABOVE):
                canary = f"{_canary_of(state)} gets {share:g} % of the traffic of {deployment}"
                _confirmed(f"{canary}, up from {now:g} %.", yes=yes)
                generation = state.get("generation")
        session.show_deployment(
            session.client.set_weight(deployment, share, reason=reason, expected_generation=generation)
        )


def pause(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Hold a rollout: no promotion and no greater share until it is resumed.

    Example: canary pause heart-prod --reason "over the weekend"
    """
    with connected(ctx, url, output) as session:
        session.show_deployment(session.client.pause(deployment, reason=reason))


def resume(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Let a paused rollout go on.

    Example: canary resume heart-prod
    """
    with connected(ctx, url, output) as session:
        session.show_deployment(session.client.resume(deployment, reason=reason))


def approve(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Give your word for the step that a plan waits at.

    The evidence has to suffice for the next share all the same.

    Example: canary approve heart-prod --reason "the panels look right"
    """
    with connected(ctx, url, output) as session:
        session.show_deployment(session.client.approve(deployment, reason=reason))


def promote(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    yes: Yes = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Make the canary the baseline, with all the traffic.

    After a promotion by a plan, which lets the version before keep a share for a while, it ends that while now.
    Asks first, unless --yes is given.

    Example: canary promote heart-prod --yes --reason "better for a week"
    """
    with connected(ctx, url, output) as session:
        generation = _agreed(session, deployment, yes=yes, consequence=_promotion)
        session.show_deployment(session.client.promote(deployment, reason=reason, expected_generation=generation))


def rollback(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    yes: Annotated[  # noqa: ARG001  # so that a script can give it to every command
        bool, typer.Option("--yes", "-y", help="Changes nothing: it never asks.")
    ] = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Take the canary out: all the traffic to the baseline, at once.

    While a promotion by a plan bakes, it undoes the promotion. It never asks: lowering exposure does not wait.

    Example: canary rollback heart-prod --reason "complaints from support"
    """
    with connected(ctx, url, output) as session:
        session.show_deployment(session.client.rollback(deployment, reason=reason))


def undo(
    ctx: typer.Context,
    deployment: DeploymentName,
    reason: Reason = None,
    yes: Yes = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Undo the last promotion: the baseline before it serves again.

    Asks first, unless --yes is given.

    Example: canary undo heart-prod --yes
    """
    with connected(ctx, url, output) as session:
        generation = _agreed(session, deployment, yes=yes, consequence=_undoing)
        session.show_deployment(session.client.undo(deployment, reason=reason, expected_generation=generation))


def _agreed(
    session: Session, deployment: str, *, yes: bool, consequence: Callable[[dict[str, Any]], str]
) -> int | None:
    """Ask, naming what will happen; give the generation that the answer holds for."""
    if yes:
        return None
    state = session.client.deployment(deployment)
    what = consequence(state)
    # Where the state does not allow it there is nothing to confirm, and the server says why.
    if what:
        _confirmed(what, yes=False)
    generation = state.get("generation")
    return generation if isinstance(generation, int) else None


def _confirmed(consequence: str, *, yes: bool) -> None:
    if not confirm(consequence, yes=yes):
        raise typer.Exit(ExitCode.FAILURE)


def _promotion(state: dict[str, Any]) -> str:
    if _weight_of(state) is None:
        return ""
    if state.get("status") == "baking":
        baseline = (state.get("rollout") or {}).get("baseline")
        return f"{_canary_of(state)} gets all the traffic of {state.get('name')}; {baseline} keeps no share of it."
    return (
        f"{_canary_of(state)} becomes the baseline of {state.get('name')} and gets all the traffic; "
        f"{state.get('baseline')} is replaced."
    )


def _undoing(state: dict[str, Any]) -> str:
    previous = state.get("previous") or []
    if not previous:
        return ""
    return (
        f"{previous[-1]} becomes the baseline of {state.get('name')} again and gets all the traffic; "
        f"{state.get('baseline')} is replaced."
    )


def sent_plan(name: str) -> str | dict[str, Any]:
    """Give a plan as it is sent: by its name if it is there from the start, else as the document in the file."""
    from serinus.cli.plan import find_plan
    from serinus.core.presets import PRESETS

    if name in PRESETS:
        return name
    from serinus.plans import to_document

    return to_document(find_plan(name))


def _canary_of(state: dict[str, Any]) -> str:
    return str((state.get("rollout") or {}).get("canary"))


def _weight_of(state: dict[str, Any]) -> float | None:
    rollout = state.get("rollout")
    if state.get("status") == "stable" or not isinstance(rollout, dict):
        return None
    weight = rollout.get("weight")
    return float(weight) if isinstance(weight, int | float) else None
