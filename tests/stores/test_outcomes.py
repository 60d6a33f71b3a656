"""Commands that are given a key happen once, on every database."""

import asyncio

import pytest
from tests.stores.samples import NOW, ONCE, V1, V2, created, draft, saved, start

from serinus.core.errors import InvalidInput, KeyReused, StaleGeneration
from serinus.core.lifecycle import apply
from serinus.core.records import Once, Outcome
from serinus.stores.sql import SqlStore


async def test_a_key_that_was_never_used_has_no_outcome(store: SqlStore) -> None:
    assert await store.outcome("key-1") is None


async def test_the_outcome_of_a_registration_is_its_version(store: SqlStore) -> None:
    await store.register(draft(), NOW, once=ONCE)

    assert await store.outcome("key-1") == Outcome("what was asked", version=V1)


async def test_the_outcome_of_a_change_is_the_new_state_and_the_events_with_their_numbers(store: SqlStore) -> None:
    state = await saved(store)
    new, events = apply(state, start(V2), NOW)

    recorded = await store.save(new, state.generation, events, once=ONCE)

    assert await store.outcome("key-1") == Outcome("what was asked", new, tuple(recorded))


async def test_a_version_is_registered_once_under_a_key(store: SqlStore) -> None:
    await store.register(draft(), NOW, once=ONCE)

    with pytest.raises(KeyReused, match="'key-1' has been used before"):
        await store.register(draft(), NOW, once=ONCE)

    assert [version.ref for version in await store.versions("heart")] == [V1]
    assert (await store.register(draft(), NOW)).ref == V2


async def test_a_change_is_made_once_under_a_key(store: SqlStore) -> None:
    state = await saved(store)
    new, events = apply(state, start(V2), NOW)
    await store.save(new, state.generation, events, once=ONCE)
    before = await store.events("fraud")

    with pytest.raises(KeyReused):
        await store.save(new, state.generation, events, once=ONCE)

    assert await store.events("fraud") == before
    assert await store.deployment("fraud") == new


async def test_a_key_is_used_up_whatever_it_was_used_for(store: SqlStore) -> None:
    await store.register(draft(), NOW, once=ONCE)
    state, events = created()

    with pytest.raises(KeyReused):
        await store.save(state, 0, events, once=Once("key-1", "something else"))

    assert await store.deployments() == []
    assert await store.outcome("key-1") == Outcome("what was asked", version=V1)


async def test_a_command_that_failed_leaves_its_key_unused(store: SqlStore) -> None:
    state = await saved(store)
    new, events = apply(state, start(V2), NOW)

    with pytest.raises(StaleGeneration):
        await store.save(new, 7, events, once=ONCE)
    with pytest.raises(InvalidInput):
        await store.register(draft(metrics={"auc": float("nan")}), NOW, once=ONCE)

    assert await store.outcome("key-1") is None
    await store.save(new, 1, events, once=ONCE)


async def test_of_commands_at_once_under_one_key_one_happens(store: SqlStore) -> None:
    outcomes = await asyncio.gather(
        *(store.register(draft(), NOW, once=ONCE) for _ in range(10)), return_exceptions=True
    )

    assert sum(isinstance(outcome, KeyReused) for outcome in outcomes) == 9
    assert [version.ref for version in await store.versions("heart")] == [V1]


async def test_commands_under_different_keys_all_happen(store: SqlStore) -> None:
    versions = await asyncio.gather(
        *(store.register(draft(), NOW, once=Once(f"key-{number}", "")) for number in range(10))
    )

    outcomes = [await store.outcome(f"key-{number}") for number in range(10)]
    assert [outcome.version for outcome in outcomes if outcome] == [version.ref for version in versions]
