"""Who is told of events, by the settings: the one place that names concrete notifiers."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx2

from serinus.core.errors import InvalidInput
from serinus.core.events import EventKind
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion
from serinus.dispatch import DEADLINE_S
from serinus.ports import Notifier
from serinus.settings import ServerSettings
from serinus.settings.targets import listed, listed_addresses


@dataclass(frozen=True, slots=True)
class Around:
    """What notifiers may use: an HTTP client, the store's own name, and a way to find a model version."""

    http: httpx2.AsyncClient
    identity: str
    versions: Callable[[VersionRef], Awaitable[ModelVersion | None]]


def _makers(settings: ServerSettings) -> list[Callable[[Around], Notifier]]:
    """Give for each target what makes its notifier: a new kind of target is a line here."""
    secrets = listed(settings.webhook_secret.get_secret_value())
    webhooks = listed_addresses(settings.webhook_urls.get_secret_value())
    people = listed_addresses(settings.notify_urls.get_secret_value())
    kinds = frozenset(map(EventKind, settings.notify_kinds))
    return [
        *(partial(_webhook, url, secrets) for url in webhooks),
        *(partial(_people, url, number, kinds) for number, url in enumerate(people, start=1)),
        *([partial(_lineage, settings)] if settings.openlineage_url else []),
        *([partial(_mlflow, settings)] if settings.mlflow_tracking_uri else []),
    ]


@asynccontextmanager
async def opened_targets(
    settings: ServerSettings,
    identity: Callable[[], Awaitable[str]],
    versions: Callable[[VersionRef], Awaitable[ModelVersion | None]],
) -> AsyncIterator[list[Notifier]]:
    """Make a notifier for each target, each under a name of its own; nobody is told anything yet.

    Args:
        settings: of the server. identity: gives the store's own name. versions: finds a model version.

    Raises:
        InvalidInput: a library is missing, or an address is of no use to it.
    """
    makers = _makers(settings)
    if not makers:
        yield []
        return
    async with httpx2.AsyncClient(timeout=DEADLINE_S) as http:
        around = Around(http, await identity(), versions)
        made = [make(around) for make in makers]
        yield list({each.name: each for each in made}.values())


def _webhook(url: str, secrets: Sequence[str], around: Around) -> Notifier:
    from serinus.notify.webhook import Webhook

    return Webhook(around.http, url, secrets, around.identity)


def _people(url: str, number: int, kinds: frozenset[EventKind], _: Around) -> Notifier:
    from serinus.notify.apprise import KINDS, People

    return People(url, number, kinds or KINDS)


def _lineage(settings: ServerSettings, around: Around) -> Notifier:
    try:
        from serinus.notify.openlineage import Lineage
    except ImportError as missing:
        raise InvalidInput(
            "Lineage takes the library openlineage-python, which is not installed.",
            field="SERINUS_OPENLINEAGE_URL",
            remedy="pip install 'serinus[openlineage]'",
        ) from missing
    url, namespace = settings.openlineage_url, settings.openlineage_namespace
    return Lineage(around.http, url, namespace, around.identity, around.versions)


def _mlflow(settings: ServerSettings, around: Around) -> Notifier:
    from serinus.notify.mlflow_aliases import MLflowAliases, Names, access

    names = Names(settings.mlflow_champion, settings.mlflow_challenger)
    url, headers = settings.mlflow_tracking_uri, access(os.environ)
    return MLflowAliases(around.http, url, around.identity, around.versions, names, headers)
