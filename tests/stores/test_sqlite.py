"""SQLite's own: its files, its connections, its locks, and the ways it can fail."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, V2, check_event, draft, prediction, saved, start, write_log

from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.lifecycle import apply
from serinus.stores import sqlite
from serinus.stores.sql import SqlStore, open_store


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/serinus.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state/serinus.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no lock."""
    monkeypatch.setitem(sqlite._CONNECT, "timeout", 0.0)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)


@pytest.fixture
async def impatient_store(impatient: None, database_url: str) -> AsyncIterator[SqlStore]:
    store = await open_store(database_url)
    yield store
    await store.close()


def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# --------------------------------------------------------------------------------------------- files


def test_the_folder_of_the_file_is_made(store: SqlStore, file: Path) -> None:
    assert file.is_file()


async def test_a_relative_path_starts_from_the_working_directory_at_the_time_of_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    store = await open_store("sqlite:///data/here.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.register(draft(), NOW)
    await store.close()

    assert (tmp_path / "data/here.db").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "50 % of é#?"

    store = await open_store(f"sqlite:///{str(folder).replace('%', '%25').replace('?', '%3F')}/x.db")
    await store.close()

    assert [path.name for path in folder.iterdir()] == ["x.db"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///x.db?mode=ro",
        "mysql://serinus@localhost/x",
        "http://[",
    ],
)
async def test_a_url_that_names_no_database_file_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="Write sqlite:///") as refused:
        await open_store(url)

    assert refused.value.field == "SERINUS_DATABASE_URL"


# ------------------------------------------------------------------------------------ each connection


async def test_every_connection_syncs_each_commit_waits_for_locks_and_checks_keys(store: SqlStore) -> None:
    slice_ms = round(sqlite.LOCK_SLICE_S * 1000)
    for engine, wait_ms in ((store._database.readers, 10_000), (store._database.writers, slice_ms)):
        async with engine.connect() as connection:
            found = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            ]
        assert found == ["wal", 2, wait_ms, 1]


async def test_a_reader_is_not_held_up_by_a_writer(store: SqlStore, file: Path) -> None:
    await store.register(draft(), NOW)

    for _ in locked(file):
        assert len(await store.versions("heart")) == 1


async def test_an_event_cannot_be_replaced(store: SqlStore, run_sql: RunSql) -> None:
    recorded = await store.record([check_event()])

    with pytest.raises(IntegrityError, match="events are append-only"):
        await run_sql(
            "INSERT OR REPLACE INTO events "
            "SELECT id, deployment, generation, kind, at, 'nobody', reason, rollout, data FROM events"
        )

    assert await store.events("fraud") == recorded


async def test_a_version_cannot_be_replaced(store: SqlStore, run_sql: RunSql) -> None:
    registered = await store.register(draft(), NOW)

    with pytest.raises(IntegrityError, match="model versions are immutable"):
        await run_sql(
            "INSERT OR REPLACE INTO model_versions SELECT model, number, '{}', created_at FROM model_versions"
        )

    assert await store.versions("heart") == [registered]


# ----------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("table", ["events", "outbox", "rollouts"])
async def test_a_change_that_cannot_be_written_whole_is_not_written(
    store: SqlStore, run_sql: RunSql, table: str
) -> None:
    state = await saved(store)
    before = await store.events("fraud")
    new, events = apply(state, start(V2), NOW)
    await run_sql(f"CREATE TRIGGER fail BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no more'); END")

    with pytest.raises(IntegrityError, match="no more"):
        await store.save(new, state.generation, events)

    assert await store.deployment("fraud") == state
    assert await store.rollouts("fraud") == []
    assert await store.events("fraud") == before
    assert [tuple(row) for row in await run_sql("SELECT count(*) FROM outbox")] == [(1,)]


async def test_a_change_that_failed_can_be_repeated(store: SqlStore, run_sql: RunSql) -> None:
    state = await saved(store)
    new, events = apply(state, start(V2), NOW)
    await run_sql("CREATE TRIGGER fail BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no more'); END")
    with pytest.raises(IntegrityError):
        await store.save(new, state.generation, events)
    await run_sql("DROP TRIGGER fail")

    await store.save(new, state.generation, events)

    assert await store.deployment("fraud") == new


# ------------------------------------------------------------------------------------------- outages


async def test_a_locked_database_is_unavailable_for_writes(impatient_store: SqlStore, file: Path) -> None:
    for _ in locked(file):
        with pytest.raises(Unavailable, match=r"serinus\.db does not answer: database is locked.*try again"):
            await impatient_store.register(draft(), NOW)


async def test_a_database_that_was_locked_answers_again(impatient_store: SqlStore, file: Path) -> None:
    for _ in locked(file):
        with pytest.raises(Unavailable):
            await impatient_store.register(draft(), NOW)

    assert (await impatient_store.register(draft(), NOW)).ref.version == 1


async def test_a_database_that_stays_locked_cannot_be_opened(
    impatient_store: SqlStore, database_url: str, file: Path
) -> None:
    for _ in locked(file):
        with pytest.raises(Unavailable, match="locked"):
            await open_store(database_url)


@pytest.fixture
def poem(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("a poem " * 1000)


async def test_a_file_that_is_no_database_is_unavailable(poem: None, database_url: str) -> None:
    with pytest.raises(Unavailable, match="file is not a database"):
        await open_store(database_url)


async def test_a_folder_that_cannot_be_made_is_unavailable(database_url: str, file: Path) -> None:
    file.parent.write_text("a file")

    with pytest.raises(Unavailable, match=r"does not answer.*folder"):
        await open_store(database_url)


async def test_a_full_disk_is_unavailable_and_leaves_nothing_half_written(store: SqlStore, run_sql: RunSql) -> None:
    await write_log(store, [prediction(0)])
    ((pages,),) = await run_sql("PRAGMA page_count")
    await run_sql(f"PRAGMA max_page_count = {pages + 10}")

    with pytest.raises(Unavailable, match="full"):
        await write_log(store, [prediction(number) for number in range(1, 5000)])

    assert await store.predictions("fraud") == [prediction(0)]
