"""The schema's history makes the schema, once, whoever comes first, and refuses what it does not know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from tests.stores.samples import NOW, draft

from serinus.core.errors import PlatformError
from serinus.stores.sql import open_store
from serinus.stores.tables import metadata
from serinus.stores.upgrade import alembic_config


@pytest.fixture
async def migrated(tmp_path: Path) -> str:
    store = await open_store(f"sqlite:///{tmp_path}/serinus.db")
    await store.register(draft(), NOW)
    await store.close()
    return f"sqlite:///{tmp_path}/serinus.db"


@pytest.fixture
def connection(migrated: str) -> Iterator[Connection]:
    engine = create_engine(migrated)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_all_revisions_together_make_what_the_tables_say(connection: Connection) -> None:
    options = {"compare_type": True, "compare_server_default": True}

    assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_the_comparison_sees_a_difference(connection: Connection) -> None:
    connection.execute(text("DROP INDEX ix_predictions_deployment_at"))
    connection.execute(text("ALTER TABLE models ADD COLUMN colour TEXT"))

    differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert {difference[0] for difference in differences} == {"add_index", "remove_column"}


def test_partial_indexes_and_growing_ids_are_as_the_tables_say(connection: Connection) -> None:
    made = create_engine("sqlite://")
    metadata.create_all(made)
    statement = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    growing = text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name")

    with made.connect() as other:
        wanted = [other.execute(statement).all(), other.execute(growing).all()]
    made.dispose()

    assert [connection.execute(statement).all(), connection.execute(growing).all()] == wanted


def test_there_is_one_line_of_revisions(connection: Connection) -> None:
    assert len(ScriptDirectory.from_config(alembic_config(connection)).get_heads()) == 1


async def test_opening_a_database_that_is_up_to_date_changes_nothing(migrated: str) -> None:
    store = await open_store(migrated)
    models = await store.models()
    await store.close()

    assert [model.name for model in models] == ["heart"]


async def test_a_database_of_a_newer_serinus_is_refused(migrated: str, connection: Connection) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    connection.commit()

    with pytest.raises(PlatformError, match=r"'9999'.*newer Serinus.*Run that newer version") as refused:
        await open_store(migrated)

    assert refused.value.details == {"revision": "9999"}


def test_the_way_back_is_refused(connection: Connection) -> None:
    with pytest.raises(PlatformError, match="cannot be taken back"):
        command.downgrade(alembic_config(connection), "base")


async def test_an_upgrade_that_fails_leaves_no_half_made_database(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/serinus.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE predictions (a TEXT)"))

    with pytest.raises(PlatformError, match="predictions already exists"):
        await open_store(f"sqlite:///{tmp_path}/serinus.db")

    with engine.connect() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    engine.dispose()
    assert tables == ["predictions"]
