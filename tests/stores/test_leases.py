"""Leases, and the fence that the checker's term is to writes, on every database."""

from collections.abc import Awaitable, Callable

import pytest
from tests.stores.samples import NOW, V2, at, check_event, do, report, saved, saved_canary, snapshot, start

from serinus.core.errors import Deposed
from serinus.core.lifecycle import apply
from serinus.core.records import Lease
from serinus.ports import CHECKER
from serinus.stores.sql import SqlStore

LONG_S = 3600.0
OVER_AT_ONCE_S = 0.0


async def test_a_lease_that_nobody_ever_had_is_taken_with_term_one(store: SqlStore) -> None:
    assert await store.hold("checker", "a", LONG_S, NOW) == Lease("checker", "a", 1)


async def test_a_lease_that_another_holds_stays_with_it(store: SqlStore) -> None:
    await store.hold("checker", "a", LONG_S, NOW)

    assert await store.hold("checker", "b", LONG_S, at(1)) == Lease("checker", "a", 1)


async def test_renewing_a_lease_keeps_its_term(store: SqlStore) -> None:
    await store.hold("checker", "a", LONG_S, NOW)

    assert await store.hold("checker", "a", LONG_S, at(1)) == Lease("checker", "a", 1)


async def test_a_renewed_lease_lasts_from_its_renewal_on(store: SqlStore) -> None:
    await store.hold("checker", "a", OVER_AT_ONCE_S, NOW)
    await store.hold("checker", "a", LONG_S, at(1))

    assert (await store.hold("checker", "b", LONG_S, at(2))).holder == "a"


async def test_a_lease_that_ran_out_is_taken_by_another_with_the_next_term(store: SqlStore) -> None:
    await store.hold("checker", "a", OVER_AT_ONCE_S, NOW)

    assert await store.hold("checker", "b", LONG_S, at(1)) == Lease("checker", "b", 2)
    assert await store.hold("checker", "a", LONG_S, at(2)) == Lease("checker", "b", 2)


async def test_a_holder_that_comes_back_too_late_has_a_new_term(store: SqlStore) -> None:
    await store.hold("checker", "a", OVER_AT_ONCE_S, NOW)

    assert await store.hold("checker", "a", LONG_S, at(1)) == Lease("checker", "a", 2)


async def test_a_lease_given_back_can_be_taken_at_once_with_the_next_term(store: SqlStore) -> None:
    await store.hold("checker", "a", LONG_S, NOW)

    await store.release("checker", "a")

    assert await store.hold("checker", "b", LONG_S, NOW) == Lease("checker", "b", 2)


async def test_a_lease_can_be_given_back_by_its_holder_alone(store: SqlStore) -> None:
    await store.hold("checker", "a", LONG_S, NOW)

    await store.release("checker", "b")
    await store.release("board", "a")

    assert await store.hold("checker", "b", LONG_S, NOW) == Lease("checker", "a", 1)


async def test_leases_of_different_names_are_different_leases(store: SqlStore) -> None:
    await store.hold("checker", "a", LONG_S, NOW)

    assert await store.hold("board", "b", LONG_S, NOW) == Lease("board", "b", 1)


# --------------------------------------------------------------------------------------------- fence


async def _save(store: SqlStore, term: int) -> None:
    state = await store.deployment("fraud")
    assert state is not None
    new, events = apply(state, start(V2), NOW)
    await store.save(new, state.generation, events, term=term)


async def _record(store: SqlStore, term: int) -> None:
    await store.record([check_event()], term=term)


async def _save_snapshot(store: SqlStore, term: int) -> None:
    await store.save_snapshot(snapshot(), reports=[report("boot", 5)], term=term)


Write = Callable[[SqlStore, int], Awaitable[None]]
WRITES: list[Write] = [_save, _record, _save_snapshot]


async def written(store: SqlStore) -> tuple[object, ...]:
    return (
        await store.deployments(),
        await store.rollouts("fraud"),
        await store.events("fraud"),
        await store.snapshots("fraud:1"),
        await store.kept_reports("fraud:1"),
    )


@pytest.mark.parametrize("write", WRITES)
async def test_who_holds_the_checkers_lease_can_write_under_its_term(store: SqlStore, write: Write) -> None:
    await saved(store)
    before = await written(store)
    lease = await store.hold(CHECKER, "a", LONG_S, NOW)

    await write(store, lease.term)

    assert await written(store) != before


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_under_a_term_that_is_over_is_refused_and_changes_nothing(store: SqlStore, write: Write) -> None:
    await saved(store)
    before = await written(store)
    lease = await store.hold(CHECKER, "a", OVER_AT_ONCE_S, NOW)
    await store.hold(CHECKER, "b", LONG_S, at(1))

    with pytest.raises(Deposed, match="term 1 is over: it is at term 2") as refused:
        await write(store, lease.term)

    assert refused.value.details == {"expected": 1, "actual": 2}
    assert await written(store) == before


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_under_a_term_that_never_was_is_refused(store: SqlStore, write: Write) -> None:
    await saved(store)
    before = await written(store)

    with pytest.raises(Deposed):
        await write(store, 1)

    assert await written(store) == before


async def test_a_lease_that_ran_out_fences_nobody_until_it_is_taken(store: SqlStore) -> None:
    lease = await store.hold(CHECKER, "a", OVER_AT_ONCE_S, NOW)

    assert len(await store.record([check_event()], term=lease.term)) == 1


async def test_the_term_of_another_lease_is_no_fence(store: SqlStore) -> None:
    await store.hold("board", "a", LONG_S, NOW)

    with pytest.raises(Deposed):
        await store.record([check_event()], term=1)


async def test_people_need_no_term(store: SqlStore) -> None:
    await store.hold(CHECKER, "a", LONG_S, NOW)

    state = await do(store, await saved(store), start(V2))

    assert await store.deployment("fraud") == state


async def test_a_deposed_checker_is_told_so_even_if_the_generation_is_stale_too(store: SqlStore) -> None:
    state = await saved(store)
    new, events = apply(state, start(V2), NOW)
    await saved_canary(store, "spam")

    with pytest.raises(Deposed):
        await store.save(new, 7, events, term=3)
