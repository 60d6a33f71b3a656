"""What every Store promises, whatever database it is on."""

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone
from types import MappingProxyType

import pytest
from sqlalchemy.exc import DBAPIError
from tests.stores.conftest import RunSql
from tests.stores.samples import (
    NOW,
    V1,
    V2,
    at,
    check_event,
    created,
    do,
    draft,
    prediction,
    report,
    saved,
    saved_canary,
    snapshot,
    start,
    write_log,
)

from serinus.core.commands import Promote, Rollback, SetWeight
from serinus.core.deployment import Phase
from serinus.core.errors import AlreadyExists, InvalidInput, StaleGeneration, Unavailable
from serinus.core.events import EventKind
from serinus.core.lifecycle import apply
from serinus.core.names import VersionRef
from serinus.core.records import ModelSummary, ModelVersion
from serinus.stores.sql import SqlStore, open_store

# ------------------------------------------------------------------------------------------ versions


async def test_versions_of_a_model_are_numbered_from_one(store: SqlStore) -> None:
    numbers = [(await store.register(draft(), NOW)).ref for _ in range(3)]

    assert numbers == [V1, V2, VersionRef("heart", 3)]


async def test_each_model_has_numbers_of_its_own(store: SqlStore) -> None:
    await store.register(draft("heart"), NOW)

    assert (await store.register(draft("lung"), NOW)).ref == VersionRef("lung", 1)


async def test_a_version_comes_back_as_it_was_registered(store: SqlStore) -> None:
    registered = await store.register(draft(), NOW)

    assert registered == ModelVersion(V1, draft(), NOW)
    assert await store.version(V1) == registered


async def test_the_kinds_of_values_in_a_draft_survive(store: SqlStore) -> None:
    await store.register(draft(), NOW)

    version = await store.version(V1)

    assert version is not None
    assert [type(c) for c in version.signature.output.classes] == [int, float, bool, str]
    assert [type(v) for v in version.draft.examples[0]] == [float, type(None), str, int]


async def test_a_version_that_is_not_there_is_none(store: SqlStore) -> None:
    await store.register(draft(), NOW)

    assert await store.version(V2) is None
    assert await store.version(VersionRef("lung", 1)) is None


async def test_versions_are_listed_oldest_first(store: SqlStore) -> None:
    versions = [await store.register(draft(), at(number)) for number in range(12)]

    assert await store.versions("heart") == versions
    assert await store.versions("lung") == []


async def test_models_are_listed_by_name_with_their_latest_version(store: SqlStore) -> None:
    await store.register(draft("lung"), at(1))
    await store.register(draft("heart"), at(2))
    await store.register(draft("heart"), at(3))

    assert await store.models() == [
        ModelSummary("heart", 2, V2, at(3)),
        ModelSummary("lung", 1, VersionRef("lung", 1), at(1)),
    ]


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
async def test_a_draft_that_could_not_be_read_back_is_refused(store: SqlStore, metric: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        await store.register(draft(metrics={"auc": metric}), NOW)

    assert await store.models() == []


async def test_a_refused_draft_uses_no_number(store: SqlStore) -> None:
    with pytest.raises(InvalidInput):
        await store.register(draft(metrics={"auc": float("nan")}), NOW)

    assert (await store.register(draft(), NOW)).ref == V1


async def test_registrations_at_once_get_numbers_without_gap(store: SqlStore) -> None:
    versions = await asyncio.gather(*(store.register(draft(), NOW) for _ in range(40)))

    assert sorted(version.ref.version for version in versions) == list(range(1, 41))


# ------------------------------------------------------------------------------ deployments and save


async def test_a_deployment_comes_back_as_it_was_saved(store: SqlStore) -> None:
    state = await saved_canary(store)
    state = await do(store, state, SetWeight(weight=33.33), at(2))
    state = await do(store, state, Promote(reason="good"), at(3))

    assert await store.deployment("fraud") == state


async def test_deployments_are_listed_by_name(store: SqlStore) -> None:
    second, first = await saved(store, "spam"), await saved(store, "fraud")

    assert await store.deployments() == [first, second]


async def test_a_deployment_that_is_not_there_is_none(store: SqlStore) -> None:
    assert await store.deployment("fraud") is None
    assert await store.deployments() == []


@pytest.mark.parametrize("damage", ["state = '{}'", "state = 'garbage'", "generation = 9"])
async def test_a_deployment_that_cannot_be_read_does_not_hide_the_others(
    store: SqlStore, run_sql: RunSql, damage: str
) -> None:
    spam = await saved(store, "spam")
    await saved(store, "fraud")
    await run_sql(f"UPDATE deployments SET {damage} WHERE name = 'fraud'")

    assert await store.deployments() == [spam]
    assert list(store.unreadable()) == ["fraud"]
    assert "row 'fraud' of table 'deployments' cannot be read" in store.unreadable()["fraud"]


async def test_a_deployment_that_can_be_read_again_is_no_longer_unreadable(store: SqlStore, run_sql: RunSql) -> None:
    fraud = await saved(store, "fraud")
    await run_sql("UPDATE deployments SET generation = 9")
    await store.deployments()
    await run_sql("UPDATE deployments SET generation = 1")

    assert await store.deployments() == [fraud]
    assert store.unreadable() == {}


async def test_saving_gives_the_events_with_their_numbers(store: SqlStore) -> None:
    state, events = created()

    recorded = await store.save(state, 0, [*events, check_event()])

    assert [entry.event for entry in recorded] == [*events, check_event()]
    assert await store.events("fraud") == recorded


async def test_saving_puts_each_event_into_the_outbox(store: SqlStore, run_sql: RunSql) -> None:
    await saved_canary(store)

    recorded = await store.events("fraud")

    rows = await run_sql("SELECT event, delivered_at FROM outbox ORDER BY event")
    assert [tuple(row) for row in rows] == [(entry.id, None) for entry in recorded]


async def test_creating_a_deployment_twice_is_refused(store: SqlStore) -> None:
    await saved(store)
    state, events = created()

    with pytest.raises(AlreadyExists, match="'fraud' exists already"):
        await store.save(state, 0, events)

    assert len(await store.events("fraud")) == 1


async def test_a_change_of_an_older_generation_is_refused_and_changes_nothing(store: SqlStore, run_sql: RunSql) -> None:
    first = await saved(store)
    current = await do(store, first, start(V2))
    stale, events = apply(first, start(VersionRef("heart", 3)), NOW)

    with pytest.raises(StaleGeneration, match=r"generation 2, not 1.*[Rr]ead the deployment again") as refused:
        await store.save(stale, 1, events)

    assert refused.value.details == {"expected": 1, "actual": 2}
    assert await store.deployment("fraud") == current
    assert [entry.event.generation for entry in await store.events("fraud")] == [1, 2]
    assert [rollout.canary for rollout in await store.rollouts("fraud")] == [V2]
    assert [tuple(row) for row in await run_sql("SELECT count(*) FROM outbox")] == [(2,)]


async def test_a_change_of_a_deployment_that_is_not_there_is_stale(store: SqlStore) -> None:
    state, _ = created()
    new, events = apply(state, start(V2), NOW)

    with pytest.raises(StaleGeneration) as refused:
        await store.save(new, 1, events)

    assert refused.value.details == {"expected": 1, "actual": 0}


async def test_of_changes_at_once_one_wins(store: SqlStore) -> None:
    state = await saved(store)
    changes = [apply(state, start(VersionRef("heart", number)), NOW) for number in range(2, 12)]

    outcomes = await asyncio.gather(*(store.save(new, 1, events) for new, events in changes), return_exceptions=True)

    assert sum(isinstance(outcome, list) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StaleGeneration) for outcome in outcomes) == 9
    assert len(await store.events("fraud")) == 2


# ------------------------------------------------------------------------------------------ rollouts


async def test_a_rollout_is_kept_up_to_date_with_its_deployment(store: SqlStore) -> None:
    state = await saved_canary(store)
    assert await store.rollouts("fraud") == [state.rollout]

    state = await do(store, state, SetWeight(weight=50.0), at(2))
    assert await store.rollouts("fraud") == [state.rollout]

    state = await do(store, state, Rollback(reason="slow"), at(3))
    (rollout,) = await store.rollouts("fraud")
    assert rollout == state.rollout
    assert (rollout.phase, rollout.ended_at, rollout.reason) == (Phase.ROLLED_BACK, at(3), "slow")


async def test_rollouts_are_listed_newest_first_even_if_begun_at_the_same_instant(store: SqlStore) -> None:
    state = await saved(store)
    for _ in range(11):
        state = await do(store, state, start(V2))
        state = await do(store, state, Rollback())
    await saved_canary(store, "spam")

    ids = [rollout.id for rollout in await store.rollouts("fraud")]

    assert ids == [f"fraud:{number}" for number in range(11, 0, -1)]
    assert [rollout.id for rollout in await store.rollouts("fraud", limit=2)] == ["fraud:11", "fraud:10"]


# -------------------------------------------------------------------------------------------- events


async def test_recorded_events_come_back_and_are_in_the_outbox(store: SqlStore, run_sql: RunSql) -> None:
    recorded = await store.record([check_event(), check_event(kind=EventKind.HEALTH_CHECK_FAILED)])

    assert await store.events("fraud") == recorded
    rows = await run_sql("SELECT event FROM outbox ORDER BY event")
    assert [row[0] for row in rows] == [entry.id for entry in recorded]


async def test_an_event_comes_back_as_it_was_recorded(store: SqlStore) -> None:
    await store.record([check_event()])

    (entry,) = await store.events("fraud")

    assert entry.event == check_event()


async def test_the_facts_of_an_event_may_be_any_mapping(store: SqlStore) -> None:
    await store.record([replace(check_event(), data=MappingProxyType({"requests": 7}))])

    (entry,) = await store.events("fraud")

    assert entry.event.data == {"requests": 7}


async def test_the_numbers_of_events_grow(store: SqlStore) -> None:
    recorded = [*await store.record([check_event()] * 3), *await store.record([check_event("spam")])]

    numbers = [entry.id for entry in recorded]
    assert numbers == sorted(set(numbers))


async def test_recording_no_events_does_nothing(store: SqlStore) -> None:
    assert await store.record([]) == []


async def test_events_are_paged_forward_after_the_last_one_seen(store: SqlStore) -> None:
    recorded = await store.record([check_event()] * 5)

    first = await store.events("fraud", limit=2)
    second = await store.events("fraud", after=first[-1].id, limit=2)
    third = await store.events("fraud", after=second[-1].id, limit=2)

    assert [*first, *second, *third] == recorded
    assert await store.events("fraud", after=third[-1].id) == []


async def test_events_are_paged_back_from_the_newest(store: SqlStore) -> None:
    recorded = await store.record([check_event()] * 5)

    first = await store.events("fraud", newest_first=True, limit=2)
    second = await store.events("fraud", newest_first=True, after=first[-1].id, limit=2)
    third = await store.events("fraud", newest_first=True, after=second[-1].id, limit=2)

    assert [*first, *second, *third] == recorded[::-1]
    assert await store.events("fraud", newest_first=True, after=third[-1].id) == []


async def test_a_reader_who_pages_while_others_write_misses_no_event(store: SqlStore, database_url: str) -> None:
    others = [await open_store(database_url) for _ in range(3)]
    writes = asyncio.gather(*(other.record([check_event()] * 2) for other in others for _ in range(15)))
    seen: list[int] = []
    written = False
    while not written:
        written = writes.done()
        while page := await store.events("fraud", after=seen[-1] if seen else 0, limit=7):
            seen += [entry.id for entry in page]
    for other in others:
        await other.close()

    assert seen == sorted(entry.id for part in await writes for entry in part)


async def test_events_are_those_of_one_deployment(store: SqlStore) -> None:
    await store.record([check_event("fraud"), check_event("spam"), check_event("fraud")])

    assert [entry.event.deployment for entry in await store.events("fraud")] == ["fraud", "fraud"]
    assert await store.events("ham") == []


async def test_events_can_be_limited_to_some_kinds(store: SqlStore) -> None:
    passed, failed, error = (
        check_event(kind=kind)
        for kind in (
            EventKind.HEALTH_CHECK_PASSED,
            EventKind.HEALTH_CHECK_FAILED,
            EventKind.HEALTH_CHECK_ERROR,
        )
    )
    await store.record([passed, failed, error, failed])

    chosen = await store.events("fraud", kinds=["health_check_failed", EventKind.HEALTH_CHECK_ERROR], limit=2)

    assert [entry.event for entry in chosen] == [failed, error]


@pytest.mark.parametrize("change", ["UPDATE events SET actor = 'nobody'", "DELETE FROM events"])
async def test_the_database_refuses_to_change_events(store: SqlStore, run_sql: RunSql, change: str) -> None:
    recorded = await store.record([check_event()])

    with pytest.raises(DBAPIError, match="events are append-only"):
        await run_sql(change)

    assert await store.events("fraud") == recorded


@pytest.mark.parametrize("change", ["UPDATE model_versions SET draft = '{}'", "DELETE FROM model_versions"])
async def test_the_database_refuses_to_change_versions(store: SqlStore, run_sql: RunSql, change: str) -> None:
    registered = await store.register(draft(), NOW)

    with pytest.raises(DBAPIError, match="model versions are immutable"):
        await run_sql(change)

    assert await store.versions("heart") == [registered]


# ----------------------------------------------------------------------------------------- snapshots


@pytest.mark.parametrize("failed", [False, True], ids=["judged", "failed"])
async def test_a_health_check_comes_back_as_it_was(store: SqlStore, *, failed: bool) -> None:
    await store.save_snapshot(snapshot(failed=failed))

    assert await store.snapshots("fraud:1") == [snapshot(failed=failed)]


async def test_health_checks_are_listed_newest_first(store: SqlStore) -> None:
    for seconds in (30, 0, 60):
        await store.save_snapshot(snapshot(when=at(seconds)))
    await store.save_snapshot(snapshot("fraud:2", at(90)))

    assert [check.at for check in await store.snapshots("fraud:1")] == [at(60), at(30), at(0)]
    assert [check.at for check in await store.snapshots("fraud:1", limit=1)] == [at(60)]


async def test_health_checks_since_an_instant_include_it(store: SqlStore) -> None:
    for seconds in (0, 30, 60):
        await store.save_snapshot(snapshot(when=at(seconds)))
    elsewhere = at(30).astimezone(timezone(timedelta(hours=-7)))

    assert [check.at for check in await store.snapshots("fraud:1", since=elsewhere)] == [at(60), at(30)]


async def test_health_checks_until_an_instant_include_it(store: SqlStore) -> None:
    for seconds in (0, 30, 60):
        await store.save_snapshot(snapshot(when=at(seconds)))
    elsewhere = at(30).astimezone(timezone(timedelta(hours=-7)))

    assert [check.at for check in await store.snapshots("fraud:1", until=elsewhere)] == [at(30), at(0)]
    assert await store.snapshots("fraud:1", until=at(-1)) == []


async def test_the_health_check_in_force_at_an_instant_is_the_newest_until_then(store: SqlStore) -> None:
    for seconds in (0, 30, 60):
        await store.save_snapshot(snapshot(when=at(seconds)))
    await store.save_snapshot(snapshot("fraud:2", at(40)))

    assert [check.at for check in await store.snapshots("fraud:1", until=at(59), limit=1)] == [at(30)]


async def test_health_checks_between_two_instants_are_those_from_one_to_the_other(store: SqlStore) -> None:
    for seconds in (0, 30, 60, 90):
        await store.save_snapshot(snapshot(when=at(seconds)))

    between = await store.snapshots("fraud:1", since=at(30), until=at(60))

    assert [check.at for check in between] == [at(60), at(30)]


async def test_the_last_health_check_is_the_newest_of_all_rollouts(store: SqlStore) -> None:
    await store.save_snapshot(snapshot("fraud:1", at(0)))
    await store.save_snapshot(snapshot("fraud:2", at(30)))
    await store.save_snapshot(snapshot("spam:1", at(60)))

    assert await store.last_snapshot("fraud") == snapshot("fraud:2", at(30))
    assert await store.last_snapshot("ham") is None


# ------------------------------------------------------------------------------------------- reports


async def test_the_reports_of_a_health_check_are_kept(store: SqlStore) -> None:
    reports = [report("boot-a", 5), report("boot-b", 7, gateway="host:2")]

    await store.save_snapshot(snapshot(), reports=reports)

    assert await store.kept_reports("fraud:1") == reports


async def test_a_newer_report_of_a_process_takes_the_place_of_the_one_before(store: SqlStore) -> None:
    await store.save_snapshot(snapshot(), reports=[report("boot-a", 5), report("boot-b", 7)])

    await store.save_snapshot(snapshot(when=at(30)), reports=[report("boot-a", 6)])

    assert await store.kept_reports("fraud:1") == [report("boot-a", 6), report("boot-b", 7)]


async def test_a_report_that_is_older_than_the_one_kept_is_passed_over(store: SqlStore) -> None:
    await store.save_snapshot(snapshot(), reports=[report("boot-a", 5)])

    await store.save_snapshot(snapshot(when=at(30)), reports=[report("boot-a", 4)])

    assert await store.kept_reports("fraud:1") == [report("boot-a", 5)]


async def test_a_kept_report_that_cannot_be_read_is_replaced(store: SqlStore, run_sql: RunSql) -> None:
    await store.save_snapshot(snapshot(), reports=[report("boot-a", 5)])
    await run_sql("UPDATE boot_evidence SET evidence = 'garbage'")

    await store.save_snapshot(snapshot(when=at(30)), reports=[report("boot-a", 6)])

    assert await store.kept_reports("fraud:1") == [report("boot-a", 6)]


async def test_reports_are_kept_for_each_rollout(store: SqlStore) -> None:
    second = report("boot-a", 9, rollout="fraud:2")
    await store.save_snapshot(snapshot(), reports=[report("boot-a", 5)])
    await store.save_snapshot(snapshot("fraud:2", at(30)), reports=[second])

    assert await store.kept_reports("fraud:1") == [report("boot-a", 5)]
    assert await store.kept_reports("fraud:2") == [second]
    assert await store.kept_reports("fraud:3") == []


# --------------------------------------------------------------------------------------- predictions


async def test_a_prediction_comes_back_as_it_was_logged(store: SqlStore) -> None:
    full = prediction(1)
    bare = replace(prediction(0), prediction_class=None, confidence=None, error_kind="", forced=False)

    await write_log(store, [bare, full])

    assert await store.predictions("fraud") == [full, bare]


async def test_a_prediction_that_is_there_already_is_passed_over(store: SqlStore) -> None:
    await write_log(store, [prediction(1), prediction(2)])

    again = replace(prediction(2), latency_ms=99.0)
    await write_log(store, [again, prediction(3), prediction(3)])

    assert await store.predictions("fraud") == [prediction(3), prediction(2), prediction(1)]


async def test_appending_no_predictions_does_nothing(store: SqlStore) -> None:
    await write_log(store, [])

    assert await store.predictions("fraud") == []


async def test_predictions_are_listed_newest_first_for_one_deployment(store: SqlStore) -> None:
    await write_log(store, [prediction(2), prediction(1), prediction(3), prediction(4, "spam")])

    assert await store.predictions("fraud", limit=2) == [prediction(3), prediction(2)]


async def test_a_large_batch_of_predictions_is_logged_whole(store: SqlStore) -> None:
    await write_log(store, [prediction(number) for number in range(5000)])

    assert len(await store.predictions("fraud", limit=10_000)) == 5000


# --------------------------------------------------------------------------------- times, life cycle


async def test_times_come_back_with_their_time_zone_and_microseconds(store: SqlStore) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await store.register(draft(), elsewhere)
    await write_log(store, [prediction(1, when=elsewhere)])

    version = await store.version(V1)
    (logged,) = await store.predictions("fraud")

    assert version is not None
    assert version.created_at == logged.at == NOW
    assert version.created_at.utcoffset() == logged.at.utcoffset() == timedelta(0)


async def test_a_time_without_time_zone_is_refused(store: SqlStore) -> None:
    with pytest.raises(Exception, match="has no time zone"):
        await store.register(draft(), NOW.replace(tzinfo=None))

    assert await store.models() == []


async def test_a_store_opened_again_has_everything(store: SqlStore, database_url: str) -> None:
    version = await store.register(draft(), NOW)
    state = await saved_canary(store)
    await store.save_snapshot(snapshot())
    await write_log(store, [prediction(1)])
    events = await store.events("fraud")
    await store.close()

    again = await open_store(database_url)
    found = (
        await again.versions("heart"),
        await again.deployments(),
        await again.rollouts("fraud"),
        await again.events("fraud"),
        await again.last_snapshot("fraud"),
        await again.predictions("fraud"),
    )
    await again.close()

    assert found == ([version], [state], [state.rollout], events, snapshot(), [prediction(1)])


async def test_a_store_that_is_open_answers_a_ping(store: SqlStore) -> None:
    await store.ping()


async def test_a_closed_store_is_unavailable(store: SqlStore) -> None:
    await store.close()

    for call in (store.ping(), store.models(), store.register(draft(), NOW)):
        with pytest.raises(Unavailable, match="closed"):
            await call


async def test_closing_twice_does_nothing_more(store: SqlStore) -> None:
    await store.close()
    await store.close()


async def test_closing_lets_what_is_under_way_come_to_its_end(store: SqlStore) -> None:
    registrations = [asyncio.ensure_future(store.register(draft(), NOW)) for _ in range(5)]
    await asyncio.sleep(0)

    await store.close()

    versions = await asyncio.gather(*registrations)
    assert sorted(version.ref.version for version in versions) == [1, 2, 3, 4, 5]


async def test_a_call_that_is_cancelled_leaves_all_or_nothing_and_a_store_that_works(store: SqlStore) -> None:
    state = await saved(store)
    for turns in range(0, 60, 2):
        new, events = apply(state, start(V2) if state.active is None else Rollback(), NOW)
        task = asyncio.ensure_future(store.save(new, state.generation, events))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found = await store.deployment("fraud")
        assert found in (state, new)
        state = found

    assert [entry.event.generation for entry in await store.events("fraud")] == list(range(1, state.generation + 1))
