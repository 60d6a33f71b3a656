import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from serinus.core.answers import Answer, RawOutput
from serinus.core.errors import (
    BadOutput,
    FormatRefused,
    ModelError,
    ModelTimeout,
    Overloaded,
    SerinusError,
    Unavailable,
)
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Row, Signature
from serinus.ports import Model
from serinus.predictors.threads import ThreadPredictor, ThreadPredictors

LONG = 60.0
SIGNATURE = Signature((Feature("x", Dtype.FLOAT),), Output(OutputKind.NUMBER))
VERSION = ModelVersion(
    VersionRef("risk", 3), VersionDraft("risk", "sha256:0", 1, "own", SIGNATURE), datetime(2026, 1, 1, tzinfo=UTC)
)


class Own:
    """A model that is a function of a row; it keeps the rows it was asked."""

    def __init__(self, function: Callable[[Row], Any]) -> None:
        self.function = function
        self.rows: list[Row] = []

    def predict(self, rows: Sequence[Row]) -> RawOutput:
        self.rows.extend(rows)
        return RawOutput(np.array([self.function(row) for row in rows]))


class Raw:
    """A model that gives back anything, or does it."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give

    def predict(self, rows: Sequence[Row]) -> Any:
        return self.give()


class Gate:
    """A model that hangs until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun: list[Row] = []

    def predict(self, rows: Sequence[Row]) -> RawOutput:
        self.begun.extend(rows)
        self.open.wait(LONG)
        return RawOutput(np.array([row[0] for row in rows]))


@pytest.fixture
def start() -> Iterator[Callable[..., ThreadPredictor]]:
    """Start predictors, and let go and close them after the test."""
    made: list[tuple[Model, ThreadPredictor]] = []

    def start(model: Model, *, threads: int = 2, queue: int = 256) -> ThreadPredictor:
        predictor = ThreadPredictor(VERSION, model, threads=threads, queue=queue)
        made.append((model, predictor))
        return predictor

    yield start
    for model, predictor in made:
        if isinstance(model, Gate):
            model.open.set()
        predictor.close()


Start = Callable[..., ThreadPredictor]


def first(row: Row) -> Any:
    return row[0]


def raising(failure: BaseException) -> Any:
    raise failure


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - it changes in a thread
            await asyncio.sleep(0)


async def test_a_row_is_answered(start: Start) -> None:
    predictor = start(Own(lambda row: float(first(row)) * 2))

    assert await predictor.predict([1.5], LONG) == Answer(3.0)
    assert predictor.version is VERSION


async def test_each_of_a_thousand_waiting_requests_gets_its_own_answer(start: Start) -> None:
    model = Own(first)
    predictor = start(model, queue=1000)

    answers = await asyncio.gather(*(predictor.predict([float(n)], LONG) for n in range(1000)))

    assert [answer.prediction for answer in answers] == [float(n) for n in range(1000)]


async def test_requests_are_begun_in_their_order(start: Start) -> None:
    model = Own(first)
    predictor = start(model, threads=1)

    await asyncio.gather(*(predictor.predict([float(n)], LONG) for n in range(100)))

    assert model.rows == [[float(n)] for n in range(100)]


async def test_as_many_requests_as_threads_are_worked_on_at_once(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=3)
    asked = [asyncio.create_task(predictor.predict([float(n)], LONG)) for n in range(5)]

    await until(lambda: len(model.begun) == 3)
    model.open.set()

    assert [answer.prediction for answer in await asyncio.gather(*asked)] == [0.0, 1.0, 2.0, 3.0, 4.0]


class Shy(Exception):
    """An exception that does not print."""

    def __str__(self) -> str:
        message = "no"
        raise RuntimeError(message)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ValueError("x is odd"), "risk@3 raised ValueError: x is odd"),
        (SystemExit(3), "risk@3 raised SystemExit: 3"),
        (KeyboardInterrupt(), "risk@3 raised KeyboardInterrupt"),
        (StopIteration("end"), "risk@3 raised StopIteration: end"),
        (GeneratorExit(), "risk@3 raised GeneratorExit"),
        (Shy(), "risk@3 raised Shy"),
        (Unavailable("not mine"), "risk@3 raised Unavailable: not mine"),
        (RuntimeError("y" * 1000), f"risk@3 raised RuntimeError: {'y' * 299}…"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "said",
)
async def test_whatever_a_model_raises_is_a_model_error(start: Start, failure: BaseException, said: str) -> None:
    predictor = start(Raw(lambda: raising(failure)), threads=1)

    with pytest.raises(ModelError) as error:
        await predictor.predict([1.0], LONG)

    assert type(error.value) is ModelError
    assert error.value.message == said
    assert error.value.__cause__ is failure


async def test_a_thread_outlives_what_a_model_raises(start: Start) -> None:
    failures: list[BaseException] = [SystemExit(), KeyboardInterrupt(), ValueError()]
    predictor = start(Own(lambda row: raising(failures.pop()) if failures else row[0]), threads=1)
    for _ in range(3):
        with pytest.raises(ModelError):
            await predictor.predict([1.0], LONG)

    assert await predictor.predict([2.0], LONG) == Answer(2.0)


@pytest.mark.parametrize(
    "output",
    [
        None,
        7.0,
        RawOutput(np.array([np.nan])),
        RawOutput(np.array([np.inf])),
        RawOutput(np.array([1.0, 2.0])),
        RawOutput(np.array([[1.0]])),
        RawOutput(np.array(["high"])),
        RawOutput(np.array([None])),
        RawOutput([[1.0], [2.0, 3.0]]),  # type: ignore[arg-type]
        RawOutput(np.array([1.0]), np.array([[0.2, 0.2]])),
    ],
    ids=["none", "plain", "nan", "inf", "two", "column", "string", "object", "ragged", "sum"],
)
async def test_what_is_no_answer_is_bad_output(start: Start, output: Any) -> None:
    predictor = start(Raw(lambda: output))

    with pytest.raises(BadOutput) as bad:
        await predictor.predict([1.0], LONG)

    assert bad.value.kind == "bad_output"


async def test_a_model_that_hangs_times_out(start: Start) -> None:
    predictor = start(Gate())

    with pytest.raises(ModelTimeout, match=r"risk@3 did not answer after 20 ms") as timeout:
        await predictor.predict([1.0], 0.02)

    assert timeout.value.kind == "timeout"


async def test_time_in_the_queue_counts(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1)
    hung = asyncio.create_task(predictor.predict([1.0], LONG))
    await until(lambda: model.begun == [[1.0]])

    with pytest.raises(ModelTimeout, match="still waiting for a thread"):
        await predictor.predict([2.0], 0.02)

    model.open.set()
    assert await hung == Answer(1.0)


async def test_a_request_whose_caller_is_gone_is_never_begun(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1)
    hung = asyncio.create_task(predictor.predict([1.0], LONG))
    await until(lambda: model.begun == [[1.0]])
    with pytest.raises(ModelTimeout):
        await predictor.predict([2.0], 0.01)
    cancelled = asyncio.create_task(predictor.predict([3.0], LONG))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])

    model.open.set()

    assert await predictor.predict([4.0], LONG) == Answer(4.0)
    assert model.begun == [[1.0], [4.0]]
    assert await hung == Answer(1.0)


async def test_a_model_that_hangs_holds_up_neither_another_nor_the_event_loop(start: Start) -> None:
    hanging, healthy = start(Gate()), start(Own(first))
    hung = [asyncio.create_task(hanging.predict([1.0], LONG)) for _ in range(50)]
    await asyncio.sleep(0)

    started = time.monotonic()
    for n in range(100):
        assert await healthy.predict([float(n)], LONG) == Answer(float(n))

    assert time.monotonic() - started < 5
    assert not any(task.done() for task in hung)
    for task in hung:
        task.cancel()


async def test_requests_that_timed_out_leave_room_in_the_queue(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1, queue=2)
    hung = asyncio.create_task(predictor.predict([1.0], LONG))
    await until(lambda: model.begun == [[1.0]])

    for _ in range(5):
        timed_out = await asyncio.gather(*(predictor.predict([2.0], 0.001) for _ in range(2)), return_exceptions=True)
        assert {type(outcome) for outcome in timed_out} == {ModelTimeout}

    model.open.set()
    assert await hung == Answer(1.0)


async def test_a_late_answer_is_discarded(start: Start) -> None:
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    model = Gate()
    predictor = start(model, threads=1)
    with pytest.raises(ModelTimeout):
        await predictor.predict([1.0], 0.01)

    model.open.set()

    assert await predictor.predict([2.0], LONG) == Answer(2.0)
    gc.collect()
    await asyncio.sleep(0)
    assert noise == []


def test_an_answer_after_the_event_loop_is_closed_is_discarded(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1)

    async def ask() -> None:
        with pytest.raises(ModelTimeout):
            await predictor.predict([1.0], 0.01)

    asyncio.run(ask())
    model.open.set()

    assert asyncio.run(predictor.predict([2.0], LONG)) == Answer(2.0)


async def test_a_full_queue_refuses_what_it_cannot_hold(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1, queue=3)
    hung = asyncio.create_task(predictor.predict([0.0], LONG))
    await until(lambda: model.begun == [[0.0]])
    waiting = [asyncio.create_task(predictor.predict([float(n)], LONG)) for n in range(1, 4)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="3 requests waiting"):
        await predictor.predict([9.0], LONG)

    model.open.set()
    assert [answer.prediction for answer in await asyncio.gather(hung, *waiting)] == [0.0, 1.0, 2.0, 3.0]
    assert [9.0] not in model.begun


async def test_closing_answers_what_is_begun_and_refuses_the_rest(start: Start) -> None:
    model = Gate()
    predictor = start(model, threads=1)
    begun = asyncio.create_task(predictor.predict([1.0], LONG))
    await until(lambda: model.begun == [[1.0]])
    waiting = asyncio.create_task(predictor.predict([2.0], LONG))
    await asyncio.sleep(0)

    predictor.close()
    predictor.close()

    with pytest.raises(Unavailable, match="no longer loaded"):
        await waiting
    with pytest.raises(Unavailable):
        await predictor.predict([3.0], LONG)
    model.open.set()
    assert await begun == Answer(1.0)


async def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    predictor = ThreadPredictor(VERSION, Own(first), threads=4, queue=1)
    workers = set(threading.enumerate()) - before
    await predictor.predict([1.0], LONG)

    predictor.close()

    assert len(workers) == 4
    for worker in workers:
        worker.join(LONG)
    assert not any(worker.is_alive() for worker in workers)
    assert all(worker.daemon for worker in workers)


# ------------------------------------------------------------------------------------------------ loading


class Loader:
    """Loads by doing what it is told, and keeps what it was given."""

    def __init__(self, do: Callable[[], Model]) -> None:
        self.do = do
        self.given: list[object] = []

    def load(self, data: bytes, format: str, signature: Signature) -> Model:  # noqa: A002
        self.given = [data, format, signature, threading.current_thread()]
        return self.do()

    def check(self, format: str) -> None:  # noqa: A002
        return


async def test_a_version_is_loaded_from_its_artifact_off_the_event_loop() -> None:
    loader = Loader(lambda: Own(first))

    predictor = await ThreadPredictors(loader).start(VERSION, b"bytes")

    assert loader.given[:3] == [b"bytes", "own", SIGNATURE]
    assert loader.given[3] is not threading.current_thread()
    assert await predictor.predict([1.0], LONG) == Answer(1.0)
    predictor.close()


async def test_a_model_that_hangs_while_it_is_loaded_leaves_the_event_loop_free() -> None:
    gate = threading.Event()

    def slowly() -> Model:
        gate.wait(LONG)
        return Own(first)

    loading = asyncio.create_task(ThreadPredictors(Loader(slowly)).start(VERSION, b""))
    for _ in range(10):
        await asyncio.sleep(0)

    assert not loading.done()
    gate.set()
    (await loading).close()


@pytest.mark.parametrize("failure", [FormatRefused("no"), ModelError("no")])
async def test_what_the_loader_says_is_passed_on(failure: SerinusError) -> None:
    with pytest.raises(SerinusError) as error:
        await ThreadPredictors(Loader(lambda: raising(failure))).start(VERSION, b"")

    assert error.value is failure


@pytest.mark.parametrize(
    "failure", [ImportError("libgpu"), SystemExit(1), KeyboardInterrupt(), StopIteration(), MemoryError()]
)
async def test_whatever_else_fails_while_loading_is_a_model_error(failure: BaseException) -> None:
    with pytest.raises(ModelError, match="risk@3 could not be loaded") as error:
        await ThreadPredictors(Loader(lambda: raising(failure))).start(VERSION, b"")

    assert type(failure).__name__ in error.value.message


async def test_a_queue_and_its_threads_belong_to_one_version() -> None:
    gate = Gate()
    factory = ThreadPredictors(Loader(lambda: gate), threads=1, queue=1)
    one, other = await factory.start(VERSION, b""), await factory.start(VERSION, b"")
    asked = [asyncio.create_task(each.predict([1.0], LONG)) for each in (one, other)]
    await until(lambda: len(gate.begun) == 2)
    asked += [asyncio.create_task(each.predict([2.0], LONG)) for each in (one, other)]
    await asyncio.sleep(0)

    for each in (one, other):
        with pytest.raises(Overloaded):
            await each.predict([3.0], LONG)

    gate.open.set()
    await asyncio.gather(*asked)
    one.close()
    other.close()


# ---------------------------------------------------------------------------------------------- rows


async def test_rows_are_asked_of_the_model_at_once(start: Callable[..., ThreadPredictor]) -> None:
    calls: list[int] = []

    class Counting:
        def predict(self, rows: Sequence[Row]) -> RawOutput:
            calls.append(len(rows))
            return RawOutput(np.array([row[0] for row in rows]))

    answers = await start(Counting()).predict_rows([[3.0], [1.0], [2.0]], LONG)

    assert answers == [Answer(3.0), Answer(1.0), Answer(2.0)]
    assert calls == [3]


@pytest.mark.parametrize("values", [[1.0, np.nan], [1.0], [1.0, 2.0, 3.0]], ids=["nan", "too few", "too many"])
async def test_one_row_without_a_usable_answer_leaves_all_without(
    start: Callable[..., ThreadPredictor], values: list[float]
) -> None:
    predictor = start(Raw(lambda: RawOutput(np.array(values))))

    with pytest.raises(BadOutput):
        await predictor.predict_rows([[1.0], [2.0]], LONG)
