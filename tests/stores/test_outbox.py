"""Each target is told of each event from its beginning on, whatever the others are told, on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import text
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, at, check_event

from serinus.core.records import Untold
from serinus.stores.outbox import SPREAD
from serinus.stores.sql import SqlStore, open_store

Told = Callable[..., Awaitable[list[int]]]


@pytest.fixture
def told(store: SqlStore) -> Told:
    """The ids of the events that a target is to be told now."""

    async def ids(target: str = "a", now: datetime = NOW) -> list[int]:
        await store.outbox.spread()
        return [untold.id for untold in await store.outbox.due(target, now)]

    return ids


async def record(store: SqlStore, *deployments: str) -> list[int]:
    return [each.id for each in await store.record([check_event(name) for name in deployments or ("fraud",)])]


async def test_a_target_is_told_of_what_is_recorded_after_it_was_first_wanted(store: SqlStore, told: Told) -> None:
    await record(store, *["fraud"] * (SPREAD + 1))
    await store.outbox.enlist("a", NOW)
    new = await record(store, "fraud", "fraud")
    await store.outbox.enlist("a", at(5))

    assert await told() == new


async def test_what_is_due_is_the_event_as_it_was_recorded(store: SqlStore) -> None:
    await store.outbox.enlist("a", NOW)
    (recorded,) = await store.record([check_event()])
    await store.outbox.spread()

    assert await store.outbox.due("a", NOW) == [Untold(recorded.id, "fraud", recorded.event.at, recorded)]


async def test_an_event_that_only_a_newer_serinus_can_read_is_due_too(
    store: SqlStore, run_sql: RunSql, told: Told
) -> None:
    await store.outbox.enlist("a", NOW)
    columns = "deployment, generation, kind, at, actor, reason, rollout, data"
    when = NOW.isoformat(timespec="microseconds")
    await run_sql(f"INSERT INTO events ({columns}) VALUES ('fraud', 1, 'sang', '{when}', 'ada', '', '', '{{}}')")
    await run_sql("INSERT INTO outbox (event) SELECT id FROM events")

    assert len(await told()) == 1
    assert [(untold.recorded, untold.at) for untold in await store.outbox.due("a", NOW)] == [(None, NOW)]


async def test_what_a_target_was_told_it_is_not_told_again_and_the_others_are(store: SqlStore, told: Told) -> None:
    for target in ("a", "b"):
        await store.outbox.enlist(target, NOW)
    first, second = await record(store, "fraud", "fraud")
    assert await told("a") == [first, second]

    await store.outbox.settle("a", [first])

    assert await told("a") == [second]
    assert await told("b") == [first, second]
    assert [await store.outbox.untold(target) for target in ("a", "b", "nobody")] == [1, 2, 0]


async def test_an_event_that_is_postponed_keeps_back_those_after_it_of_its_deployment_alone(
    store: SqlStore, told: Told
) -> None:
    await store.outbox.enlist("a", NOW)
    ours, others, ours_too = await record(store, "fraud", "churn", "fraud")
    await store.outbox.spread()
    first = (await store.outbox.due("a", NOW))[0]

    await store.outbox.postpone("a", replace(first, tries=3, refusals=2), at(10))

    assert await told(now=at(9)) == [others]
    assert await told(now=at(10)) == [ours, others, ours_too]
    assert (await store.outbox.due("a", at(10)))[0] == replace(first, tries=3, refusals=2)


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_events_that_become_visible_late_are_told_all_the_same(store: SqlStore, told: Told) -> None:
    """Numbers are given before transactions end, and not everybody who writes events need wait for a turn."""
    await store.outbox.enlist("a", NOW)
    insert = "INSERT INTO events (deployment, generation, kind, at, actor, reason, rollout, data) VALUES "
    insert += f"(:name, 1, 'paused', '{NOW.isoformat()}', 'ada', '', '', '{{}}') RETURNING id"
    async with store._writing() as slow:
        late = (await slow.execute(text(insert), {"name": "slow"})).scalar_one()
        await slow.execute(text(f"INSERT INTO outbox (event) VALUES ({late})"))
        async with store._writing() as quick:
            early = (await quick.execute(text(insert), {"name": "quick"})).scalar_one()
            await quick.execute(text(f"INSERT INTO outbox (event) VALUES ({early})"))
        assert await told() == [early]
        await store.outbox.settle("a", [early])

    assert late < early
    assert await told() == [late]


async def test_of_those_that_spread_at_once_each_target_gets_one_entry_an_event(
    store: SqlStore, database_url: str, told: Told
) -> None:
    await store.outbox.enlist("a", NOW)
    new = await record(store, *["fraud"] * 20)
    others = [await open_store(database_url) for _ in range(3)]

    await asyncio.gather(*(other.outbox.spread() for other in [store, *others]))
    for other in others:
        await other.close()

    assert await told() == new


async def test_a_target_that_is_wanted_no_more_is_forgotten_with_what_waits_for_it(
    store: SqlStore, run_sql: RunSql, told: Told
) -> None:
    await store.outbox.enlist("old", NOW)
    await store.outbox.enlist("a", at(60))
    await record(store)
    await store.outbox.spread()

    assert await store.outbox.forget(at(30)) == ["old"]
    assert await store.outbox.forget(at(30)) == []
    assert [row[0] for row in await run_sql("SELECT target FROM notifications")] == ["a"]
    await record(store)
    assert await told("old") == []


async def test_a_target_that_comes_back_begins_anew(store: SqlStore, told: Told) -> None:
    await store.outbox.enlist("a", NOW)
    await record(store)
    await store.outbox.forget(at(1))
    await record(store)

    await store.outbox.enlist("a", at(2))
    new = await record(store)

    assert await told() == new


async def test_a_store_keeps_its_name(store: SqlStore, database_url: str) -> None:
    other = await open_store(database_url)
    names = await asyncio.gather(store.outbox.identity(), other.outbox.identity())
    again = await other.outbox.identity()
    await other.close()

    assert {*names, again} == {names[0]}
    assert len(names[0]) == 36


async def test_of_an_event_that_every_target_has_in_its_row_or_none_wants_nothing_is_left(
    store: SqlStore, run_sql: RunSql, told: Told
) -> None:
    await record(store, *["fraud"] * (SPREAD + 1))
    await store.outbox.spread()
    assert await run_sql("SELECT event FROM outbox") == []

    await store.outbox.enlist("a", NOW)
    new = await record(store)
    await store.outbox.spread()

    assert await run_sql("SELECT event FROM outbox") == []
    assert await told() == new
