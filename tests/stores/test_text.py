"""Text that no database can hold is kept as it can be shown, on every database."""

from dataclasses import replace

from tests.stores.samples import NOW, ONCE, V2, check_event, do, prediction, saved, snapshot, start, write_log

from serinus.core.commands import Rollback
from serinus.core.lifecycle import apply
from serinus.stores.sql import SqlStore

STRANGE = "a\0b\ud800c é \N{SMILING FACE WITH SUNGLASSES}"
SHOWN = r"a\x00b\ud800c é " + "\N{SMILING FACE WITH SUNGLASSES}"


async def test_the_actor_and_the_reason_of_an_event_may_hold_any_character(store: SqlStore) -> None:
    event = replace(check_event(), actor=STRANGE, reason=STRANGE, data={STRANGE: [STRANGE]})

    await store.record([event])

    (entry,) = await store.events("fraud")
    assert (entry.event.actor, entry.event.reason, entry.event.data) == (SHOWN, SHOWN, {SHOWN: [SHOWN]})


async def test_the_reason_of_a_rollback_is_the_same_wherever_it_is_read(store: SqlStore) -> None:
    state = await saved(store)
    state = await do(store, state, start(V2))
    new, events = apply(state, Rollback(reason=STRANGE), NOW)

    await store.save(new, state.generation, events, once=ONCE)

    found, (rollout,), outcome = (
        await store.deployment("fraud"),
        await store.rollouts("fraud"),
        await store.outcome("key-1"),
    )
    assert found is not None
    assert found.rollout == rollout
    assert outcome is not None
    assert outcome.state == found
    assert rollout.reason == outcome.events[0].event.reason == SHOWN


async def test_the_reason_of_a_health_check_may_hold_any_character(store: SqlStore) -> None:
    await store.save_snapshot(replace(snapshot(failed=True), reason=STRANGE))

    assert await store.snapshots("fraud:1") == [replace(snapshot(failed=True), reason=SHOWN)]


async def test_what_a_model_says_may_hold_any_character(store: SqlStore) -> None:
    await write_log(store, [replace(prediction(1), prediction_class=STRANGE, error_kind=STRANGE)])

    assert await store.predictions("fraud") == [replace(prediction(1), prediction_class=SHOWN, error_kind=SHOWN)]


async def test_the_holder_of_a_lease_may_have_any_name(store: SqlStore) -> None:
    assert (await store.hold("checker", STRANGE, 60, NOW)).term == 1
    assert (await store.hold("checker", STRANGE, 60, NOW)).term == 1


async def test_a_name_that_cannot_be_is_not_found(store: SqlStore) -> None:
    assert await store.deployment(STRANGE) is None
    assert await store.versions(STRANGE) == []
    assert await store.events(STRANGE) == []
    assert await store.outcome(STRANGE) is None
