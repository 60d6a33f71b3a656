"""Commands that look and change nothing: models, status, health, metrics, history."""

from typing import Annotated, Any

import typer

from serinus.cli.exits import ExitCode
from serinus.cli.messages import note
from serinus.cli.session import DeploymentName, Output, Session, Url, connected
from serinus.core.names import VersionRef

UNHEALTHY = frozenset({"degraded", "critical"})


def models(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model, for its versions; or NAME@VERSION.")
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """List the models, the versions of one, or all that is known of one version.

    Example: canary models heart
    """
    from serinus.cli.display.models import models_view, version_view, versions_view

    with connected(ctx, url, output) as session:
        if name is None:
            session.show(session.client.models(), models_view)
        elif "@" in name:
            session.show(session.client.version(VersionRef.parse(name)), version_view)
        else:
            session.show(session.client.versions(name), versions_view)


def status(
    ctx: typer.Context,
    deployment: Annotated[
        str | None, typer.Argument(metavar="[DEPLOYMENT]", help="One deployment; all without it.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C.")] = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Show all deployments, or one with its split and its health.

    With --watch and -o json there is one document a line.

    Example: canary status heart-prod --watch
    """
    with connected(ctx, url, output) as session:
        if watch:
            from serinus.cli.watching import watch as watch_status

            watch_status(session, deployment)
        else:
            from serinus.cli.reading import read_status

            document, view = read_status(session, deployment)
            session.show(document, view)


def health(ctx: typer.Context, deployment: DeploymentName, output: Output = None, url: Url = None) -> None:
    """Show how the canary does against the baseline, and why.

    Exits with 6 while a canary runs that is degraded, critical, or without traffic because nobody judges it.

    Example: canary health heart-prod || canary rollback heart-prod
    """
    from serinus.cli.display.arms import health_view

    with connected(ctx, url, output) as session:
        document = session.client.health(deployment)
        session.show(document, health_view)
    if document.get("status") != "stable" and (str(document.get("health")) in UNHEALTHY or document.get("warnings")):
        raise typer.Exit(ExitCode.UNHEALTHY)


def metrics(ctx: typer.Context, deployment: DeploymentName, output: Output = None, url: Url = None) -> None:
    """Show requests, errors and latencies of both arms since the rollout began.

    Example: canary metrics heart-prod -o json
    """
    from serinus.cli.display.arms import metrics_view

    with connected(ctx, url, output) as session:
        session.show(session.client.metrics(deployment), metrics_view)


def history(
    ctx: typer.Context,
    deployment: DeploymentName,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", metavar="KIND", help="Only events of this kind; can be given again."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many events at most.")] = 20,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="From the beginning, oldest first.")] = False,
    output: Output = None,
    url: Url = None,
) -> None:
    """Show who did what to a deployment, when and why.

    Example: canary history heart-prod --kind rolled_back --kind promoted
    """
    with connected(ctx, url, output) as session:
        document = session.client.events(deployment, limit=limit, newest_first=not reverse, kinds=kind or ())
        _show_history(session, document, limit)


def _show_history(session: Session, document: dict[str, Any], limit: int) -> None:
    from serinus.cli.display.timeline import timeline

    session.show(document, timeline)
    if session.for_people and document.get("next") is not None:
        note(f"There are more: --limit {limit * 5}")
