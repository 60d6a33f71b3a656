"""How far the sequential test of a rollout has come, and the looks it took, on every database."""

from dataclasses import replace

import pytest
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, V1, V2, at, report, saved_canary, snapshot

from serinus.core.assess import assess
from serinus.core.deployment import Phase, Rollout
from serinus.core.errors import Deposed, PlatformError
from serinus.core.evidence import Counts, Key
from serinus.core.looks import Look, first, replayed, taken_in
from serinus.core.looks import Tested as HowFar
from serinus.core.policy import SIGNAL, SequentialPolicy
from serinus.core.records import HealthSnapshot
from serinus.core.routing import Role
from serinus.ports import CHECKER
from serinus.stores.sql import SqlStore, open_store

ROLLOUT = "fraud:1"
POLICY = SequentialPolicy(error_margin=0.1 + 0.2, p95_tolerance_ms=7, bake_s=5, p95_role=SIGNAL)


def state(rollout: str = ROLLOUT) -> Rollout:
    return Rollout(rollout, V2, V1, 20.0, Phase.RUNNING, 1, NOW, weights=(20.0,))


def counts(requests: int, failed: int = 0) -> Counts:
    return Counts(requests, failed, 0, 1, 2, {153: requests // 2, 154: requests - requests // 2}, 0.1 * requests)


def looked(number: int, before: HowFar | None = None, rollout: str = ROLLOUT) -> tuple[HowFar, HealthSnapshot]:
    """Take the look of a second, and give how far the test has come and the check that is kept."""
    history = Counts(300, 7, latency={150: 293, 672: 7})
    totals = {
        Key(rollout, "heart@1", 1, Role.BASELINE): counts(400 * number, number),
        Key(rollout, "heart@2", 1, Role.CANARY): counts(100 * number, 3 * number),
    }
    tested, look = taken_in(before or first(state(rollout), POLICY, history), state(rollout), totals, at(number))
    verdict = tested.verdict
    deployment = rollout.partition(":")[0]
    return tested, HealthSnapshot(deployment, rollout, at(number), verdict, verdict.reason, "", {}, look)


def several(count: int, rollout: str = ROLLOUT) -> list[tuple[HowFar, HealthSnapshot]]:
    taken: list[tuple[HowFar, HealthSnapshot]] = []
    for number in range(1, count + 1):
        taken.append(looked(number, taken[-1][0] if taken else None, rollout))
    return taken


async def looks(store: SqlStore, **which: int) -> list[HealthSnapshot]:
    return [each for _, each in await store.looks(ROLLOUT, **which)]


async def test_without_a_test_there_is_none(store: SqlStore) -> None:
    assert await store.tested(ROLLOUT) is None
    assert await store.looks(ROLLOUT) == []


async def test_a_test_comes_back_to_the_last_bit(store: SqlStore) -> None:
    tested, check = looked(1)
    await store.save_snapshot(check, tested=tested)

    found = await store.tested(ROLLOUT)

    assert found == tested
    assert found.verdict == tested.verdict
    assert found.test.begun_anew() == tested.test.begun_anew()


async def test_a_test_begun_anew_comes_back_with_what_it_began_with(store: SqlStore) -> None:
    tested, check = looked(1)
    anew = replace(tested, begun=tested.seen, test=tested.test.begun_anew(), split_version=7)
    await store.save_snapshot(check, tested=anew)

    assert await store.tested(ROLLOUT) == anew


async def test_a_later_test_takes_the_place_of_an_earlier_one(store: SqlStore, run_sql: RunSql) -> None:
    for tested, check in several(3):
        await store.save_snapshot(check, tested=tested)

    assert await store.tested(ROLLOUT) == several(3)[-1][0]
    assert [tuple(row) for row in await run_sql("SELECT count(*) FROM sequential_tests")] == [(1,)]


async def test_each_rollout_has_a_test_of_its_own(store: SqlStore) -> None:
    (here, check), (there, other_check) = looked(1), looked(2, rollout="fraud:2")
    await store.save_snapshot(check, tested=here)
    await store.save_snapshot(other_check, tested=there)

    assert (await store.tested("fraud:1"), await store.tested("fraud:2")) == (here, there)
    assert await looks(store) == [check]


async def test_a_check_without_a_test_leaves_it_as_it_was(store: SqlStore) -> None:
    tested, check = looked(1)
    await store.save_snapshot(check, tested=tested)

    await store.save_snapshot(snapshot(when=at(9)), reports=[report("boot", 3)])

    assert await store.tested(ROLLOUT) == tested


async def test_looks_come_back_oldest_first_as_they_were_taken(store: SqlStore) -> None:
    taken = several(4)
    for tested, check in taken:
        await store.save_snapshot(check, tested=tested)

    assert await looks(store) == [check for _, check in taken]


async def test_a_check_that_took_in_nothing_for_a_test_is_no_look(store: SqlStore) -> None:
    tested, check = looked(1)
    await store.save_snapshot(snapshot(when=at(0)))
    await store.save_snapshot(check, tested=tested)
    await store.save_snapshot(snapshot(when=at(2), failed=True))

    assert await looks(store) == [check]
    assert len(await store.snapshots(ROLLOUT)) == 3


async def test_an_empty_look_is_a_look(store: SqlStore) -> None:
    _, check = looked(1)
    empty = replace(check, look=Look(10.0, changed=True, slices=()))
    await store.save_snapshot(empty)

    assert await looks(store) == [empty]


async def test_looks_are_read_on_from_a_number(store: SqlStore) -> None:
    taken = several(5)
    for tested, check in taken:
        await store.save_snapshot(check, tested=tested)

    page = await store.looks(ROLLOUT, limit=2)
    rest = await store.looks(ROLLOUT, after=page[-1][0])

    assert [check for _, check in page + rest] == [check for _, check in taken]
    numbers = [number for number, _ in page + rest]
    assert numbers == sorted(set(numbers))


async def test_what_is_on_record_is_judged_again_to_the_same_verdicts(store: SqlStore) -> None:
    for tested, check in several(6):
        await store.save_snapshot(check, tested=tested)

    found = await looks(store)
    again = replayed([check.look for check in found if check.look], [POLICY] * 6)

    assert [judged.verdict for judged in again] == [check.verdict for check in found]


async def test_a_verdict_with_its_metrics_and_alarms_comes_back(store: SqlStore) -> None:
    tested, check = looked(1)
    lost = tested.test.guard.after(0.5, 0, 1000)
    verdict = assess(POLICY, replace(tested.test, guard=lost), tested.baseline, tested.canary)
    await store.save_snapshot(replace(check, verdict=verdict))

    (found,) = await looks(store)

    assert found.verdict == verdict
    assert found.verdict.alarms
    assert len(found.verdict.metrics) == 2


async def test_of_a_checker_that_was_deposed_nothing_is_kept(store: SqlStore) -> None:
    (tested, check), (later, later_check) = several(2)
    old = await store.hold(CHECKER, "one", 1.0, NOW)
    await store.save_snapshot(check, tested=tested, term=old.term)
    await store.release(CHECKER, "one")
    await store.hold(CHECKER, "other", 60.0, NOW)

    with pytest.raises(Deposed):
        await store.save_snapshot(later_check, tested=later, term=old.term)

    assert await store.tested(ROLLOUT) == tested
    assert await looks(store) == [check]


async def test_a_test_is_there_for_the_next_who_opens_the_database(store: SqlStore, database_url: str) -> None:
    tested, check = looked(1)
    await store.save_snapshot(check, tested=tested)
    other = await open_store(database_url)
    try:
        assert await other.tested(ROLLOUT) == tested
    finally:
        await other.close()


@pytest.mark.parametrize(
    "damage", ["state = '{}'", "state = '{\"version\": 2}'", "seen = 'garbage'", "policy = 'garbage'"]
)
async def test_a_test_that_cannot_be_read_is_told_of(store: SqlStore, run_sql: RunSql, damage: str) -> None:
    tested, check = looked(1)
    await store.save_snapshot(check, tested=tested)
    await run_sql(f"UPDATE sequential_tests SET {damage}")

    with pytest.raises(PlatformError, match="row 'fraud:1' of table 'sequential_tests' cannot be read"):
        await store.tested(ROLLOUT)


async def test_pruning_leaves_the_looks_of_a_rollout_that_goes_on(store: SqlStore) -> None:
    await saved_canary(store)
    tested, check = looked(1)
    await store.save_snapshot(check, tested=tested)

    await store.prune(at(3600))

    assert await looks(store) == [check]
    assert await store.tested(ROLLOUT) == tested
