"""A role with the rights that ``grant`` gives can run Serinus, and PostgreSQL itself keeps it from more."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy import text
from tests.services import PostgreSQL
from tests.stores.samples import (
    NOW,
    ONCE,
    at,
    check_event,
    do,
    draft,
    prediction,
    report,
    saved_canary,
    snapshot,
    write_log,
)

from serinus.core.commands import Rollback, SetWeight
from serinus.core.errors import InvalidInput, PlatformError
from serinus.core.records import Pruned
from serinus.ports import CHECKER
from serinus.stores.grants import TABLES, grant
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.tables import metadata

ROLES = {
    "serinus app": "LOGIN",
    "serinus_owner": "LOGIN",
    "serinus_member": "LOGIN IN ROLE serinus_owner",
    "serinus_stranger": "LOGIN",
}

FORBIDDEN = [
    "UPDATE events SET actor = 'nobody'",
    "DELETE FROM events",
    "TRUNCATE events",
    "DROP TRIGGER events_no_change ON events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "UPDATE model_versions SET draft = '{}'",
    "DELETE FROM model_versions",
    "TRUNCATE model_versions",
    "DELETE FROM models",
    "DELETE FROM deployments",
    "UPDATE outbox SET event = 7",
    "UPDATE notifications SET event = 7",
    "UPDATE store_identity SET id = ''",
    "UPDATE predictions SET latency_ms = 1",
    "UPDATE health_snapshots SET reason = ''",
    "UPDATE outcomes SET fingerprint = ''",
    "UPDATE alembic_version SET version_num = '0001'",
    "UPDATE schema_compatibility SET oldest = '0001'",
    "DROP TABLE predictions",
    "CREATE TABLE mine (a text)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT setval('events_id_seq', 1)",
]


async def run(app: SqlStore, statement: str) -> None:
    async with app._writing() as connection:
        await connection.execute(text(statement))


@pytest.fixture(scope="module")
def roles(postgresql: PostgreSQL) -> Iterator[None]:
    for role, options in ROLES.items():
        postgresql.execute(f'CREATE ROLE "{role}" {options}')
    yield
    for role in ROLES:
        postgresql.execute(f'DROP ROLE "{role}"')


@pytest.fixture
def owners_url(roles: None, postgresql: PostgreSQL) -> Iterator[str]:
    """An empty database whose owner is no superuser."""
    name = postgresql.create_database()
    postgresql.execute(f'ALTER DATABASE "{name}" OWNER TO serinus_owner')
    yield postgresql.url(name).replace("serinus@", "serinus_owner@")
    postgresql.drop_database(name)


@pytest.fixture
def app_url(owners_url: str) -> str:
    grant(owners_url, "serinus app")
    return owners_url.replace("serinus_owner@", "serinus%20app@")


@pytest.fixture
async def app(app_url: str) -> AsyncIterator[SqlStore]:
    """The store as the application sees it."""
    store = await open_store(app_url)
    yield store
    await store.close()


async def test_the_application_can_do_everything_through_the_store(app: SqlStore) -> None:
    lease = await app.hold(CHECKER, "a", 60, NOW)
    version = await app.register(draft(), NOW, once=ONCE)
    state = await do(app, await saved_canary(app), SetWeight(weight=50.0), at(2))
    state = await do(app, state, Rollback(), at(3))
    await app.record([check_event()], term=lease.term)
    for requests in (5, 6):
        await app.save_snapshot(snapshot(), reports=[report("boot", requests)], term=lease.term)
    await write_log(app, [prediction(1), prediction(2)])
    await write_log(app, [prediction(2), prediction(3, when=at(86400))])
    await app.release(CHECKER, "a")
    await app.outbox.enlist("chat", NOW)
    await app.record([check_event()])
    await app.outbox.spread()
    (untold,) = await app.outbox.due("chat", NOW)
    await app.outbox.postpone("chat", untold, at(5))
    await app.outbox.settle("chat", [untold.id])

    assert await app.outbox.identity()
    assert await app.outbox.forget(at(1)) == ["chat"]
    assert await app.versions("heart") == [version]
    assert await app.deployments() == [state]
    assert len(await app.events("fraud")) == 6
    assert await app.kept_reports("fraud:1") == [report("boot", 6)]
    assert len(await app.predictions("fraud")) == 3
    assert await app.outcome("key-1") is not None
    assert await app.prune(at(86400)) == Pruned(predictions=2, snapshots=2, outcomes=1)


async def test_the_database_refuses_the_application_everything_else(app: SqlStore) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(
            PlatformError, match=r"role 'serinus app' has not the right.*(permission denied|must be owner)"
        ):
            await run(app, statement)


def test_the_database_itself_refuses_to_change_an_event(app_url: str) -> None:
    with psycopg.connect(app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE events SET actor = 'nobody'")


async def test_a_function_of_the_schema_sees_nothing_that_its_caller_made(app: SqlStore) -> None:
    """It has its owner's rights, so it must not look where its caller says."""
    async with app._writing() as connection:
        for statement in (
            "CREATE TEMP TABLE predictions (at timestamptz, id text)",
            "CREATE FUNCTION pg_temp.to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$",
            "SET LOCAL search_path = pg_temp, public",
            "SELECT public.make_predictions_day('2025-03-01')",
        ):
            await connection.execute(text(statement))
        made = await connection.scalar(text("SELECT to_regclass('public.predictions_20250301') IS NOT NULL"))

    assert made


async def test_the_store_can_be_opened_without_any_right_to_make_tables(app_url: str) -> None:
    for _ in range(2):
        store = await open_store(app_url)
        assert await store.models() == []
        await store.close()


async def test_a_role_that_was_given_nothing_is_told_so(app_url: str) -> None:
    with pytest.raises(PlatformError, match=r"role 'serinus_stranger' has not the right.*grant this role") as refused:
        await open_store(app_url.replace("serinus%20app", "serinus_stranger"))

    assert refused.value.code == "SERINUS-PLATFORM"


async def test_granting_again_takes_back_what_was_given_besides(owners_url: str, app: SqlStore) -> None:
    with psycopg.connect(owners_url) as owner:
        owner.execute('GRANT ALL ON ALL TABLES IN SCHEMA public TO "serinus app"')
    await run(app, "UPDATE outcomes SET fingerprint = ''")

    await asyncio.to_thread(grant, owners_url, "serinus app")

    with pytest.raises(PlatformError, match="permission denied"):
        await run(app, "UPDATE outcomes SET fingerprint = ''")


def test_every_table_has_its_rights() -> None:
    assert set(TABLES) == {"alembic_version", *metadata.tables}


def test_a_role_that_does_not_exist_is_refused(owners_url: str) -> None:
    with pytest.raises(InvalidInput, match=r"has no role 'nobody'.*CREATE ROLE"):
        grant(owners_url, "nobody")


@pytest.mark.parametrize("role", ["serinus", "serinus_owner", "serinus_member"])
def test_a_role_that_no_right_holds_back_is_refused(owners_url: str, role: str) -> None:
    with pytest.raises(InvalidInput, match="superuser or the owner"):
        grant(owners_url, role)


def test_a_role_that_may_make_tables_is_refused(owners_url: str, postgresql: PostgreSQL) -> None:
    with psycopg.connect(owners_url) as owner:
        owner.execute('GRANT CREATE ON SCHEMA public TO "serinus app"')

    with pytest.raises(InvalidInput, match=r"may make tables.*REVOKE CREATE ON SCHEMA public"):
        grant(owners_url, "serinus app")


def test_rights_are_not_for_another_than_the_owner_to_give(app_url: str) -> None:
    with pytest.raises(PlatformError, match="has not the right"):
        grant(app_url, "serinus_stranger")


def test_a_file_has_no_roles() -> None:
    with pytest.raises(InvalidInput, match="no PostgreSQL database"):
        grant("sqlite:///x.db", "serinus app")
