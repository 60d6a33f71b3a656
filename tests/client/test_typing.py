"""What mypy sees of the clients: ``make lint`` checks these functions, and nobody calls them."""

from collections.abc import AsyncGenerator, Generator
from typing import Any, assert_type

from serinus.client import AsyncClient, Client, DocumentClient, PredictionFailure
from serinus.client.results import (
    Deployment,
    Event,
    EventsPage,
    Forecast,
    Health,
    LooksPage,
    ModelSummary,
    Prediction,
    Predictions,
    ProductionAt,
    Version,
)

Document = dict[str, Any]


def _a_client_gives_results(client: Client) -> None:
    assert_type(client.health("prod"), Health)
    assert_type(client.models(), tuple[ModelSummary, ...])
    assert_type(client.start("prod", 2, 5.0, reason="weekly", replace=True), Deployment)
    assert_type(client.register("model.skops", "heart", target="num", metrics={"auc": 0.9}), Version)
    assert_type(client.predict("prod", {"age": 63}, retry=True), Prediction)
    assert_type(client.predict_rows("prod", [{"age": 63}]), Predictions)
    assert_type(client.predict_many("prod", [{"age": 63}]), list[Prediction | PredictionFailure])
    assert_type(client.events(limit=5), EventsPage)
    assert_type(client.looks("prod", 1), Generator[LooksPage, None, None])
    assert_type(client.follow("prod", after=3), Generator[Event, None, None])


async def _an_async_client_gives_the_same_to_be_awaited(client: AsyncClient) -> None:
    assert_type(await client.health("prod"), Health)
    assert_type(await client.models(), tuple[ModelSummary, ...])
    assert_type(await client.promote("prod", expected_generation=3), Deployment)
    assert_type(await client.register_file("heart", "model.skops", target="num"), Version)
    assert_type(await client.forecast("prod", [5, 20], plan="standard"), Forecast)
    assert_type(await client.production_of("prod"), ProductionAt)
    assert_type(await client.predict_many("prod", [{"age": 63}]), list[Prediction | PredictionFailure])
    assert_type(client.follow(), AsyncGenerator[Event, None])


def _a_document_client_gives_documents(client: DocumentClient) -> None:
    assert_type(client.health("prod"), Document)
    assert_type(client.register("model.skops", "heart", target="num"), Document)
    assert_type(client.looks("prod", 1), Generator[Document, None, None])


def _wrong_calls_are_seen(client: Client, later: AsyncClient) -> None:
    client.health()  # type: ignore[call-arg]
    client.health("prod").helth  # type: ignore[attr-defined]  # noqa: B018 - seen, not called
    client.start("prod", "two")  # type: ignore[arg-type]
    client.pause("prod", resaon="typo")  # type: ignore[call-arg]
    client.register("model.skops", "heart", targets="num")  # type: ignore[call-arg]
    later.health("prod").health  # type: ignore[attr-defined]  # noqa: B018 - seen, not called
