"""What is old can be removed, and nothing else is, on every database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

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

from serinus.core.commands import Rollback
from serinus.core.records import Pruned
from serinus.stores.pruning import BATCH
from serinus.stores.sql import SqlStore

DAY = timedelta(days=1)
MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC)


async def test_predictions_older_than_an_instant_are_removed_and_counted(store: SqlStore) -> None:
    times = [MIDNIGHT - DAY, MIDNIGHT, MIDNIGHT + DAY / 2, MIDNIGHT + DAY, MIDNIGHT + 3 * DAY]
    log = [prediction(number, when=when) for number, when in enumerate(times)]
    await write_log(store, log)

    pruned = await store.prune(MIDNIGHT + DAY / 2)

    assert pruned == Pruned(predictions=2)
    assert await store.predictions("fraud") == log[:1:-1]


async def test_a_prediction_of_the_very_instant_stays(store: SqlStore) -> None:
    await write_log(store, [prediction(1, when=MIDNIGHT)])

    assert await store.prune(MIDNIGHT) == Pruned()
    assert await store.prune(MIDNIGHT + timedelta(microseconds=1)) == Pruned(predictions=1)


async def test_any_number_of_predictions_is_removed(store: SqlStore) -> None:
    old, new = NOW - timedelta(seconds=1), [prediction(number, when=NOW) for number in range(5)]
    await write_log(store, [prediction(number, when=old) for number in range(10, BATCH + 11)])
    await write_log(store, new)
    await write_log(store, [prediction(9, when=old)])

    assert await store.prune(NOW) == Pruned(predictions=BATCH + 2)
    assert await store.predictions("fraud") == new[::-1]


async def test_a_prediction_that_arrives_after_its_day_was_removed_is_kept(store: SqlStore) -> None:
    await write_log(store, [prediction(1, when=MIDNIGHT)])
    await store.prune(MIDNIGHT + 5 * DAY)

    await write_log(store, [prediction(2, when=MIDNIGHT)])

    assert await store.predictions("fraud") == [prediction(2, when=MIDNIGHT)]


async def test_health_checks_of_a_rollout_under_way_stay(store: SqlStore) -> None:
    await saved_canary(store)
    await store.save_snapshot(snapshot("fraud:1", at(0)))

    assert await store.prune(at(3600)) == Pruned()
    assert await store.snapshots("fraud:1") == [snapshot("fraud:1", at(0))]


async def test_old_health_checks_of_an_ended_rollout_are_removed_and_counted(store: SqlStore) -> None:
    state = await saved_canary(store)
    for seconds in (0, 30, 60):
        await store.save_snapshot(snapshot("fraud:1", at(seconds)), reports=[report("boot", 5)])
    await do(store, state, Rollback(), at(90))

    assert await store.prune(at(60)) == Pruned(snapshots=2)
    assert await store.snapshots("fraud:1") == [snapshot("fraud:1", at(60))]
    assert await store.kept_reports("fraud:1") == [report("boot", 5)]


async def test_outcomes_are_removed_when_they_are_older_than_the_instant_and_than_a_day(store: SqlStore) -> None:
    today = datetime.now(UTC)
    for number, when in enumerate([NOW, NOW + DAY, today]):
        await store.register(draft(), when, once=replace(ONCE, key=f"key-{number}"))

    assert await store.prune(NOW + DAY / 2) == Pruned(outcomes=1)
    assert await store.prune(today + DAY) == Pruned(outcomes=1)
    assert [await store.outcome(f"key-{number}") is None for number in range(3)] == [True, True, False]


async def test_events_and_versions_are_never_removed(store: SqlStore) -> None:
    await store.register(draft(), NOW)
    recorded = await store.record([check_event()])

    assert await store.prune(NOW + 10_000 * DAY) == Pruned()
    assert await store.events("fraud") == recorded
    assert len(await store.versions("heart")) == 1
