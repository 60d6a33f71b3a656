"""Features from a real Feast feature server, alone and for a whole Serinus server; and from servers that are none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from tests import models
from tests.e2e.conftest import QUICK
from tests.models import STABLE
from tests.peers.feast import NUMBERED, PATIENTS, SERVICE, Feast
from tests.peers.strange import engine, said
from tests.server import Server, eventually, serving
from tests.service import provided

from serinus.client import DocumentClient
from serinus.core.errors import PlatformError, Unavailable
from serinus.core.lookups import Found, Lookup
from serinus.feature_stores import feast as adapter
from serinus.feature_stores.feast import FeastFeatures

pytestmark = pytest.mark.timeout(240)  # Feast takes its time to come up

LONG = 60.0
ANN, BOB = Lookup(SERVICE, "entity_id", "ann"), Lookup(SERVICE, "entity_id", "bob")
BY_HAND = {"auto_rollback": False, "auto_promote": False}


@pytest.fixture(scope="module")
def feast() -> Iterator[Feast]:
    with provided(Feast()) as feast:
        yield feast


@asynccontextmanager
async def features_at(
    url: str, timeout_s: float = LONG, ttl_s: float = 0.0, **given: Any
) -> AsyncIterator[FeastFeatures]:
    features = FeastFeatures(url, timeout_s=timeout_s, ttl_s=ttl_s, **given)
    try:
        yield features
    finally:
        await features.close()


# ------------------------------------------------------------------------------------------- a real Feast


async def test_an_entity_has_the_features_that_the_feature_store_has_of_it(feast: Feast) -> None:
    async with features_at(feast.url) as features:
        assert await features.find(ANN) == Found(PATIENTS["ann"])
        assert await features.find(ANN._replace(entity="cid")) == Found(PATIENTS["cid"])


async def test_an_entity_whose_key_is_a_number_is_found_by_its_digits(feast: Feast) -> None:
    async with features_at(feast.url) as features:
        assert await features.find(Lookup(NUMBERED, "number", "2")) == Found(PATIENTS["bob"])


async def test_what_the_feature_store_does_not_have_is_missing(feast: Feast) -> None:
    async with features_at(feast.url) as features:
        assert await features.find(ANN._replace(entity="zoe")) == Found(missing=frozenset({"age", "chol"}))


@pytest.mark.parametrize(
    ("lookup", "said_of_it"),
    [(ANN._replace(service="absent"), "absent does not exist"), (ANN._replace(key="driver"), "HTTP 500")],
    ids=["service", "key"],
)
async def test_what_feast_refuses_is_our_error_and_says_why(feast: Feast, lookup: Lookup, said_of_it: str) -> None:
    async with features_at(feast.url) as features:
        with pytest.raises(PlatformError, match=said_of_it):
            await features.find(lookup)


# --------------------------------------------------------------------------------------- behind a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, feast: Feast) -> Iterator[Server]:
    """A server with a deployment of risk@1 that looks its features up, and one that does not."""
    given = {"SERINUS_FEAST_URL": feast.url, "SERINUS_FEAST_TIMEOUT": "1", "SERINUS_FEAST_TTL": "0", **QUICK}
    with serving(tmp_path_factory.mktemp("lookup") / "home", **given) as server:
        with server.client() as client:
            for _ in range(2):
                models.register(client, "risk", models.Risk())
            client.deploy("looked-up", STABLE, {"feature_service": SERVICE, **BY_HAND})
            client.deploy("numbered", STABLE, {"feature_service": NUMBERED, "feature_entity": "number", **BY_HAND})
            client.deploy("sent", STABLE, BY_HAND)
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[DocumentClient]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def ask(server: Server) -> Iterator[Callable[..., httpx2.Response]]:
    """Ask for a prediction until Feast is quick enough, which it is not while a machine is very busy."""

    with server.http() as http:

        def ask(deployment: str, *, patiently: bool = True, **body: object) -> httpx2.Response:
            answer = http.post(f"/predict/{deployment}", json=body)
            if patiently and answer.status_code == 503:
                eventually(lambda: http.post(f"/predict/{deployment}", json=body).status_code != 503)
                answer = http.post(f"/predict/{deployment}", json=body)
            return answer

        yield ask


Ask = Callable[..., httpx2.Response]


def test_an_entity_alone_is_enough(ask: Ask) -> None:
    assert ask("looked-up", entity_id="ann").json()["prediction"] == 0.63
    assert ask("looked-up", entity_id="bob", features={}).json()["prediction"] == 0.41
    assert ask("numbered", entity_id=3, features={"chol": 1.0}).json()["prediction"] == 0.57


def test_what_the_caller_sends_wins(ask: Ask) -> None:
    assert ask("looked-up", entity_id="ann", features={"age": 20}).json()["prediction"] == 0.2


def test_who_sends_all_features_needs_no_feature_store(ask: Ask) -> None:
    answer = ask("looked-up", entity_id="zoe", features={"age": 20, "chol": 1.0})

    assert answer.json()["prediction"] == 0.2


@pytest.mark.parametrize(
    ("deployment", "body", "code", "field"),
    [
        ("looked-up", {"entity_id": "zoe"}, "SERINUS-FEATURES", "features.age"),
        ("looked-up", {"entity_id": "cid"}, "SERINUS-FEATURES", "features.chol"),  # null, and never so in training
        ("looked-up", {"entity_id": "ann", "features": {"weight": 1}}, "SERINUS-FEATURES", "features.weight"),
        ("looked-up", {"entity_id": "ann", "features": [63, 1.0]}, "SERINUS-FEATURES", "features"),
        ("looked-up", {}, "SERINUS-FEATURES", "entity_id"),
        ("looked-up", {"features": {"age": 20}}, "SERINUS-FEATURES", "features.chol"),
        ("sent", {"entity_id": "ann"}, "SERINUS-FEATURES", "features"),
    ],
)
def test_what_cannot_be_completed_is_the_callers_error(
    ask: Ask, deployment: str, body: dict[str, object], code: str, field: str
) -> None:
    answer = ask(deployment, **body)

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == (code, field)


def test_a_feature_store_that_hangs_is_our_error_and_no_models(ask: Ask, client: DocumentClient, feast: Feast) -> None:
    client.start("looked-up", 2, 50)
    assert ask("looked-up", entity_id="ann").status_code == 200
    assert eventually(lambda: sum(told(client, "requests")) == 1)
    feast.pause()
    try:
        refused = [ask("looked-up", patiently=False, entity_id="ann") for _ in range(2)]
        sent = ask("looked-up", patiently=False, entity_id="ann", features={"age": 20, "chol": 1.0})
    finally:
        feast.resume()

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"SERINUS-UNAVAILABLE"}
    assert sent.json()["prediction"] == 0.2
    assert ask("looked-up", entity_id="ann").json()["prediction"] == 0.63
    assert ask("looked-up", entity_id="zoe").status_code == 422
    assert eventually(lambda: sum(told(client, "requests")) == 3)
    for wrong in ("client_errors", "model_errors", "timeouts", "platform_errors"):
        assert sum(told(client, wrong)) == 0, wrong


def told(client: DocumentClient, what: str) -> list[int]:
    metrics = client.metrics("looked-up")
    return [metrics[role][what] for role in ("baseline", "canary") if metrics[role]]


# ------------------------------------------------------------------------------------ deadline and cache


def answer_of(age: int, status: str = "PRESENT") -> bytes:
    results = [{"values": ["ann"], "statuses": ["PRESENT"]}, {"values": [age], "statuses": [status]}]
    return said(json.dumps({"metadata": {"feature_names": ["entity_id", "age"]}, "results": results}).encode())


async def test_many_who_ask_for_one_entity_at_the_same_time_share_one_lookup() -> None:
    async with engine(lambda _: answer_of(63)) as (url, asked), features_at(url) as features:
        found = await asyncio.gather(*(features.find(ANN) for _ in range(20)), features.find(BOB))

    assert {found.values["age"] for found in found} == {63}
    assert len(asked) == 2


async def test_who_gives_up_does_not_end_the_lookup_of_the_others() -> None:
    async with engine(lambda _: answer_of(63)) as (url, asked), features_at(url) as features:
        first, second = (asyncio.create_task(features.find(ANN)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()

        assert (await second).values == {"age": 63}
    assert len(asked) == 1


async def test_what_was_found_is_used_again_for_a_while() -> None:
    now, ages = [0.0], iter([63, 64])

    async with (
        engine(lambda _: answer_of(next(ages))) as (url, _),
        features_at(url, ttl_s=1.0, monotonic=lambda: now[0]) as features,
    ):
        seen = []
        for now[0] in (0.0, 0.9, 1.0, 1.9):
            seen.append((await features.find(ANN)).values["age"])

    assert seen == [63, 63, 64, 64]


async def test_no_more_entities_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "KEPT", 2)
    async with engine(lambda _: answer_of(63)) as (url, asked), features_at(url, ttl_s=LONG) as features:
        for entity in ("a", "b", "a", "c", "a", "b"):  # b is the one that nobody asked for the longest
            await features.find(ANN._replace(entity=entity))

    assert len(asked) == 4


async def test_a_feature_that_is_too_old_is_told_from_one_that_is_missing() -> None:
    async with engine(lambda _: answer_of(63, "OUTSIDE_MAX_AGE")) as (url, _), features_at(url) as features:
        assert await features.find(ANN) == Found(stale=frozenset({"age"}))


@pytest.mark.parametrize(
    "answer",
    [
        said(b""),
        said(b"<html>"),
        said(b"{}"),
        said(b'{"metadata": {"feature_names": ["age"]}, "results": []}'),
        said(b'{"metadata": {"feature_names": ["age"]}, "results": [{"values": [], "statuses": []}]}'),
        said(b'{"metadata": {"feature_names": ["age"]}, "results": [{"values": [1, 2], "statuses": ["PRESENT"]}]}'),
        said(b"[" * 100_000),
        said(b"moved", "302 Found", "location: /elsewhere"),
        said(b" " * (adapter.LARGEST_ANSWER + 1)),
    ],
    ids=range(9),
)
async def test_an_answer_that_is_none_is_our_error_and_is_not_kept(answer: bytes) -> None:
    replies = iter([answer, answer_of(63)])
    async with engine(lambda _: next(replies)) as (url, _), features_at(url, ttl_s=LONG) as features:
        with pytest.raises(PlatformError):
            await features.find(ANN)
        assert (await features.find(ANN)).values == {"age": 63}


async def test_a_connection_that_was_closed_meanwhile_fails_no_lookup() -> None:
    replies = iter([answer_of(63), b"", answer_of(64)])
    async with engine(lambda _: next(replies)) as (url, _), features_at(url) as features:
        assert [(await features.find(ANN)).values["age"] for _ in range(2)] == [63, 64]


async def test_what_feast_fails_at_is_not_the_next_lookups_trouble(feast: Feast) -> None:
    async with features_at(feast.url) as features:
        for _ in range(3):
            with pytest.raises(PlatformError, match="HTTP 500"):
                await features.find(Lookup(NUMBERED, "number", "abc"))
            assert await features.find(Lookup(NUMBERED, "number", "2")) == Found(PATIENTS["bob"])


async def test_a_feature_server_that_is_not_there_is_unavailable() -> None:
    async with features_at("http://127.0.0.1:9") as features:
        with pytest.raises(Unavailable, match="ConnectError"):
            await features.find(ANN)


async def test_a_lookup_has_a_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with features_at(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.05) as features:
            with pytest.raises(Unavailable, match=r"within 0.05 s"):
                await features.find(ANN)
