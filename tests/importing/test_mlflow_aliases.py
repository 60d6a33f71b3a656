"""What becomes of an imported version stands in a real MLflow registry, by aliases and tags."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.importing.answering import answering
from tests.importing.registry import Registry
from tests.models import Risk, register
from tests.peers.mlflow_server import MLflowServer
from tests.server import Server, eventually, serving

from serinus.core.errors import NotificationRefused, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.names import VersionRef
from serinus.core.origin import Origin
from serinus.core.records import ModelVersion, RecordedEvent, VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.notify.mlflow_aliases import LARGEST_ANSWER, MLflowAliases, Names, access

pytestmark = pytest.mark.timeout(300)  # the first one waits for a server

IDENTITY = "0f9f1c04-5b1c-4b0e-9f5e-6f8f3a0d2f11"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIGNATURE = Signature((Feature("age", Dtype.INT),), Output(OutputKind.NUMBER))


@pytest.fixture(scope="module")
def registry(mlflow_server: MLflowServer) -> Registry:
    return Registry(mlflow_server.url)


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


def imported_from(url: str, *, but: str = "") -> Any:
    """Find any version as one that was imported from MLflow under its own name and number, ``but`` one that was not."""

    async def versions(ref: VersionRef) -> ModelVersion | None:
        tags = {} if str(ref) == but else Origin(url, ref.model, str(ref.version)).tags
        return ModelVersion(ref, VersionDraft(ref.model, "sha256:0f", 7, "skops", SIGNATURE, tags=tags), NOW)

    return versions


def event(kind: EventKind, generation: int, *, deployment: str = "heart-prod", **data: Any) -> list[RecordedEvent]:
    rollout = f"{deployment}:1"
    return [RecordedEvent(generation, Event(deployment, generation, kind, NOW, "ada", "because", rollout, data))]


def started(model: str, number: int, generation: int = 2, **more: Any) -> list[RecordedEvent]:
    facts: dict[str, Any] = {"canary": f"{model}@{number}", "baseline": f"{model}@1", "weight": 20.0}
    return event(EventKind.CANARY_STARTED, generation, **facts, **more)


def promoted(model: str, old: int, new: int, generation: int = 3) -> list[RecordedEvent]:
    return event(EventKind.PROMOTED, generation, **{"from": f"{model}@{old}", "to": f"{model}@{new}"})


def rolled_back(model: str, number: int, generation: int = 3, **more: Any) -> list[RecordedEvent]:
    facts: dict[str, Any] = {"canary": f"{model}@{number}", "baseline": f"{model}@1", "weight": 20.0}
    return event(EventKind.ROLLED_BACK, generation, **facts, **more)


async def test_the_aliases_follow_a_rollout(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(2)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))

    await told.notify(started(model, 2))
    assert registry.aliases(model) == {"challenger": "2"}

    await told.notify(promoted(model, 1, 2))
    assert registry.aliases(model) == {"champion": "2"}

    undone = event(EventKind.PROMOTION_UNDONE, 4, **{"from": f"{model}@2", "to": f"{model}@1"})
    await told.notify(undone)
    assert registry.aliases(model) == {"champion": "1"}
    assert registry.tags(model, 2)["serinus.status"] == "undone"


async def test_a_rollback_takes_the_challenger_away_and_says_why(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(2)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))
    await told.notify(started(model, 2))

    await told.notify(rolled_back(model, 2))

    assert registry.aliases(model) == {}
    assert registry.tags(model, 2) == {
        "serinus.status": "rolled_back",
        "serinus.reason": "because",
        "serinus.rollout": "heart-prod:1",
        "serinus.deployment": "heart-prod",
    }


async def test_a_rollback_in_the_bake_gives_the_champion_back(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(2)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))
    await told.notify(promoted(model, 1, 2))

    await told.notify(rolled_back(model, 2, 4, promotion="undone"))

    assert registry.aliases(model) == {"champion": "1"}


async def test_told_twice_it_is_the_same(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(2)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))
    await told.notify(started(model, 2))

    await told.notify(promoted(model, 1, 2))
    await told.notify(promoted(model, 1, 2))

    assert registry.aliases(model) == {"champion": "2"}


async def test_what_is_told_late_takes_nothing_back(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(3)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))
    await told.notify(promoted(model, 1, 2, generation=3))
    await told.notify(promoted(model, 2, 3, generation=5))

    await told.notify(promoted(model, 1, 2, generation=3))

    assert registry.aliases(model) == {"champion": "3"}


async def test_generations_of_another_store_say_nothing(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(3)
    await MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url)).notify(promoted(model, 1, 2, 40))

    await MLflowAliases(http, registry.url, "another", imported_from(registry.url)).notify(promoted(model, 2, 3, 3))

    assert registry.aliases(model) == {"champion": "3"}


async def test_an_alias_that_somebody_moved_is_left_where_it_is(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(3)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))
    await told.notify(started(model, 2))
    registry.set_alias(model, "challenger", 3)

    await told.notify(rolled_back(model, 2))

    assert registry.aliases(model) == {"challenger": "3"}


async def test_aliases_can_be_a_deployments_own(registry: Registry, http: httpx2.AsyncClient) -> None:
    model = registry.model(3)
    names = Names("live_{deployment}", "{deployment}-canary")
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url), names)

    await told.notify(started(model, 2, deployment="heart.eu"))
    await told.notify(started(model, 3, deployment="heart-us"))

    assert registry.aliases(model) == {"heart-eu-canary": "2", "heart-us-canary": "3"}


async def test_champions_of_two_registered_models_change_places(registry: Registry, http: httpx2.AsyncClient) -> None:
    old, new = registry.model(1), registry.model(1)
    registry.set_alias(old, "champion", 1)
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))

    await told.notify(event(EventKind.PROMOTED, 3, **{"from": f"{old}@1", "to": f"{new}@1"}))

    assert (registry.aliases(old), registry.aliases(new)) == ({}, {"champion": "1"})


async def test_versions_that_did_not_come_from_there_are_passed_over(
    registry: Registry, http: httpx2.AsyncClient
) -> None:
    model = registry.model(2)
    elsewhere = MLflowAliases(http, registry.url, IDENTITY, imported_from("http://other:5000"))
    trained_here = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url, but=f"{model}@2"))

    await elsewhere.notify(started(model, 2))
    await trained_here.notify(started(model, 2))

    assert registry.aliases(model) == {}


async def test_a_version_that_is_gone_is_refused_for_good(registry: Registry, http: httpx2.AsyncClient) -> None:
    told = MLflowAliases(http, registry.url, IDENTITY, imported_from(registry.url))

    with pytest.raises(NotificationRefused):
        await told.notify(started("nobody", 2))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_may_be_otherwise_later_is_asked_again(http: httpx2.AsyncClient, status: int) -> None:
    with answering(status) as url:
        told = MLflowAliases(http, url, IDENTITY, imported_from(url))

        with pytest.raises(Unavailable):
            await told.notify(started("heart", 2))


async def test_an_answer_without_end_is_not_read_to_its_end(http: httpx2.AsyncClient) -> None:
    with answering(200, b" " * (LARGEST_ANSWER + 2**20)) as url:
        told = MLflowAliases(http, url, IDENTITY, imported_from(url))

        with pytest.raises(NotificationRefused, match="bytes"):
            await told.notify(started("heart", 2))


async def test_nobody_there_is_asked_again(http: httpx2.AsyncClient) -> None:
    told = MLflowAliases(http, "http://127.0.0.1:9", IDENTITY, imported_from("http://127.0.0.1:9"))

    with pytest.raises(Unavailable):
        await told.notify(started("heart", 2))


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "secret"}, "Basic YWRhOnNlY3JldA=="),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken", "MLFLOW_TRACKING_USERNAME": "ada"}, "Basic YWRhOg=="),
    ],
)
def test_we_are_let_in_as_mlflows_own_client_is(environment: dict[str, str], header: str) -> None:
    assert access(environment) == {"authorization": header}
    assert access({}) == {}


# ------------------------------------------------------------------------------------- a whole server


@pytest.fixture(scope="module")
def server(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"SERINUS_MLFLOW_TRACKING_URI": registry.url + "/", "SERINUS_ALLOW_PICKLE": "true"}
    with serving(tmp_path_factory.mktemp("aliases") / "home", **settings) as running:
        yield running


def deployed(server: Server, registry: Registry, versions: int) -> str:
    """Import so many versions of a new model, and serve the first; the deployment has the model's name."""
    model = registry.model(versions)
    with server.client() as client:
        for number in range(1, versions + 1):
            register(client, model, Risk(), tags=Origin(registry.url, model, str(number)).tags)
        client.deploy(model, VersionRef(model, 1))
    return model


def becomes(registry: Registry, model: str, **aliases: str) -> bool:
    return eventually(lambda: registry.aliases(model) == aliases, every_s=0.2)


def test_a_server_sets_back_what_it_does(server: Server, registry: Registry) -> None:
    model = deployed(server, registry, 3)
    with server.client() as client:
        client.start(model, 2, 20)
        assert becomes(registry, model, challenger="2")

        client.promote(model)
        assert becomes(registry, model, champion="2")

        client.start(model, 3, 20)
        assert becomes(registry, model, champion="2", challenger="3")

        client.rollback(model, reason="too slow")
        assert becomes(registry, model, champion="2")
        assert eventually(lambda: registry.tags(model, 3).get("serinus.status") == "rolled_back", every_s=0.2)
        assert eventually(lambda: registry.tags(model, 3).get("serinus.reason") == "too slow", every_s=0.2)

        client.undo(model)
        assert becomes(registry, model, champion="1")


def test_what_happens_while_mlflow_is_down_is_set_when_it_is_back(
    server: Server, registry: Registry, mlflow_server: MLflowServer
) -> None:
    model = deployed(server, registry, 2)
    with server.client() as client:
        client.start(model, 2, 20)
        assert becomes(registry, model, challenger="2")
        mlflow_server.kill()
        try:
            client.promote(model)
        finally:
            mlflow_server.start()

    assert becomes(registry, model, champion="2")
