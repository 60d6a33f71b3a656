"""Each test of the contract runs on every database that Serinus can use: add the next one to ``kind``."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.services import PostgreSQL, provided

from serinus.stores.postgresql import upgrade_as_owner
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.sqlite import make_ready
from serinus.stores.urls import postgresql_url as parsed

RunSql = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file to copy: making one takes longer."""
    file = tmp_path_factory.mktemp("migrated") / "serinus.db"
    make_ready(file)
    return file


@pytest.fixture(scope="session")
def migrated_template(postgresql: PostgreSQL) -> str:
    """The name of a database to clone."""
    name = postgresql.create_database()
    upgrade_as_owner(parsed(postgresql.url(name)))
    return name


@pytest.fixture
def new_database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that Serinus has never opened."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/state/serinus.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def postgresql_clone(postgresql: PostgreSQL, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, with nothing in it but the schema."""
    name = postgresql.create_database(migrated_template)
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture(scope="session")
def shared_database(postgresql: PostgreSQL, migrated_template: str) -> str:
    return postgresql.url(postgresql.create_database(migrated_template))


@pytest.fixture
def emptied_database(shared_database: str) -> str:
    """A database with nothing in it but the schema, which the test leaves as it is: much sooner there than a clone."""
    with psycopg.connect(shared_database) as connection:
        connection.execute(EMPTY)
    return shared_database


EMPTY = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
    SET LOCAL session_replication_role = replica; -- no trigger fires
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF name LIKE 'predictions\\_%' THEN
            EXECUTE 'DROP TABLE ' || name;
        ELSIF name NOT IN ('alembic_version', 'schema_compatibility') THEN
            EXECUTE 'TRUNCATE ' || name || ' RESTART IDENTITY CASCADE';
        END IF;
    END LOOP;
END $$
"""


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it but the schema."""
    if kind == "sqlite":
        (tmp_path / "state").mkdir()
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "state/serinus.db")
        return f"sqlite:///{tmp_path}/state/serinus.db"
    return str(request.getfixturevalue("emptied_database"))


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[PostgreSQL]:
    """A server that a test may stop, if it starts it again."""
    with provided(PostgreSQL(password="s3cret")) as server:
        yield server


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    store = await open_store(database_url)
    yield store
    await store.close()


@pytest.fixture
def run_sql(store: SqlStore) -> RunSql:
    """Run one statement past the store."""

    async def run(statement: str) -> Sequence[Sequence[Any]]:
        async with store._database.writers.begin() as connection:
            result = await connection.exec_driver_sql(statement)
            return result.all() if result.returns_rows else []

    return run
