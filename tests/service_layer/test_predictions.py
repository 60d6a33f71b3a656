import asyncio
import tracemalloc
from collections.abc import Callable, Iterable
from functools import cache
from typing import cast

import pytest
from tests.service_layer.doubles import NOW, Unreliable, until
from tests.service_layer.world import World

from serinus.core.errors import Unavailable
from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.core.signature import Scalar
from serinus.hashing import HashKey
from serinus.ports import Store
from serinus.predictions import BATCH, RAW_BYTES, Answered, PredictionLog

KEY = HashKey(b"0123456789abcdef")


def entry(number: int, entity: str | None = None, values: tuple[Scalar | None, ...] = (1.0,)) -> Answered:
    record = PredictionRecord(
        id=f"{number:06}",
        at=NOW,
        deployment="fraud",
        rollout="fraud:1",
        split_version=1,
        role=Role.CANARY,
        version="risk@2",
        answered_by="risk@2",
        inputs_hmac="",
        key_id="",
        prediction="0.5",
        prediction_class=None,
        confidence=None,
        latency_ms=7.0,
        error_kind="",
        forced=False,
    )
    return Answered(record, names(len(values)), values, entity)


@cache
def names(count: int) -> tuple[str, ...]:
    """Name so many features; like a signature's, the names are there once."""
    return tuple(f"x{number}" for number in range(count))


class Taking:
    """A store that keeps what it is given, batch by batch, and refuses the records it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refused: set[str] = set()

    async def append_predictions(self, records: Iterable[PredictionRecord]) -> None:
        ids = [record.id for record in records]
        if self.refused & set(ids):
            message = "a value that cannot be bound"
            raise ValueError(message)
        self.batches.append(ids)

    @property
    def ids(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


def log_on(
    store: object, troubles: list[str] | None = None, limit: int = 10_000, raw_bytes: int = RAW_BYTES
) -> PredictionLog:
    return PredictionLog(
        cast("Store", store),
        KEY,
        interval_s=0.001,
        limit=limit,
        on_trouble=(troubles if troubles is not None else []).append,
        retry_s=0.001,
        raw_bytes=raw_bytes,
    )


def ids(numbers: Iterable[int]) -> list[str]:
    return [f"{number:06}" for number in numbers]


# ----------------------------------------------------------------------------------------- the writer


async def test_what_was_answered_is_in_the_store(world: World) -> None:
    log = log_on(world.real_store)
    log.start()
    log.append(entry(1, "ada"))

    await log.close()

    (record,) = await world.real_store.predictions("fraud")
    assert record == entry(1, "ada").hashed(KEY)
    assert (log.written, log.dropped, log.pending) == (1, 0, 0)


async def test_entries_are_written_in_their_order_and_in_batches() -> None:
    store = Taking()
    log = log_on(store)
    for number in range(2 * BATCH + 7):
        log.append(entry(number))

    log.start()
    await log.close()

    assert store.ids == ids(range(2 * BATCH + 7))
    assert [len(batch) for batch in store.batches] == [BATCH, BATCH, 7]


async def test_entries_that_come_while_others_are_written_are_written_too() -> None:
    store = Unreliable(Taking())
    gate = store.gates["append_predictions"] = asyncio.Event()
    log = log_on(store)
    log.start()
    log.append(entry(0))
    await until(lambda: store.calls["append_predictions"])

    log.append(entry(1))
    gate.set()
    await log.close()

    assert cast("Taking", store.real).ids == ids([0, 1])


@pytest.mark.parametrize("failure", [Unavailable("gone"), RuntimeError("a defect")], ids=["outage", "defect"])
async def test_entries_wait_while_the_store_fails_and_are_then_complete(failure: Exception) -> None:
    store, troubles = Unreliable(Taking()), list[str]()
    store.fails["append_predictions"] = failure
    log = log_on(store, troubles)
    log.start()
    for number in range(5):
        log.append(entry(number))
    await until(lambda: store.calls["append_predictions"] > 20)
    waiting = log.pending

    store.fails.clear()
    await until(lambda: not log.pending)
    await log.close()

    assert waiting == 5
    assert cast("Taking", store.real).ids == ids(range(5))
    assert (log.written, log.dropped) == (5, 0)
    assert len(troubles) == 1, "told once, however often it is tried"


async def test_a_second_outage_is_told_again() -> None:
    store, troubles = Unreliable(Taking()), list[str]()
    log = log_on(store, troubles)
    log.start()
    for number in range(2):
        store.fails["append_predictions"] = Unavailable("gone")
        log.append(entry(number))
        await until(lambda number=number: len(troubles) > number)  # type: ignore[misc]
        store.fails.clear()
        await until(lambda: not log.pending)

    await log.close()

    assert len(troubles) == 2


async def test_a_record_that_the_store_refuses_holds_up_no_other() -> None:
    store, troubles = Taking(), list[str]()
    store.refused = {"000003"}
    log = log_on(store, troubles)
    for number in range(6):
        log.append(entry(number))

    log.start()
    await log.close()

    assert store.ids == ids([0, 1, 2, 4, 5])
    assert (log.written, log.dropped, log.pending) == (5, 1, 0)
    assert troubles == ["1 logged predictions were refused: ValueError: a value that cannot be bound"]


async def test_at_the_bound_the_oldest_are_kept_and_the_rest_is_counted() -> None:
    store = Taking()
    log = log_on(store, limit=3)
    for number in range(5):
        log.append(entry(number))
    dropped = log.dropped

    log.start()
    await log.close()

    assert dropped == 2
    assert store.ids == ids([0, 1, 2])


async def test_what_is_being_written_counts_against_the_bound() -> None:
    store = Unreliable(Taking())
    gate = store.gates["append_predictions"] = asyncio.Event()
    log = log_on(store, limit=2)
    log.start()
    log.append(entry(0))
    await until(lambda: store.calls["append_predictions"])

    log.append(entry(1))
    log.append(entry(2))
    gate.set()
    await log.close()

    assert (log.written, log.dropped) == (2, 1)


async def test_closing_counts_what_the_store_did_not_take() -> None:
    store, troubles = Unreliable(Taking()), list[str]()
    store.fails["append_predictions"] = Unavailable("gone")
    log = log_on(store, troubles)
    log.start()
    for number in range(4):
        log.append(entry(number))

    await log.close(timeout_s=0.02)

    assert (log.written, log.dropped, log.pending) == (0, 4, 0)
    assert troubles[-1] == "4 logged predictions were lost: the store did not take them"


async def test_closing_gives_up_a_store_that_hangs() -> None:
    store = Unreliable(Taking())
    store.gates["append_predictions"] = asyncio.Event()
    log = log_on(store)
    log.start()
    log.append(entry(0))

    await log.close(timeout_s=0.02)

    assert log.dropped == 1


async def test_closing_waits_out_an_outage_that_ends_in_time() -> None:
    store = Unreliable(Taking())
    store.fails["append_predictions"] = Unavailable("gone")
    log = log_on(store)
    log.start()
    log.append(entry(0))
    closing = asyncio.ensure_future(log.close())
    await until(lambda: store.calls["append_predictions"] > 3)

    store.fails.clear()
    await closing

    assert (log.written, log.dropped) == (1, 0)


async def test_what_comes_after_the_end_is_counted_as_dropped() -> None:
    log = log_on(Taking())
    log.start()
    await log.close()

    log.append(entry(0))

    assert (log.written, log.dropped, log.pending) == (0, 1, 0)


# ------------------------------------------------------------------------------------- what waits is small

LARGE = "x" * 100_000


@pytest.mark.parametrize(
    "large",
    [
        lambda number: entry(number, values=(f"{number}{LARGE}",)),
        lambda number: entry(number, entity=f"{number}{LARGE}"),
        lambda number: entry(number, values=tuple(float(number + n) for n in range(2_500))),
    ],
    ids=["text", "entity", "wide"],
)
def test_however_large_the_rows_what_waits_takes_little_memory(large: Callable[[int], Answered]) -> None:
    log = log_on(Taking(), raw_bytes=300_000)
    large(0)  # whatever is made once
    tracemalloc.start()
    try:
        for number in range(20):
            log.append(large(number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert log.pending == 20
    assert held < 500_000


async def test_what_is_hashed_as_it_comes_is_written_like_the_rest_and_in_its_place(world: World) -> None:
    entries = [entry(number, "ada", ("x" * 1000 * (number % 3),)) for number in range(9)]
    log = log_on(world.real_store, raw_bytes=2500)
    for each in entries:
        log.append(each)

    log.start()
    await log.close()

    records = await world.real_store.predictions("fraud")
    assert sorted(records, key=lambda record: record.id) == [each.hashed(KEY) for each in entries]
    assert (log.written, log.dropped, log.pending) == (9, 0, 0)


async def test_what_was_written_makes_room_for_more() -> None:
    log = log_on(Taking(), raw_bytes=2500)
    log.start()
    for number in range(20):
        log.append(entry(number, "ada", (LARGE[:1000],)))
        await until(lambda: not log.pending)
    log.append(last := entry(20, "ada", (LARGE[:1000],)))
    waiting = list(log._waiting)
    await log.close()

    assert waiting == [last], "it waits as it is: its request does not pay for the hash"


async def test_no_input_is_in_the_store(world: World) -> None:
    log = log_on(world.real_store)
    log.start()
    log.append(entry(1, "ada-lovelace", ("geheimnis",)))
    await log.close()
    await world.real_store.close()

    data = b"".join(path.read_bytes() for path in world.folder.glob("serinus.db*"))

    assert b"000001" in data
    assert b"geheimnis" not in data
    assert b"ada-lovelace" not in data
