"""The board is made to agree with the store, and what is on the board alone is put on record."""

import asyncio
from datetime import timedelta

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, V3, World

from serinus.core.commands import Promote, Rollback, SetWeight
from serinus.core.deployment import Phase
from serinus.core.errors import Unavailable
from serinus.core.events import EventKind
from serinus.core.routing import Cut, Split, split_of
from serinus.engine import Done
from serinus.engine.cuts import RECORD_AFTER_S, Cuts

ADA = Rollback(actor="ada")


async def cut_unrecorded(world: World, name: str = NAME) -> Done:
    """Roll back by ada while the store is gone."""
    world.store.goes_down()
    done = await world.do(ADA, name)
    world.store.mended()
    return done


# --------------------------------------------------------------------------------------- the board


@pytest.mark.parametrize(
    "raw",
    [None, "garbled", {"weight": "much"}, Split(NAME, 1, "", 0, 0.0).encoded()],
    ids=["deleted", "text", "malformed", "older"],
)
async def test_a_board_that_disagrees_is_repaired(world: World, raw: object) -> None:
    state = await world.rolling()
    world.board.put(NAME, raw)

    repaired = await world.engine.reconcile()

    assert repaired == [NAME]
    assert await world.board.split(NAME) == split_of(state).encoded()


async def test_a_newer_split_on_the_board_is_left_alone(world: World) -> None:
    await world.rolling()
    newer = Split(NAME, 99, f"{NAME}:9", 3, 12.0).encoded()
    world.board.put(NAME, newer)

    assert await world.engine.reconcile() == []
    assert await world.board.split(NAME) == newer


async def test_a_board_that_agrees_is_left_alone(world: World) -> None:
    await world.rolling()
    published = world.shaky_board.calls["publish"]

    assert await world.engine.reconcile() == []
    assert world.shaky_board.calls["publish"] == published


async def test_a_publication_that_failed_is_made_good(world: World) -> None:
    await world.rolling()
    world.shaky_board.fails["publish"] = Unavailable("gone")
    done = await world.do(SetWeight(weight=5.0))
    world.shaky_board.mended()

    assert done.unpublished == "gone"
    assert done.warnings == (
        "The change is on record; until the board is back, gateways give the canary no traffic. gone",
    )
    assert await world.engine.reconcile() == [NAME]
    assert await world.board.split(NAME) == split_of(await world.engine.deployment(NAME)).encoded()


async def test_one_deployment_that_cannot_be_published_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rolling()
    await world.deploy("other")
    for name in (NAME, "other"):
        world.board.put(name, None)
    real = world.board.publish

    async def fails(split: Split, **_: str) -> bool:
        if split.deployment == NAME:
            raise RuntimeError("a defect")
        return await real(split)

    monkeypatch.setattr(world.board, "publish", fails)
    with pytest.raises(RuntimeError, match="a defect"):
        await world.engine.reconcile()

    assert await world.board.split("other") is not None


async def test_what_was_last_seen_is_what_there_is_to_go_by(world: World) -> None:
    state = await world.rolling()
    other = world.beside()
    await other.engine.reconcile()
    other.store.goes_down()
    await world.do(SetWeight(weight=5.0))
    with pytest.raises(Unavailable):
        await other.engine.reconcile()
    before = other.engine.record.last_seen()
    other.store.mended()
    await other.engine.reconcile()

    assert before == [state]
    assert other.engine.record.last_seen() == [await world.engine.deployment(NAME)]


async def test_a_state_that_is_older_than_what_was_seen_changes_nothing(world: World) -> None:
    await world.rolling()
    gate = world.store.late["deployments"] = asyncio.Event()
    reconciling = asyncio.ensure_future(world.engine.reconcile())
    await until(lambda: world.store.held)
    done = await world.do(SetWeight(weight=5.0))
    gate.set()
    await reconciling

    assert world.engine.record.last_seen() == [done.state]
    assert await world.share() == 5.0


# --------------------------------------------------------------------------------------------- cuts


async def test_a_board_and_a_store_that_agree_about_a_cut_are_left_alone(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)

    assert await world.engine.reconcile() == []
    assert (await world.rollout()).phase is Phase.RUNNING, "whoever made it has some time to record it"


async def test_a_cut_is_recorded_when_its_time_has_come_and_not_before(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    phases = []
    for _ in range(3):
        world.clock.advance(RECORD_AFTER_S / 2)
        await world.engine.reconcile()
        phases.append((await world.rollout()).phase)

    assert phases == [Phase.RUNNING, Phase.ROLLED_BACK, Phase.ROLLED_BACK]
    assert await world.board.split(NAME) == split_of(await world.engine.deployment(NAME)).encoded()
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]


async def test_without_the_board_cuts_that_are_known_are_recorded(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    world.clock.advance(60.0)
    world.shaky_board.goes_down()

    with pytest.raises(Unavailable, match="MemoryBoard is gone"):
        await world.engine.reconcile()

    assert [(event.kind, event.at) for event in await world.since_start()] == [(EventKind.ROLLED_BACK, NOW)]
    world.shaky_board.mended()
    assert await world.engine.reconcile() == [NAME]
    assert await world.cut() is None


async def test_without_the_store_nothing_is_recorded_and_everything_when_it_is_back(world: World) -> None:
    await world.rolling()
    await world.deploy("other")
    await world.start(name="other")
    for name in (NAME, "other"):
        await cut_unrecorded(world, name)
    world.clock.advance(60.0)
    world.store.goes_down()
    with pytest.raises(Unavailable):
        await world.engine.reconcile()

    world.store.mended()
    await world.engine.reconcile()

    assert [state.status for state in await world.real_store.deployments()] == ["stable", "stable"]


async def test_without_both_nothing_happens(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    world.clock.advance(60.0)
    world.store.goes_down()
    world.shaky_board.goes_down()

    with pytest.raises(Unavailable):
        await world.engine.reconcile()

    assert await world.share() == 0.0


async def test_a_cut_that_cannot_be_recorded_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.rolling()
    await world.deploy("other")
    await world.start(name="other")
    for name in (NAME, "other"):
        await cut_unrecorded(world, name)
    world.clock.advance(60.0)
    real = world.real_store.save

    async def fails(new: object, *args: object, **more: object) -> object:
        if getattr(new, "name", "") == NAME:
            raise RuntimeError("a defect")
        return await real(new, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.real_store, "save", fails)
    with pytest.raises(RuntimeError, match="a defect"):
        await world.engine.reconcile()

    assert [state.status for state in await world.real_store.deployments()] == ["canary", "stable"]


async def test_a_cut_of_a_rollout_that_was_promoted_changes_nothing_on_record(world: World) -> None:
    await world.rolling()
    world.shaky_board.fails["publish"] = Unavailable("gone")
    done = await world.do(Promote())
    world.shaky_board.mended()
    await world.board.cut(NAME, Cut(NOW.isoformat(), "ada"))
    world.clock.advance(60.0)

    for _ in range(2):
        await world.engine.reconcile()
        world.clock.advance(60.0)

    assert await world.real_store.deployment(NAME) == done.state
    assert await world.board.split(NAME) == split_of(done.state).encoded()


async def test_the_cut_of_an_ended_rollout_is_forgotten(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    world.clock.advance(60.0)
    await world.engine.reconcile()
    await world.start(30.0, canary=V3)

    await world.engine.reconcile()

    assert world.engine.record._cuts._known == {}
    assert await world.share() == 30.0


async def test_a_malformed_cut_on_the_board_is_none(world: World) -> None:
    state = await world.rolling()
    world.board.put(NAME, {**split_of(state).encoded(), "cut": {"at": "yesterday"}})

    assert await world.engine.reconcile() == [NAME]
    assert (await world.share(), await world.since_start()) == (50.0, [])


async def test_a_cut_without_a_rollout_is_none(world: World) -> None:
    await world.register()
    state = await world.deploy()
    cuts = Cuts(world.board, world.clock)

    cuts.see({NAME: Split(NAME, 1, cut=Cut(NOW.isoformat(), "ada")).encoded()})

    assert cuts.of(state) is None


async def test_an_older_cut_does_not_hide_a_newer_one(world: World) -> None:
    state = await world.rolling()
    cuts = Cuts(world.board, world.clock)
    older = Split(NAME, 2, f"{NAME}:0", 1, 50.0, cut=Cut(NOW.isoformat(), "ben"))
    newer = Split(NAME, 2, f"{NAME}:1", 1, 50.0, cut=Cut(NOW.isoformat(), "ada"))

    cuts.see({NAME: newer.encoded()})
    cuts.see({NAME: older.encoded()})

    assert cuts.of(state) == newer.cut


async def test_a_cut_that_is_seen_again_is_due_from_when_it_was_first_seen(world: World) -> None:
    cuts = Cuts(world.board, world.clock)
    split = Split(NAME, 2, f"{NAME}:1", 1, 50.0, cut=Cut(NOW.isoformat(), "ada")).encoded()
    due = []
    for _ in range(3):
        cuts.see({NAME: split})
        due.append(cuts.is_due(f"{NAME}:1"))
        world.clock.seconds += RECORD_AFTER_S / 2
        world.clock.at -= timedelta(days=1)  # the wall clock says nothing

    assert due == [False, False, True]
    assert not cuts.is_due(f"{NAME}:2")


# ------------------------------------------------------------------------------ since when it is so


async def test_a_rollout_is_as_it_is_since_it_started_or_was_seen_to_change(world: World) -> None:
    started = await world.rolling()
    world.clock.advance(60.0)
    first = world.engine.record.changed_at(started)
    changed = (await world.do(SetWeight(weight=5.0))).state
    at_change = world.engine.record.changed_at(changed)
    world.clock.advance(60.0)
    ended = (await world.do(Rollback())).state

    assert (first, at_change) == (NOW, NOW + timedelta(seconds=60))
    assert world.engine.record.changed_at(changed) == at_change
    assert world.engine.record.changed_at(ended) is None
