"""Remote versions, computed by a real MLServer; and by engines that nobody would wish for."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.peers.mlserver import LAYOUTS, MLServer, Served
from tests.peers.strange import Engine, engine, said
from tests.service import provided

from serinus.cli.remote import remote_package_of
from serinus.client.remote import remote_package
from serinus.core.endpoint import REMOTE_FORMAT, Endpoint, Layout, Tensor
from serinus.core.errors import (
    BadOutput,
    FormatRefused,
    InvalidInput,
    ModelError,
    ModelTimeout,
    Overloaded,
    Unavailable,
)
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Row, Signature
from serinus.predictors.remote import ANSWER_BYTES, ROW_BYTES, RemotePredictor, RemotePredictors

LONG = 60.0
SIGNATURE = Signature(
    (Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT)), Output(OutputKind.CLASS, (0, 1), ("well", "ill"))
)
ROWS: list[Row] = [[63, 233.0], [20, 1.0], [41, 204.5]]
COLUMNS = Served("columns", (0.02, 0.004), -2.0)
MODELS = (
    COLUMNS,
    Served("matrix", (0.02, 0.004), -2.0, layout="matrix"),
    Served("twice", (0.02, 0.004), -2.0, version="1"),
    Served("twice", (-0.02, -0.004), 2.0, version="2"),
    Served("slow", (0.02, 0.004), seconds=0.5),
    *(Served(behaviour, (0.02, 0.004), behaviour=behaviour) for behaviour in ("raises", "nan", "short", "odd")),
)


@pytest.fixture(scope="module")
def mlserver() -> Iterator[MLServer]:
    with provided(MLServer(MODELS)) as mlserver:
        yield mlserver


def version_of(data: bytes, signature: Signature = SIGNATURE) -> ModelVersion:
    draft = VersionDraft("heart", "sha256:0", len(data), REMOTE_FORMAT, signature)
    return ModelVersion(VersionRef("heart", 1), draft, datetime(2026, 1, 1, tzinfo=UTC))


@asynccontextmanager
async def started(data: bytes, signature: Signature = SIGNATURE, **limits: Any) -> AsyncIterator[RemotePredictor]:
    factory = RemotePredictors(["127.0.0.1"], **limits)
    predictor = await factory.start(version_of(data, signature), data)
    try:
        yield predictor
    finally:
        predictor.close()
        await asyncio.sleep(0)


def at(mlserver: MLServer, model: str, version: str = "") -> bytes:
    return remote_package(mlserver.url(model, version), SIGNATURE).data


# ----------------------------------------------------------------------------------------- a real engine


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_row_gets_the_answer_that_the_engine_computes(mlserver: MLServer, layout: str) -> None:
    async with started(at(mlserver, layout)) as predictor:
        together = await predictor.predict_rows(ROWS, LONG)
        alone = [await predictor.predict(row, LONG) for row in ROWS]

    chances = [COLUMNS.probability(63, 233.0), COLUMNS.probability(20, 1.0), COLUMNS.probability(41, 204.5)]
    assert together == alone
    assert [answer.prediction for answer in together] == [int(chance > 0.5) for chance in chances]
    assert {answer.prediction_class for answer in together} == {"well", "ill"}
    assert [answer.confidence for answer in together] == pytest.approx([max(p, 1.0 - p) for p in chances])


async def test_a_version_of_the_engine_is_asked_by_its_name(mlserver: MLServer) -> None:
    async with (
        started(at(mlserver, "twice", "1")) as first,
        started(at(mlserver, "twice", "2")) as second,
    ):
        answers = [await each.predict(ROWS[0], LONG) for each in (first, second)]

    assert [answer.prediction for answer in answers] == [1, 0]


def test_what_a_model_takes_and_gives_is_read_from_its_engine(mlserver: MLServer) -> None:
    package = remote_package(mlserver.url("columns"), examples=[[63, 233.0]])

    assert package.format == REMOTE_FORMAT
    assert package.signature.features == SIGNATURE.features
    assert package.signature.output == Output(OutputKind.CLASS)
    assert package.examples == ((63, 233.0),)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_the_engine_is_held_to_the_deadline(mlserver: MLServer, layout: str) -> None:
    async with started(at(mlserver, "slow")) as predictor:
        with pytest.raises(ModelTimeout):
            await predictor.predict(ROWS[0], 0.1)


async def test_an_engine_that_fails_is_the_models_error_and_says_why(mlserver: MLServer) -> None:
    async with started(at(mlserver, "raises")) as predictor:
        with pytest.raises(ModelError, match="HTTP 500") as failed:
            await predictor.predict(ROWS[0], LONG)
    assert failed.type is ModelError


@pytest.mark.parametrize("kind", ["nan", "short", "odd"])
async def test_an_answer_that_is_none_is_bad_output(mlserver: MLServer, kind: str) -> None:
    async with started(at(mlserver, kind)) as predictor:
        with pytest.raises(BadOutput):
            await predictor.predict(ROWS[0], LONG)


async def test_a_model_that_the_engine_does_not_have_cannot_be_started(mlserver: MLServer) -> None:
    data = at(mlserver, "columns").replace(b'"model":"columns"', b'"model":"absent"')

    with pytest.raises(Unavailable, match="Model absent not found"):
        async with started(data, patience_s=0.5):
            pass


async def test_more_than_may_be_under_way_wait_and_more_than_may_wait_are_refused(mlserver: MLServer) -> None:
    async with started(at(mlserver, "slow"), concurrency=1, queue=1) as predictor:
        first, second = (asyncio.create_task(predictor.predict(ROWS[0], LONG)) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await predictor.predict(ROWS[0], LONG)

        assert await first == await second


async def test_what_waits_in_the_queue_is_held_to_its_deadline(mlserver: MLServer) -> None:
    async with started(at(mlserver, "slow"), concurrency=1) as predictor:
        first = asyncio.create_task(predictor.predict(ROWS[0], LONG))
        await asyncio.sleep(0)
        with pytest.raises(ModelTimeout):
            await predictor.predict(ROWS[0], 0.05)

        assert (await first).prediction == 1


async def test_what_is_under_way_is_answered_when_a_predictor_is_closed_and_nothing_is_begun(
    mlserver: MLServer,
) -> None:
    async with started(at(mlserver, "slow")) as predictor:
        under_way = asyncio.create_task(predictor.predict(ROWS[0], LONG))
        await asyncio.sleep(0.1)
        predictor.close()

        with pytest.raises(Unavailable):
            await predictor.predict(ROWS[0], LONG)
        assert (await under_way).prediction == 1


# -------------------------------------------------------------------------------------- what is refused


async def test_nothing_is_asked_at_a_place_that_is_not_allowed() -> None:
    async with engine(lambda _: said(b"{}")) as (url, asked):
        data = endpoint(url).encoded()
        with pytest.raises(FormatRefused, match="SERINUS_REMOTE_MODELS"):
            await RemotePredictors(["engine.example.org"]).start(version_of(data), data)
    assert asked == []


async def test_a_signature_that_the_endpoint_cannot_be_sent_is_refused() -> None:
    data = endpoint("http://127.0.0.1:9").encoded()
    other = Signature((Feature("age", Dtype.STR), Feature("chol", Dtype.FLOAT)), SIGNATURE.output)

    with pytest.raises(InvalidInput, match="age is str"):
        await RemotePredictors(["127.0.0.1"]).start(version_of(data, other), data)


async def test_an_engine_that_is_not_there_is_waited_for_no_longer_than_was_said() -> None:
    data = endpoint("http://127.0.0.1:9").encoded()

    with pytest.raises(Unavailable, match="ConnectError"):
        await RemotePredictors(["127.0.0.1"], patience_s=0.3).start(version_of(data), data)


# ---------------------------------------------------------------------------------------- strange engines


def endpoint(url: str) -> Endpoint:
    tensors = (Tensor("age", "INT64", 1), Tensor("chol", "FP64", 2))
    return Endpoint(url, "heart", "", Layout.COLUMNS, tensors, "predict", "probabilities")


def outputs(prediction: object, probabilities: object, shape: list[int] | None = None) -> bytes:
    tensors = [
        {"name": "predict", "datatype": "INT64", "shape": shape or [1], "data": prediction},
        {"name": "probabilities", "datatype": "FP64", "shape": [1, 2], "data": probabilities},
    ]
    return said(json.dumps({"outputs": tensors}).encode())


async def asked_of(answer: Engine, ask: Callable[[RemotePredictor], Awaitable[Any]] | None = None) -> Any:
    async with engine(answer) as (url, _), started(endpoint(url).encoded()) as predictor:
        return await (ask(predictor) if ask else predictor.predict([63, 233.0], LONG))


async def test_rows_are_sent_as_tensors_of_the_shape_that_the_engine_named() -> None:
    bodies: list[Any] = []

    def keep(body: bytes) -> bytes:
        bodies.append(json.loads(body))
        return outputs([1], [0.25, 0.75])

    assert (await asked_of(keep)).confidence == 0.75
    assert bodies == [
        {
            "inputs": [
                {"name": "age", "datatype": "INT64", "shape": [1], "data": [63]},
                {"name": "chol", "datatype": "FP64", "shape": [1, 1], "data": [233.0]},
            ],
            "outputs": [{"name": "predict"}, {"name": "probabilities"}],
        }
    ]


async def test_rows_of_a_tensor_may_be_lists_of_their_own() -> None:
    assert (await asked_of(lambda _: outputs([[1]], [[0.25, 0.75]], [1, 1]))).prediction == 1


@pytest.mark.parametrize(
    "answer",
    [
        said(b""),
        said(b"<html>"),
        said(b"[1]"),
        said(b'{"outputs": []}'),
        said(b'{"outputs": [{"name": "predict"}]}'),
        said(b'{"outputs": ' + b"[" * 100_000),
        said(b"\x1f\x8b\x08", "200 OK", "content-encoding: gzip"),
        outputs([1, 0], [0.25, 0.75]),
        outputs([], [0.25, 0.75]),
        outputs([None], [0.25, 0.75]),
        outputs([[[1]]], [0.25, 0.75]),
        outputs([1], [0.25, None]),
        outputs([1], ["0.25", "0.75"]),
        outputs([1], [0.5, 0.75]),
        outputs([1], []),
        outputs([1], [0.25, 0.75], [2, 1]),
    ],
    ids=range(16),
)
async def test_what_is_no_answer_of_the_protocol_is_bad_output(answer: bytes) -> None:
    with pytest.raises(BadOutput):
        await asked_of(lambda _: answer)


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many", "503 Unavailable"])
async def test_an_engine_that_refuses_is_the_models_error(status: str) -> None:
    with pytest.raises(ModelError, match=rf"HTTP {status[:3]} no such tensor"):
        await asked_of(lambda _: said(b'{"error": "no such tensor"}', status))


async def test_a_redirect_is_not_followed() -> None:
    async with engine(lambda _: outputs([1], [0.25, 0.75])) as (elsewhere, asked):
        with pytest.raises(ModelError, match="HTTP 307"):
            await asked_of(lambda _: said(b"", "307 Temporary Redirect", f"location: {elsewhere}/v2/models/x/infer"))
    assert asked == []


async def test_an_endless_answer_is_cut_off() -> None:
    answer = outputs([1], [0.25, 0.75]) + b" " * (ANSWER_BYTES + ROW_BYTES)
    endless = answer.replace(b"content-length", b"connection: close\r\nx-length")

    with pytest.raises(BadOutput, match="more than"):
        await asked_of(lambda _: endless)


async def test_cookies_are_neither_kept_nor_shown() -> None:
    answer = outputs([1], [0.25, 0.75]).replace(b"content-length", b"set-cookie: a=1; path=/\r\ncontent-length")

    async def ask_twice(predictor: RemotePredictor) -> list[Any]:
        return [(await predictor.predict([63, 233.0], LONG)).prediction for _ in range(2)]

    assert await asked_of(lambda _: answer, ask_twice) == [1, 1]


async def test_an_engine_is_shown_the_token_of_its_place_and_no_other() -> None:
    async with engine(lambda _: outputs([1], [0.25, 0.75]), token="open=") as (url, _):
        data, tokens = endpoint(url).encoded(), (("127.0.0.1:1", "other"), ("127.0.0.1", "open="), (url, "later"))
        async with started(data, tokens=tokens) as predictor:
            assert (await predictor.predict([63, 233.0], LONG)).prediction == 1
        for wrong in ((), (("127.0.0.1", "other"),)):
            with pytest.raises(Unavailable, match="HTTP 401 who are you"):
                await RemotePredictors(["127.0.0.1"], patience_s=0.3, tokens=wrong).start(version_of(data), data)


async def test_a_token_is_shown_when_an_engine_is_asked_what_its_model_takes_and_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with engine(lambda _: b"", about=b'{"inputs": []}', token="open") as (url, _):
        model = f"{url}/v2/models/heart"
        package = await asyncio.to_thread(remote_package, model, SIGNATURE, token="open")
        with pytest.raises(InvalidInput, match="HTTP 401"):
            await asyncio.to_thread(remote_package_of, model, None, SIGNATURE, None)
        monkeypatch.setenv("SERINUS_REMOTE_TOKENS", f"elsewhere=shut, {url}=open")
        assert await asyncio.to_thread(remote_package_of, model, None, SIGNATURE, None) == package

    assert b"open" not in package.data


def test_tokens_that_cannot_be_read_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_REMOTE_TOKENS", "engine=a, open sesame")

    with pytest.raises(InvalidInput, match="number 2") as refused:
        remote_package_of("http://engine/v2/models/heart", None, SIGNATURE, None)

    assert refused.value.field == "SERINUS_REMOTE_TOKENS"
    assert "sesame" not in str(refused.value)


async def test_a_connection_that_the_engine_has_closed_meanwhile_is_the_engines_right() -> None:
    replies = iter([outputs([1], [0.25, 0.75]), b"", outputs([0], [0.75, 0.25])])

    async def ask_twice(predictor: RemotePredictor) -> list[Any]:
        return [(await predictor.predict([63, 233.0], LONG)).prediction for _ in range(2)]

    assert await asked_of(lambda _: next(replies), ask_twice) == [1, 0]


async def test_an_environment_that_names_a_proxy_is_not_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert (await asked_of(lambda _: outputs([1], [0.25, 0.75]))).prediction == 1
