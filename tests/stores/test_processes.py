"""Several processes, or threads, on one database; and processes that end in the middle of something."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.services import PostgreSQL
from tests.stores.conftest import RunSql
from tests.stores.processes import (
    KILLED,
    die_after_the_answer,
    die_before_the_commit,
    die_before_the_event_is_written,
    exit_code_of,
    in_processes,
    log_until_enough,
    race_to_set_the_weight,
    register_ten,
    seize_the_lease_and_write,
    want_the_lease,
)
from tests.stores.samples import V1, V2, prediction, saved, saved_canary, start

from serinus.core.lifecycle import apply
from serinus.stores.sql import SqlStore, open_store


def test_processes_that_open_a_new_database_and_register_at_once_get_numbers_without_gap(
    new_database_url: str,
) -> None:
    numbers = in_processes(8, register_ten, new_database_url)

    assert sorted(number for part in numbers for number in part) == list(range(1, 81))


def test_threads_can_open_a_new_database_at_once(new_database_url: str) -> None:
    async def open_and_close() -> int:
        store = await open_store(new_database_url)
        models = await store.models()
        await store.close()
        return len(models)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: asyncio.run(open_and_close()), range(6))) == [0] * 6


async def test_of_two_processes_that_change_the_same_generation_one_wins(store: SqlStore, database_url: str) -> None:
    state = await saved_canary(store)

    outcomes = await asyncio.to_thread(in_processes, 2, race_to_set_the_weight, database_url)

    assert [sorted(pair) for pair in zip(*outcomes, strict=True)] == [["stale", "won"]] * 10
    after = await store.deployment("fraud")
    assert after is not None
    assert after.generation == state.generation + 10
    assert [entry.event.generation for entry in await store.events("fraud")] == list(range(1, 13))


@pytest.mark.parametrize("die", [die_before_the_event_is_written, die_before_the_commit])
async def test_a_process_that_dies_in_the_middle_of_a_change_leaves_nothing_of_it(
    store: SqlStore, database_url: str, run_sql: RunSql, die: Callable[[str], None]
) -> None:
    state = await saved(store)
    before = await store.events("fraud")

    assert await asyncio.to_thread(exit_code_of, die, database_url) == KILLED

    assert await store.deployment("fraud") == state
    assert await store.rollouts("fraud") == []
    assert await store.events("fraud") == before
    assert [tuple(row) for row in await run_sql("SELECT count(*) FROM outbox")] == [(1,)]


async def test_after_a_process_died_in_the_middle_of_a_change_the_change_can_be_made(
    store: SqlStore, database_url: str
) -> None:
    await saved(store)
    await asyncio.to_thread(exit_code_of, die_before_the_commit, database_url)

    other = await open_store(database_url)
    state = await other.deployment("fraud")
    assert state is not None
    new, events = apply(state, start(V2), state.created_at)
    await other.save(new, state.generation, events)
    await other.close()

    assert await store.deployment("fraud") == new


def test_of_processes_that_want_a_lease_one_has_it_and_all_know_which(database_url: str) -> None:
    seen = in_processes(4, want_the_lease, database_url)

    for number, leases in enumerate(zip(*seen, strict=True), start=1):
        assert len(set(leases)) == 1
        assert leases[0].term == number


async def test_what_is_written_under_a_lease_is_in_the_order_of_its_terms(store: SqlStore, database_url: str) -> None:
    written = await asyncio.to_thread(in_processes, 2, seize_the_lease_and_write, database_url)

    recorded = await store.events("fraud", limit=1000)
    terms = [int(str(entry.event.data["term"])) for entry in recorded]
    assert terms == sorted(terms)
    assert sorted(terms) == sorted(term for part in written for term in part)


async def growth_of_the_log(store: SqlStore) -> None:
    before = len(await store.predictions("fraud", limit=100_000))
    for _ in range(1000):
        await asyncio.sleep(0.05)
        if len(await store.predictions("fraud", limit=100_000)) > before:
            return
    pytest.fail("nothing was logged")


async def test_every_prediction_is_logged_once_whatever_becomes_of_the_server_meanwhile(
    own_postgresql: PostgreSQL, tmp_path: Path
) -> None:
    url = own_postgresql.url(own_postgresql.create_database())
    store = await open_store(url)
    enough = tmp_path / "enough"
    work = asyncio.ensure_future(asyncio.to_thread(in_processes, 2, log_until_enough, url, enough))

    for _ in range(2):
        await growth_of_the_log(store)
        own_postgresql.stop("immediate")
        own_postgresql.start()
    enough.touch()

    delivered = sorted(name for part in await work for name in part)
    assert sorted(record.id for record in await store.predictions("fraud", limit=100_000)) == delivered
    await store.close()


async def test_what_was_answered_is_there_after_the_process_died(database_url: str) -> None:
    assert await asyncio.to_thread(exit_code_of, die_after_the_answer, database_url) == KILLED

    store = await open_store(database_url)
    found = ([version.ref for version in await store.versions("heart")], await store.predictions("fraud"))
    await store.close()
    assert found == ([V1], [prediction(1)])
