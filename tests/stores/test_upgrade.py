"""The schema's history makes the schema, once, whoever comes first, and refuses what it cannot work with."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, at, draft, prediction, snapshot, write_log

from serinus.core.errors import PlatformError
from serinus.core.records import EvidenceReport
from serinus.stores import codec
from serinus.stores.connections import owners_engine
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.tables import health_snapshots, metadata, predictions
from serinus.stores.upgrade import alembic_config
from serinus.stores.urls import parsed, postgresql_url


def engine_of(url: str) -> Engine:
    return create_engine(url) if parsed(url).drivername == "sqlite" else owners_engine(postgresql_url(url))


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, database_url: str) -> str:
    """A database whose schema a test may change."""
    return database_url if kind == "sqlite" else str(request.getfixturevalue("postgresql_clone"))


@pytest.fixture
def new_engine(new_database_url: str) -> Iterator[Engine]:
    if file := parsed(new_database_url).database:
        Path(file).parent.mkdir(exist_ok=True)
    engine = engine_of(new_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def first_release(new_engine: Engine, new_database_url: str) -> str:
    """A database with the schema of the first release, and something in it."""
    with new_engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        for rollout, seconds in (("fraud:1", 0), ("fraud:1", 30), ("fraud:2", 60)):
            columns = codec.snapshot_columns(snapshot(rollout, at(seconds)))
            del columns["look"]
            connection.execute(health_snapshots.insert(), columns)
        for number in range(3):
            when = at(number * 86_400)
            connection.execute(predictions.insert(), codec.prediction_columns(prediction(number, when=when)))
    return new_database_url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a database that is up to date."""
    engine = engine_of(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


# ------------------------------------------------------------------------------------------- history


def test_all_revisions_together_make_what_the_tables_say(connection: Connection) -> None:
    options = {"compare_type": True, "compare_server_default": True}

    assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_the_comparison_sees_a_difference(connection: Connection) -> None:
    connection.execute(text("DROP INDEX ix_predictions_deployment_at"))
    connection.execute(text("ALTER TABLE models ADD COLUMN colour TEXT"))

    differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert {difference[0] for difference in differences} == {"add_index", "remove_column"}


@pytest.mark.parametrize("kind", ["sqlite"])
def test_in_a_file_partial_indexes_and_growing_ids_are_as_the_tables_say(connection: Connection) -> None:
    made = create_engine("sqlite://")
    metadata.create_all(made)
    statement = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    growing = text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name")

    with made.connect() as other:
        wanted = [other.execute(statement).all(), other.execute(growing).all()]
    made.dispose()

    assert [connection.execute(statement).all(), connection.execute(growing).all()] == wanted


COLUMNS = """
SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""
INDEXES = """
SELECT indexname, replace(indexdef, 'ON ONLY', 'ON') FROM pg_indexes
WHERE schemaname = 'public' AND indexname NOT IN ('pk_predictions', 'alembic_version_pkc') ORDER BY 1
"""
CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conname NOT IN ('pk_predictions', 'alembic_version_pkc') ORDER BY 1
"""


@pytest.mark.parametrize("kind", ["postgresql"])
def test_on_a_server_columns_indexes_and_constraints_are_as_the_tables_say(
    connection: Connection, new_engine: Engine
) -> None:
    with new_engine.begin() as other:
        metadata.create_all(other)
        wanted = [other.execute(text(of)).all() for of in (COLUMNS, INDEXES, CONSTRAINTS)]

    assert [connection.execute(text(of)).all() for of in (COLUMNS, INDEXES, CONSTRAINTS)] == wanted


@pytest.mark.parametrize("kind", ["postgresql"])
def test_on_a_server_the_log_is_parted_by_time_and_its_key_begins_with_it(connection: Connection) -> None:
    key = connection.scalar(text("SELECT pg_get_partkeydef('predictions'::regclass)"))

    assert key == "RANGE (at)"
    assert inspect(connection).get_pk_constraint("predictions")["constrained_columns"] == ["at", "id"]


def test_there_is_one_line_of_revisions(connection: Connection) -> None:
    assert len(ScriptDirectory.from_config(alembic_config(connection)).get_heads()) == 1


@pytest.mark.parametrize("revision", ["0001", "base"])
def test_the_way_back_is_refused(connection: Connection, revision: str) -> None:
    with pytest.raises(PlatformError, match="cannot be taken back"):
        command.downgrade(alembic_config(connection), revision)


# ------------------------------------------------------------------------------------------- opening


async def test_opening_a_database_that_is_up_to_date_changes_nothing(store: SqlStore, database_url: str) -> None:
    await store.register(draft(), NOW)

    again = await open_store(database_url)
    models = await again.models()
    await again.close()

    assert [model.name for model in models] == ["heart"]


async def test_an_upgrade_that_fails_leaves_no_half_made_database(new_engine: Engine, new_database_url: str) -> None:
    with new_engine.begin() as connection:
        connection.execute(text("CREATE TABLE predictions (a TEXT)"))

    with pytest.raises(PlatformError, match=r'"?predictions"? already exists'):
        await open_store(new_database_url)

    assert inspect(new_engine).get_table_names() == ["predictions"]


async def test_the_evidence_of_the_first_release_is_carried_over(first_release: str) -> None:
    store = await open_store(first_release)
    kept = [await store.kept_reports(rollout) for rollout in ("fraud:1", "fraud:2", "fraud:3")]
    checks = await store.snapshots("fraud:1")
    await store.close()

    assert kept == [
        [EvidenceReport("", "before 0002", snapshot("fraud:1", at(30)).evidence)],
        [EvidenceReport("", "before 0002", snapshot("fraud:2", at(60)).evidence)],
        [],
    ]
    assert len(checks) == 2


async def test_the_log_of_the_first_release_is_carried_over(first_release: str) -> None:
    store = await open_store(first_release)
    log = [prediction(number, when=at(number * 86_400)) for number in range(3)]
    await write_log(store, [*log, prediction(3, when=at(1))])
    found = await store.predictions("fraud")
    pruned = await store.prune(at(86_400))
    await store.close()

    assert found == [log[2], log[1], prediction(3, when=at(1)), log[0]]
    assert pruned.predictions == 2


def test_of_those_that_open_an_older_database_at_once_one_upgrades_it(first_release: str) -> None:
    async def open_and_close() -> int:
        store = await open_store(first_release)
        kept = await store.kept_reports("fraud:1")
        await store.close()
        return len(kept)

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(lambda _: asyncio.run(open_and_close()), range(10))) == [1] * 10


# ------------------------------------------------------------------------------ older and newer code


async def upgraded_by_a_newer_serinus(run_sql: RunSql, oldest_that_works: str) -> None:
    await run_sql("UPDATE alembic_version SET version_num = '9999'")
    await run_sql(f"UPDATE schema_compatibility SET oldest = '{oldest_that_works}'")


async def test_a_newer_schema_that_works_with_this_version_is_accepted(
    store: SqlStore, run_sql: RunSql, database_url: str
) -> None:
    await upgraded_by_a_newer_serinus(run_sql, "0002")

    again = await open_store(database_url)
    version = await again.register(draft(), NOW)
    await again.close()

    assert await store.versions("heart") == [version]
    assert [row[0] for row in await run_sql("SELECT version_num FROM alembic_version")] == ["9999"]


async def test_a_newer_schema_that_does_not_work_with_this_version_is_refused(
    store: SqlStore, run_sql: RunSql, database_url: str
) -> None:
    await upgraded_by_a_newer_serinus(run_sql, "9998")

    with pytest.raises(PlatformError, match=r"'9999'.*newer Serinus.*Run that newer version") as refused:
        await open_store(database_url)

    assert refused.value.details == {"revision": "9999"}


async def test_a_schema_that_says_nothing_of_older_versions_is_refused(
    store: SqlStore, run_sql: RunSql, database_url: str
) -> None:
    await run_sql("UPDATE alembic_version SET version_num = '9999'")
    await run_sql("DROP TABLE schema_compatibility")

    with pytest.raises(PlatformError, match="newer Serinus"):
        await open_store(database_url)
