"""What every Store tells of the past: the timeline of many deployments, production, a few of many health checks."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, V2, at, check_event, do, saved, saved_canary, snapshot, start

from serinus.core.commands import Promote, Rollback, SetWeight
from serinus.core.events import Event, EventKind
from serinus.core.production import production
from serinus.core.records import RecordedEvent
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.timeline import replayed


def ids(found: list[RecordedEvent]) -> list[int]:
    return [each.id for each in found]


async def two_deployments(store: SqlStore) -> None:
    """Record events 1 to 6: two of fraud, two of spam, then a promotion and a rollback, each a second later."""
    fraud, spam = await saved_canary(store), await saved_canary(store, "spam")
    await do(store, fraud, Promote(), at(2))
    await do(store, spam, Rollback(), at(3))


# --------------------------------------------------------------------------------------- the timeline


async def test_the_timeline_of_all_is_in_order_of_the_record(store: SqlStore) -> None:
    await two_deployments(store)

    found = await store.timeline()

    assert ids(found) == [1, 2, 3, 4, 5, 6]
    assert [each.event.deployment for each in found] == ["fraud", "fraud", "spam", "spam", "fraud", "spam"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_the_timeline_is_paged_without_gaps_or_repeats(store: SqlStore, *, newest_first: bool) -> None:
    await two_deployments(store)

    pages, after = [], 0
    while page := ids(await store.timeline(after=after, limit=4, newest_first=newest_first)):
        pages += page
        after = page[-1]

    assert pages == sorted(range(1, 7), reverse=newest_first)


async def test_the_timeline_of_some_deployments_is_theirs_alone(store: SqlStore) -> None:
    await two_deployments(store)
    await saved(store, "ham")

    assert ids(await store.timeline(["spam"])) == [3, 4, 6]
    assert ids(await store.timeline(["ham", "spam"], newest_first=True)) == [7, 6, 4, 3]
    assert await store.timeline(["eggs"]) == []


async def test_the_timeline_can_be_read_by_kind(store: SqlStore) -> None:
    await two_deployments(store)

    found = await store.timeline(kinds=["promoted", "rolled_back"])

    assert [str(each.event.kind) for each in found] == ["promoted", "rolled_back"]


async def test_the_timeline_between_two_instants_is_from_one_to_the_other(store: SqlStore) -> None:
    await two_deployments(store)

    assert ids(await store.timeline(since=at(1), until=at(2))) == [2, 4, 5]
    assert ids(await store.events("spam", since=at(1))) == [4, 6]
    assert ids(await store.events("fraud", until=NOW)) == [1]
    assert ids(await store.timeline(since=at(1), after=2, newest_first=False, limit=2)) == [4, 5]


async def test_who_has_seen_an_event_has_missed_none_before_it(store: SqlStore, database_url: str) -> None:
    """Two servers write at once, each with its transaction open for a while after its event has a number."""
    others = [await open_store(database_url) for _ in range(2)]

    async def write(other: SqlStore, name: str) -> None:
        for number in range(8):
            async with other._writing() as connection:
                await other._append(connection, [event(name, number)])
                await asyncio.sleep(0.001 * (number % 3))  # its number is given, and nobody sees it yet

    seen: list[RecordedEvent] = []

    async def follow() -> None:
        while len(seen) < 16:
            seen.extend(await store.timeline(after=seen[-1].id if seen else 0))
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        for other in others:
            stack.push_async_callback(other.close)
        await asyncio.gather(write(others[0], "fraud"), write(others[1], "spam"), follow())

    assert ids(seen) == ids(await store.timeline())
    assert len(set(ids(seen))) == 16


def event(name: str, number: int) -> Event:
    return Event(name, 2, EventKind.HOLDING, at(number), "health-checker")


async def test_an_event_waits_for_the_one_before_it_to_be_seen(store: SqlStore, database_url: str) -> None:
    other = await open_store(database_url)
    async with other._writing() as connection:
        await other._append(connection, [check_event()])
        later = asyncio.create_task(store.record([check_event("spam")]))
        await asyncio.sleep(0.2)
        seen_meanwhile = await store.timeline()

    assert seen_meanwhile == []
    assert ids(await later) > ids(await store.timeline(["fraud"]))
    assert [each.event.deployment for each in await store.timeline()] == ["fraud", "spam"]
    await other.close()


# ----------------------------------------------------------------------------------------- production


async def test_production_is_told_from_the_last_beginning_on(store: SqlStore) -> None:
    state = await saved_canary(store)
    state = await do(store, state, SetWeight(weight=20), at(2))
    await store.record([check_event()])
    state = await do(store, state, SetWeight(weight=40), at(3))

    assert [str(each.event.kind) for each in await store.production_events(at(2))] == [
        "canary_started",
        "traffic_adjusted",
    ]
    was = production(await store.production_events(at(9), "fraud"))
    assert was is not None
    assert (was.baseline, was.canary, was.weight, was.generation) == ("heart@1", "heart@2", 40.0, 4)


async def test_production_is_told_of_every_deployment_that_there_was(store: SqlStore) -> None:
    await two_deployments(store)

    def kinds(found: list[RecordedEvent]) -> list[tuple[str, str]]:
        return [(each.event.deployment, str(each.event.kind)) for each in found]

    assert kinds(await store.production_events(at(-1))) == []
    assert kinds(await store.production_events(at(2))) == [("fraud", "promoted"), ("spam", "canary_started")]
    assert kinds(await store.production_events(at(2), "spam")) == [("spam", "canary_started")]


# ----------------------------------------------------------------------------- a few of many health checks


async def test_the_beginning_of_each_deployment_is_looked_for_once_and_by_the_index(
    store: SqlStore, run_sql: RunSql, kind: str
) -> None:
    """For each event anew, what was in production everywhere would take seconds with as many events as in a year."""
    await two_deployments(store)
    dialect = sqlite.dialect() if kind == "sqlite" else postgresql.dialect()  # type: ignore[no-untyped-call]
    wanted = replayed(NOW, None).compile(dialect=dialect, compile_kwargs={"literal_binds": True})

    plan = await run_sql(f"EXPLAIN {'QUERY PLAN ' if kind == 'sqlite' else ''}{wanted}")

    steps = [str(row[-1]) for row in plan]
    assert any("MATERIALIZE last" in step or "CTE last" in step for step in steps), steps
    if kind == "sqlite":  # PostgreSQL takes no index for a handful of rows
        assert sum("ix_events_deployment_id" in step for step in steps) == 2, steps


async def checked(store: SqlStore, seconds: list[float], rollout: str = "fraud:1") -> list[datetime]:
    for second in seconds:
        await store.save_snapshot(snapshot(rollout, at(second)))
    return [at(second) for second in seconds]


async def test_few_health_checks_are_all_given(store: SqlStore) -> None:
    instants = await checked(store, [0, 1, 2, 900])
    await checked(store, [5], "fraud:2")

    found = await store.sampled_snapshots("fraud:1", 4)

    assert [each.at for each in found] == instants
    assert found[0] == snapshot(when=at(0))
    assert await store.sampled_snapshots("spam:1", 4) == []


async def test_of_many_health_checks_some_are_given_evenly_over_time(store: SqlStore) -> None:
    await checked(store, [number / 4 for number in range(81)])

    found = await store.sampled_snapshots("fraud:1", 5)

    assert [each.at for each in found] == [at(0), at(5), at(10), at(15), at(20)]


async def test_health_checks_that_came_in_a_burst_are_not_given_twice(store: SqlStore) -> None:
    await checked(store, [0, *(100 + number / 100 for number in range(20))])

    found = [each.at for each in await store.sampled_snapshots("fraud:1", 6)]

    assert (found[0], found[-1]) == (at(0), at(100) + timedelta(milliseconds=190))
    assert len(found) == len(set(found)) <= 6


async def test_two_health_checks_are_the_first_and_the_last(store: SqlStore) -> None:
    await checked(store, [0, 1, 2, 3])

    assert [each.at for each in await store.sampled_snapshots("fraud:1", 2)] == [at(0), at(3)]


async def test_a_rollout_is_found_by_its_id(store: SqlStore) -> None:
    state = await saved_canary(store)
    await do(store, await do(store, state, Rollback(), at(2)), start(V2), at(3))

    found = await store.rollout("fraud:1")

    assert found is not None
    assert (found.ended_at, found.id) == (at(2), "fraud:1")
    assert await store.rollout("fraud:3") is None
