"""PostgreSQL's own: outages and time limits, locks, transactions, and the days of the prediction log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.services import PostgreSQL
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, V2, check_event, draft, prediction, saved, start, write_log

from serinus.core.errors import PlatformError, Unavailable
from serinus.core.lifecycle import apply
from serinus.ports import CHECKER
from serinus.stores import connections, leases
from serinus.stores.connections import Limits
from serinus.stores.sql import SqlStore, open_store

DAY = timedelta(days=1)
MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[SqlStore]:
    """The same database, opened by somebody else."""
    store = await open_store(database_url)
    yield store
    await store.close()


# ------------------------------------------------------------------------------------------- outages


@pytest.fixture
def server(own_postgresql: PostgreSQL) -> Iterator[PostgreSQL]:
    """A server that runs when the test begins, and when it ends."""
    yield own_postgresql
    if own_postgresql.process is None:
        own_postgresql.start()
    own_postgresql.resume()


@pytest.fixture
async def frail(server: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    """A store on a server that can be stopped."""
    monkeypatch.setattr(connections, "PING_S", 0.5)
    monkeypatch.setattr(connections, "CONNECT_S", 2)
    store = await open_store(server.url(server.create_database()))
    await store.register(draft(), NOW)
    yield store
    await store.close()


async def test_a_wrong_password_is_said_without_the_password(server: PostgreSQL) -> None:
    with pytest.raises(Unavailable, match="password authentication failed") as failed:
        await open_store(server.url().replace("s3cret", "gu3ss"))

    assert "gu3ss" not in str(failed.value)
    assert "Correct user and password" in failed.value.remedy


async def test_a_database_that_is_not_there_is_unavailable(server: PostgreSQL) -> None:
    with pytest.raises(Unavailable, match="has no database 'nowhere'"):
        await open_store(server.url("nowhere"))


async def test_an_open_store_does_not_show_its_password(frail: SqlStore) -> None:
    shown = [repr(frail), repr(frail._database), repr(frail._database.readers), str(frail._database.writers.url)]

    assert "s3cret" not in "".join(shown)


async def test_a_server_that_is_gone_is_unavailable_until_it_is_back(server: PostgreSQL, frail: SqlStore) -> None:
    server.stop()

    for call in (frail.ping, frail.models, lambda: frail.register(draft(), NOW), lambda: open_store(server.url())):
        with pytest.raises(Unavailable, match=r"postgresql://serinus@127\.0\.0\.1:\d+/\w+ does not answer"):
            await call()

    server.start()
    assert (await frail.register(draft(), NOW)).ref == V2


async def test_connections_kept_from_before_a_restart_cost_no_error(server: PostgreSQL, frail: SqlStore) -> None:
    await asyncio.gather(*(frail.versions("heart") for _ in range(8)), *(frail.record([check_event()]) for _ in "1234"))

    server.stop()
    server.start()

    assert len(await frail.versions("heart")) == 1
    await asyncio.gather(*(frail.versions("heart") for _ in range(8)), *(frail.record([check_event()]) for _ in "1234"))
    assert len(await frail.events("fraud")) == 8


async def test_a_server_that_hangs_is_unavailable_until_it_goes_on(server: PostgreSQL, frail: SqlStore) -> None:
    server.pause()

    for call in (frail.models, lambda: frail.register(draft(), NOW), lambda: open_store(server.url())):
        with pytest.raises(Unavailable):
            await call()

    server.resume()
    assert (await frail.register(draft(), NOW)).ref == V2


async def test_a_server_that_hangs_in_the_middle_of_a_transaction_is_hung_up_on(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "QUICK", Limits(statement_s=2, lock_s=2, transaction_s=1))
    frail = await open_store(server.url(server.create_database()))

    async def ask_before_and_after_it_hangs() -> None:
        async with frail._writing() as connection:
            await connection.execute(text("SELECT 1"))
            server.pause()
            await connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await ask_before_and_after_it_hangs()

    server.resume()
    assert (await frail.register(draft(), NOW)).ref.version == 1
    await frail.close()


async def test_a_server_that_hangs_in_the_middle_of_a_copy_is_hung_up_on(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "QUICK", Limits(statement_s=2, lock_s=2, transaction_s=1))
    frail = await open_store(server.url(server.create_database()))
    await write_log(frail, [prediction(0)])
    copy = frail._database.log

    async def hang(connection: AsyncConnection, batch: object) -> None:
        monkeypatch.setattr(frail._database, "log", copy)
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        async with raw.cursor() as cursor, cursor.copy("COPY predictions FROM STDIN"):
            server.pause()

    monkeypatch.setattr(frail._database, "log", hang)
    with pytest.raises(Unavailable):
        await write_log(frail, [prediction(1)])

    server.resume()
    await write_log(frail, [prediction(1)])
    assert await frail.predictions("fraud") == [prediction(1), prediction(0)]
    await frail.close()


async def test_a_statement_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setattr(connections, "QUICK", Limits(statement_s=0.1, lock_s=0.1, transaction_s=60))
    store = await open_store(database_url)

    with pytest.raises(Unavailable, match="statement timeout"):
        async with store._reading() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    assert await store.models() == []
    await store.close()


async def test_what_another_keeps_locked_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, database_url: str, other: SqlStore
) -> None:
    state = await saved(other)
    new, events = apply(state, start(V2), NOW)
    monkeypatch.setattr(connections, "QUICK", Limits(statement_s=20, lock_s=0.1, transaction_s=60))
    store = await open_store(database_url)

    async with other._writing() as connection:
        await connection.execute(text("SELECT 1 FROM deployments FOR UPDATE"))
        with pytest.raises(Unavailable, match="lock timeout"):
            await store.save(new, 1, events)

    await store.save(new, 1, events)
    await store.close()


async def test_whoever_falls_asleep_in_a_transaction_loses_its_locks(
    monkeypatch: pytest.MonkeyPatch, database_url: str, other: SqlStore
) -> None:
    monkeypatch.setattr(connections, "QUICK", Limits(statement_s=20, lock_s=20, transaction_s=60, idle_s=1))
    store = await open_store(database_url)

    async def fall_asleep() -> None:
        async with store._writing() as connection:
            await store._database.in_order(connection)
            assert len(await other.record([check_event()])) == 1
            await connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await fall_asleep()
    assert len(await store.record([check_event()])) == 1
    await store.close()


async def test_who_gets_no_connection_in_time_is_told_so(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setattr(connections, "POOL_SIZE", 1)
    monkeypatch.setattr(connections, "POOL_WAIT_S", 0.1)
    store = await open_store(database_url)

    async with store._writing():
        with pytest.raises(Unavailable, match="limit of size 1"):
            await store.register(draft(), NOW)

    assert (await store.register(draft(), NOW)).ref.version == 1
    await store.close()


async def test_a_server_that_takes_no_writes_is_unavailable_for_them(database_url: str) -> None:
    standby = await open_store(f"{database_url}?options=-c%20default_transaction_read_only%3Don")

    assert await standby.models() == []
    with pytest.raises(Unavailable, match="read-only transaction"):
        await standby.register(draft(), NOW)
    await standby.close()


async def test_a_database_of_another_encoding_is_refused(postgresql: PostgreSQL) -> None:
    postgresql.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(PlatformError, match=r"keeps text as LATIN1.*UTF8"):
        await open_store(postgresql.url("latin"))


# -------------------------------------------------------------------------------------- transactions


async def test_the_connections_for_reading_cannot_write(store: SqlStore) -> None:
    with pytest.raises(Unavailable, match="read-only transaction"):
        async with store._reading() as connection:
            await connection.execute(text("DELETE FROM outcomes"))


async def test_a_reader_sees_one_state_of_the_database(store: SqlStore, other: SqlStore) -> None:
    count = text("SELECT count(*) FROM models")
    async with store._reading() as connection:
        before = await connection.scalar(count)
        await other.register(draft(), NOW)
        after = await connection.scalar(count)

    assert (before, after) == (0, 0)


async def test_an_event_is_written_only_after_one_with_a_smaller_number_is_visible(
    store: SqlStore, other: SqlStore
) -> None:
    async with store._writing() as connection:
        (first,) = await store._append(connection, [check_event()])
        second = asyncio.ensure_future(other.record([check_event()]))
        await asyncio.wait([second], timeout=0.3)
        assert not second.done()
        assert await other.events("fraud") == []

    recorded = [first, *await second]
    assert await store.events("fraud") == recorded


async def test_a_lease_is_taken_only_after_what_its_holder_was_writing_is_written(
    store: SqlStore, other: SqlStore
) -> None:
    lease = await store.hold(CHECKER, "a", 0.0, NOW)
    async with store._writing() as connection:
        await leases.fence(connection, lease.term)
        taking = asyncio.ensure_future(other.hold(CHECKER, "b", 60.0, NOW))
        await asyncio.wait([taking], timeout=0.3)
        assert not taking.done()

    assert (await taking).term == lease.term + 1


async def test_a_lease_goes_by_the_servers_clock(store: SqlStore) -> None:
    await store.hold(CHECKER, "a", 3600.0, NOW - 1000 * DAY)

    assert (await store.hold(CHECKER, "b", 3600.0, NOW + 1000 * DAY)).holder == "a"


# ------------------------------------------------------------------------------------ prediction log


async def days(run_sql: RunSql) -> list[str]:
    rows = await run_sql("SELECT relid::regclass::text FROM pg_partition_tree('predictions') WHERE isleaf ORDER BY 1")
    return [row[0] for row in rows]


async def test_each_day_of_the_log_has_a_partition_made_when_it_is_first_needed(
    store: SqlStore, run_sql: RunSql
) -> None:
    assert await days(run_sql) == []

    last, first = MIDNIGHT - timedelta(microseconds=1), MIDNIGHT
    await write_log(store, [prediction(1, when=last), prediction(2, when=first)])

    assert await days(run_sql) == ["predictions_20250228", "predictions_20250301"]


async def test_the_day_of_a_prediction_is_that_of_utc(store: SqlStore, run_sql: RunSql, database_url: str) -> None:
    elsewhere = await open_store(f"{database_url}?options=-c%20timezone%3DPacific/Auckland")

    await write_log(elsewhere, [prediction(1, when=MIDNIGHT), prediction(2, when=MIDNIGHT + DAY * 0.99)])

    assert await days(run_sql) == ["predictions_20250301"]
    assert len(await elsewhere.predictions("fraud")) == 2
    assert (await elsewhere.prune(MIDNIGHT + DAY)).predictions == 2
    assert await days(run_sql) == []
    await elsewhere.close()


async def test_stores_that_need_a_new_day_at_once_make_it_once(store: SqlStore, other: SqlStore) -> None:
    await asyncio.gather(
        *(
            write_log(each, [prediction(2 * n + i)], f"{n} {i}")
            for n in range(10)
            for i, each in enumerate((store, other))
        )
    )

    assert len(await store.predictions("fraud")) == 20


async def test_days_that_are_over_are_dropped_whole(store: SqlStore, run_sql: RunSql) -> None:
    await write_log(store, [prediction(n, when=MIDNIGHT + n * DAY / 2) for n in range(8)])

    pruned = await store.prune(MIDNIGHT + 2.5 * DAY)

    assert pruned.predictions == 5
    assert await days(run_sql) == ["predictions_20250303", "predictions_20250304"]


async def test_a_partition_that_somebody_else_added_is_left_there_and_only_its_rows_are_removed(
    store: SqlStore, run_sql: RunSql
) -> None:
    await run_sql("CREATE TABLE predictions_default PARTITION OF predictions DEFAULT")
    await write_log(store, [prediction(1)])
    await run_sql("UPDATE predictions SET at = at - interval '1 year'")

    assert (await store.prune(NOW)).predictions == 1
    assert await days(run_sql) == ["predictions_20250301", "predictions_default"]


async def test_a_day_that_another_process_has_dropped_is_made_again(store: SqlStore, other: SqlStore) -> None:
    await write_log(store, [prediction(1)])
    await other.prune(NOW + 5 * DAY)

    await write_log(store, [prediction(2)])

    assert await store.predictions("fraud") == [prediction(2)]


async def test_a_batch_that_was_delivered_in_part_is_kept_once(store: SqlStore) -> None:
    batch = [prediction(number) for number in range(100)]
    await write_log(store, batch[:30])

    await write_log(store, batch)
    await write_log(store, batch)

    assert await store.predictions("fraud") == batch[::-1]


async def test_a_prediction_of_any_year_is_kept(store: SqlStore) -> None:
    log = [prediction(1, when=datetime(2, 1, 1, tzinfo=UTC)), prediction(2, when=datetime(9999, 12, 31, tzinfo=UTC))]

    await write_log(store, log)

    assert await store.predictions("fraud") == log[::-1]


async def test_a_log_that_another_keeps_open_is_not_pruned_and_can_still_be_written(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr(connections, "SLOW", Limits(statement_s=20, lock_s=0.1, transaction_s=60))
    pruning = await open_store(database_url)
    await write_log(store, [prediction(1)])

    async with other._reading() as connection:
        await connection.execute(text("SELECT count(*) FROM predictions"))
        with pytest.raises(Unavailable, match="lock timeout"):
            await pruning.prune(NOW + 5 * DAY)
        await write_log(store, [prediction(2)])

    assert (await pruning.prune(NOW + 5 * DAY)).predictions == 2
    await pruning.close()
