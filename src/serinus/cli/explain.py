"""The command that says why a rollout went as it did."""

from typing import Annotated

import typer

from serinus.cli.session import DeploymentName, Output, Url, connected
from serinus.cli.values import rollout_id
from serinus.core.errors import InvalidInput


def explain(
    ctx: typer.Context,
    deployment: DeploymentName,
    rollout: Annotated[
        str | None, typer.Argument(metavar="[ROLLOUT]", help="Its number, or NAME:NUMBER; the last one without it.")
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Show each decision about a canary, and what spoke for and against it.

    Example: canary explain heart-prod 3
    """
    from serinus.cli.display.explain import explanation_view

    wanted = "" if rollout is None else _rollout_of(deployment, rollout)
    with connected(ctx, url, output) as session:
        session.show(session.client.explain(deployment, wanted), explanation_view)


def _rollout_of(deployment: str, text: str) -> str:
    name, number = rollout_id(text if ":" in text else f"{deployment}:{text}")
    if name != deployment:
        raise InvalidInput(
            f"The rollout {text} is one of {name}, not of {deployment}.",
            field="rollout",
            remedy=f"Ask for it with: canary explain {name} {number}",
        )
    return f"{name}:{number}"
