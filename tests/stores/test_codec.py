"""A row that is no whole value is named, whatever is wrong with it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.stores.conftest import RunSql
from tests.stores.samples import V1, check_event, prediction, saved_canary, snapshot, write_log

from serinus.core.errors import PlatformError
from serinus.core.names import VersionRef
from serinus.stores.sql import SqlStore

INSTANT = "2025-03-01T12:00:00.000000+00:00"
NEW_VERSION = "INSERT INTO model_versions VALUES ('heart', 1, '{draft}', '{instant}')"
NEW_EVENT = "INSERT INTO events VALUES (7, 'fraud', 1, '{kind}', '{instant}', 'ada', '', '', '{data}')"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    # Only SQLite lets any value into any column.
    return f"sqlite:///{tmp_path}/serinus.db"


@pytest.fixture
async def filled(store: SqlStore) -> SqlStore:
    """A store with one row in each table whose rows can be changed."""
    await saved_canary(store)
    await store.save_snapshot(snapshot())
    await write_log(store, [prediction(1)])
    return store


Read = Callable[[SqlStore], Awaitable[object]]
READS: dict[str, Read] = {
    "model_versions": lambda store: store.version(V1),
    "deployments": lambda store: store.deployment("fraud"),
    "rollouts": lambda store: store.rollouts("fraud"),
    "events": lambda store: store.events("fraud", kinds=("moved", "paused")),
    "health_snapshots": lambda store: store.snapshots("fraud:1"),
    "predictions": lambda store: store.predictions("fraud"),
}


@pytest.mark.parametrize(
    ("table", "key", "damage"),
    [
        ("deployments", "fraud", "state = 'garbage'"),
        ("deployments", "fraud", "state = '{}'"),
        ("deployments", "fraud", "state = NULL || 1, state = x'ff'"),
        ("deployments", "fraud", "state = replace(state, '\"running\"', '\"flying\"')"),
        ("deployments", "fraud", "state = replace(state, '\"error_delta\":', '\"error_delta\":9')"),
        ("deployments", "fraud", "generation = 9"),
        ("rollouts", "fraud:1", "phase = 'flying'"),
        ("rollouts", "fraud:1", "canary = 'heart'"),
        ("rollouts", "fraud:1", "weight = 'much'"),
        ("rollouts", "fraud:1", "started_at = 'yesterday'"),
        ("rollouts", "fraud:1", "started_at = x'00'"),
        ("health_snapshots", "1", "verdict = 'garbage'"),
        ("health_snapshots", "1", "verdict = '[]'"),
        ("health_snapshots", "1", "evidence = '{}'"),
        ("health_snapshots", "1", "evidence = '[[1, 2]]'"),
        ("health_snapshots", "1", "at = 'yesterday'"),
        ("predictions", "0196-000001", "role = 'king'"),
        ("predictions", "0196-000001", "latency_ms = 'slow'"),
        ("predictions", "0196-000001", "at = ''"),
    ],
)
async def test_a_damaged_row_is_named(filled: SqlStore, run_sql: RunSql, table: str, key: str, damage: str) -> None:
    await run_sql(f"UPDATE {table} SET {damage}")

    with pytest.raises(PlatformError, match=f"row '{key}' of table '{table}' cannot be read") as refused:
        await READS[table](filled)

    assert refused.value.code == "SERINUS-PLATFORM"
    assert refused.value.details == {"table": table, "key": key}


@pytest.mark.parametrize(
    ("table", "key", "row"),
    [
        ("model_versions", "heart@1", NEW_VERSION.format(draft="garbage", instant=INSTANT)),
        ("model_versions", "heart@1", NEW_VERSION.format(draft="{}", instant=INSTANT)),
        ("events", "7", NEW_EVENT.format(kind="moved", instant=INSTANT, data="{}")),
        ("events", "7", NEW_EVENT.format(kind="paused", instant=INSTANT, data="[]")),
        ("events", "7", NEW_EVENT.format(kind="paused", instant="now", data="{}")),
    ],
)
async def test_a_row_that_was_written_damaged_is_named(
    store: SqlStore, run_sql: RunSql, table: str, key: str, row: str
) -> None:
    await run_sql(f"INSERT INTO models VALUES ('heart', 1, '{INSTANT}')")
    await run_sql(row)

    with pytest.raises(PlatformError, match=f"row '{key}' of table '{table}' cannot be read"):
        await READS[table](store)


async def test_a_damaged_model_is_named(store: SqlStore, run_sql: RunSql) -> None:
    await run_sql("INSERT INTO models VALUES ('heart', 'many', 'now')")

    with pytest.raises(PlatformError, match="row 'heart' of table 'models' cannot be read"):
        await store.models()


async def test_the_rows_beside_a_damaged_one_can_be_read(filled: SqlStore, run_sql: RunSql) -> None:
    await write_log(filled, [prediction(2, "spam")])
    await filled.record([check_event("spam")])
    await run_sql("UPDATE predictions SET role = 'king' WHERE deployment = 'fraud'")

    assert await filled.predictions("spam") == [prediction(2, "spam")]
    assert await filled.version(VersionRef("heart", 9)) is None
