"""What `status` shows: a document of the API, and the view that adds the canary's health to it."""

from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType

from serinus.cli.display.arms import health_view
from serinus.cli.display.release import active_rollout, deployment_view, overview
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import rows
from serinus.cli.session import Session
from serinus.client import ApiError

Document = dict[str, Any]
View = Callable[[Document, Screen], RenderableType]


def read_status(session: Session, deployment: str | None) -> tuple[Document, View]:
    """Read one deployment or all; health is asked for only where it will be shown."""
    if deployment is None:
        everything = session.client.deployments()
        every_one = rows(everything, "deployments")
        verdicts = {
            str(row.get("name")): _health(session, str(row.get("name"))).get("health")
            for row in every_one
            if session.for_people and active_rollout(row)
        }
        return everything, lambda _, screen: overview(every_one, verdicts, screen)
    one = session.client.deployment(deployment)
    if not (session.for_people and active_rollout(one)):
        return one, deployment_view
    health = _health(session, deployment) | {"warnings": []}  # they are the deployment's

    def with_health(document: Document, screen: Screen) -> RenderableType:
        return Group(deployment_view(document, screen), "", health_view(health, screen, policy=False))

    return one, with_health


def _health(session: Session, deployment: str) -> Document:
    try:
        return session.client.health(deployment)
    except ApiError as error:
        # That health is not known is shown in its place; the status is known.
        return {"health": None, "reason": f"health is not known: {error.message}"}
