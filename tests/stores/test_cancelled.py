"""What is cancelled on SQLite ends soon, however often it is cancelled, and leaves nothing behind."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.stores.processes import exit_code_of, is_cancelled_twice_while_it_waits_for_a_lock
from tests.stores.samples import NOW, draft

from serinus.core.records import ModelVersion
from serinus.stores import sqlite
from serinus.stores.sql import SqlStore, open_store

PATIENCE_S = 20.0
"""Much longer than an end takes, much shorter than what is cancelled would take if it went on."""
LONG_S = 600.0
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000) SELECT count(*) FROM n"


@pytest.fixture
def database_url(file: Path, migrated_file: Path) -> str:
    file.write_bytes(migrated_file.read_bytes())
    return f"sqlite:///{file}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "serinus.db"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    store = await open_store(database_url)
    yield store
    async with asyncio.timeout(PATIENCE_S):
        await store.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock as if for ever."""
    monkeypatch.setitem(sqlite._CONNECT, "timeout", LONG_S)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", LONG_S)


@pytest.fixture
def other(file: Path, store: SqlStore) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else."""
    with closing(sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)) as other:
        yield other


Run = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Start a task; at the end of the test nothing may be under way."""
    before = asyncio.all_tasks()
    yield asyncio.create_task
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=PATIENCE_S)
    for task in list(left) * 3:  # it can take more than one, and the loop would wait for them
        task.cancel()
        await asyncio.sleep(0)
    assert left == set()


async def ended(task: asyncio.Task[Any]) -> bool:
    done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
    return bool(done)


async def until_it_waits(store: SqlStore) -> None:
    """Let the writer come to the lock that somebody else has."""
    async with asyncio.timeout(PATIENCE_S):
        while not store._database.writers.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def register(store: SqlStore) -> ModelVersion:
    return await store.register(draft(), NOW)


async def test_a_write_waits_for_a_lock_longer_than_in_one_go(
    store: SqlStore, other: sqlite3.Connection, run: Run
) -> None:
    other.execute("BEGIN IMMEDIATE")
    writing = run(register(store))
    await asyncio.sleep(3 * sqlite.LOCK_SLICE_S)
    other.execute("ROLLBACK")

    assert await ended(writing)
    assert writing.result().ref.version == 1


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_write_that_is_cancelled_does_not_wait_for_a_lock_any_longer(
    patient: None, store: SqlStore, other: sqlite3.Connection, run: Run, times: int
) -> None:
    other.execute("BEGIN IMMEDIATE")
    writing = run(register(store))
    await until_it_waits(store)

    for _ in range(times):
        writing.cancel()
        await asyncio.sleep(0.01)

    assert await ended(writing)
    assert writing.cancelled()
    other.execute("ROLLBACK")
    assert (await register(store)).ref.version == 1


async def test_a_time_limit_on_a_write_that_waits_for_a_lock_is_kept(
    patient: None, store: SqlStore, other: sqlite3.Connection, run: Run
) -> None:
    async def write() -> None:
        async with asyncio.timeout(0.5):
            await register(store)

    other.execute("BEGIN IMMEDIATE")
    writing = run(write())

    assert await ended(writing)
    assert isinstance(writing.exception(), TimeoutError)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_long_read_that_is_cancelled_is_interrupted(store: SqlStore, run: Run, times: int) -> None:
    async def read() -> None:
        async with store._reading() as connection:
            await connection.execute(text(ENDLESS))

    reading = run(read())
    await asyncio.sleep(0.2)

    for _ in range(times):
        reading.cancel()
        await asyncio.sleep(0.01)

    assert await ended(reading)
    assert reading.cancelled()
    await store.ping()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_write_that_is_cancelled_at_any_moment_leaves_no_transaction_open(
    store: SqlStore, other: sqlite3.Connection, run: Run, times: int
) -> None:
    for moment in range(40):
        writing = run(register(store))
        await asyncio.sleep(moment / 10_000)
        for _ in range(times):
            writing.cancel()
            await asyncio.sleep(0)
        assert await ended(writing)

        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")

    numbers = [version.ref.version for version in await store.versions("heart")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (await register(store)).ref.version == len(numbers) + 1


def test_a_connection_that_is_closed_before_its_statement_gave_every_row_leaves_no_transaction_open(
    file: Path, database_url: str
) -> None:
    with closing(sqlite3.connect(file, **sqlite._CONNECT)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        unfinished = connection.execute("INSERT INTO models VALUES ('heart', 1, 0), ('lung', 1, 0) RETURNING name")

    with closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM models").fetchone() == (0,)
    del unfinished


async def test_a_store_can_be_closed_as_soon_as_a_write_on_it_was_cancelled(
    patient: None, store: SqlStore, other: sqlite3.Connection, run: Run
) -> None:
    other.execute("BEGIN IMMEDIATE")
    writing = run(register(store))
    await until_it_waits(store)

    writing.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await store.close()

    assert writing.done()
    with suppress(asyncio.CancelledError):
        await writing


def test_a_process_ends_whose_write_was_cancelled_twice_while_it_waited_for_a_lock(database_url: str) -> None:
    assert exit_code_of(is_cancelled_twice_while_it_waits_for_a_lock, database_url, patience_s=PATIENCE_S) == 0
