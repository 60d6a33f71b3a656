"""A rollback that was answered before it is on record is kept, whatever was being written meanwhile."""

import asyncio
from collections.abc import Callable

import pytest
from tests.service_layer.doubles import until
from tests.service_layer.world import NAME, V1, V2, V3, World

from serinus.core.commands import Promote, Rollback, SetWeight, StartCanary
from serinus.core.errors import NotAllowed, Unavailable
from serinus.core.events import EventKind
from serinus.core.records import Once
from serinus.core.routing import Role, Split
from serinus.engine import Done, Given

ADA, BEN = Rollback(actor="ada", reason="seen enough"), Promote(actor="ben")


async def promoting(world: World, other: World) -> asyncio.Task[Done]:
    """Begin a promotion in another process, and hold up the database with it."""
    gate = asyncio.Event()
    for each in {id(world): world, id(other): other}.values():
        each.store.gates["save"] = gate
    task = asyncio.ensure_future(other.do(BEN))
    await until(lambda: other.store.held)
    return task


def up(world: World) -> Split:
    """Give the split on the board."""
    split = Split.decoded(world.board._splits[NAME])
    assert split is not None
    return split


async def goes_on(*worlds: World) -> None:
    """Let the database go on, and reconcile until nobody has anything to record."""
    for world in worlds:
        world.store.mended()
    await until(lambda: not any(world.engine._rollbacks._recordings for world in worlds))
    for world in worlds:
        world.clock.advance(60.0)
        await world.engine.reconcile()
        await world.caught_up()


@pytest.mark.parametrize("same", [True, False], ids=["same-process", "another-process"])
async def test_a_promotion_that_was_being_written_gives_way_to_a_rollback_that_was_answered(
    world: World, grow_impatient: Callable[[], None], *, same: bool
) -> None:
    await world.rolling(100.0)
    await world.gateway.start()
    other = world if same else world.beside()
    late = await promoting(world, other)
    grow_impatient()

    answered = await world.do(ADA)
    await goes_on(world, other)

    assert answered.unrecorded
    state = await world.engine.deployment(NAME)
    assert (state.status, state.baseline) == ("stable", V1)
    assert (await world.ask(Role.CANARY)).model_version == str(V1)
    with pytest.raises(NotAllowed, match="was rolled back while its promotion was being written"):
        await late
    promoted, undone = await world.since_start()
    assert (promoted.kind, promoted.actor) == (EventKind.PROMOTED, "ben")
    assert (undone.kind, undone.actor, undone.reason) == (EventKind.PROMOTION_UNDONE, "ada", "seen enough")


async def test_a_promotion_that_was_saved_by_a_process_that_died_is_undone_by_another(world: World) -> None:
    await world.rolling(100.0)
    other, third = world.beside(), world.beside()
    other.shaky_board.fails["publish"] = Unavailable("killed before it could")
    world.store.goes_down()
    await other.do(BEN)
    answered = await world.do(ADA)

    await third.engine.reconcile()

    assert answered.unrecorded
    state = await third.engine.deployment(NAME)
    assert (state.status, state.baseline) == ("stable", V1)
    assert (await third.share(), up(world).baseline) == (0.0, str(V1))


async def test_the_next_command_finds_such_a_promotion_undone(world: World) -> None:
    await world.rolling(100.0)
    other, third = world.beside(), world.beside()
    other.shaky_board.fails["publish"] = Unavailable("killed before it could")
    world.store.goes_down()
    await other.do(BEN)
    await world.do(ADA)

    await third.do(StartCanary(canary=V3, weight=10.0))

    assert (await third.engine.deployment(NAME)).baseline == V1


async def test_a_gateway_does_not_take_up_a_promotion_that_gives_way(world: World) -> None:
    await world.rolling(100.0)
    await world.gateway.start()
    other = world.beside()
    other.shaky_board.fails["publish"] = Unavailable("killed before it could")
    world.store.goes_down()
    done = await other.do(BEN)
    await world.do(ADA)
    world.store.mended()

    world.gateway.notice([done.state])
    await world.caught_up()

    assert (await world.ask(Role.CANARY)).model_version == str(V1)


async def test_a_promotion_that_is_up_before_the_promise_stands_and_the_rollback_is_refused(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling()
    other = world.beside()
    late = await promoting(world, other)
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: up(world).cut)
    other.store.mended()
    await late
    grow_impatient()
    world.store.mended()

    with pytest.raises(NotAllowed):
        await rolling_back

    assert (await world.engine.deployment(NAME)).baseline == V2


async def test_a_promotion_looks_again_after_another_change_came_before_it(world: World) -> None:
    await world.rolling()
    turning, other = world.beside(), world.beside()
    gate = turning.store.gates["save"] = asyncio.Event()
    turned = asyncio.ensure_future(turning.do(SetWeight(weight=90.0)))  # it has looked at the board before the cut
    await until(lambda: turning.store.held)
    world.store.goes_down()
    await world.do(ADA)
    held = other.store.gates["save"] = asyncio.Event()
    late = asyncio.ensure_future(other.do(BEN))  # it knows of the cut, and is about to record it
    await until(lambda: other.store.held)
    gate.set()
    await turned
    other.store.gates.pop("save")
    held.set()

    with pytest.raises(NotAllowed):
        await late

    assert (await other.engine.deployment(NAME)).baseline == V1


async def test_nothing_is_promoted_while_nobody_can_tell_whether_it_was_rolled_back(world: World) -> None:
    await world.rolling()
    other = world.beside()
    world.store.goes_down()
    await world.do(ADA)
    other.shaky_board.goes_down()

    with pytest.raises(Unavailable):
        await other.do(BEN)

    assert (await other.engine.deployment(NAME)).baseline == V1


async def test_a_late_record_does_not_touch_the_next_canary_whatever_the_clocks_say(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.store.held)
    world.clock.advance(-1.0)  # the other machine's clock is behind
    await other.do(StartCanary(canary=V3, weight=30.0))
    world.clock.advance(1.0)
    gate.set()

    done = await rolling_back

    assert [(each.event.kind, each.event.rollout) for each in done.events] == [(EventKind.ROLLED_BACK, f"{NAME}:1")]
    assert (await world.rollout()).canary == V3


async def test_a_command_that_changed_nothing_changes_nothing_when_it_comes_again(world: World) -> None:
    await world.rolling(50.0)
    given = Given(once=Once("key-1", "to 50 %"))
    first = await world.engine.execute(NAME, SetWeight(weight=50.0), given)
    await world.do(SetWeight(weight=1.0))

    again = await world.engine.execute(NAME, SetWeight(weight=50.0), given)

    assert (await world.rollout()).weight == 1.0
    assert again.state == first.state


async def test_a_cut_that_only_the_gateway_saw_is_not_lost_with_the_board(world: World) -> None:
    await world.rolling(100.0)
    other = world.beside()
    await other.gateway.start()
    world.store.goes_down()
    await world.do(ADA)
    world.board._splits.clear()  # it loses what was written last, and whoever cut is gone

    await other.engine.reconcile()

    assert await other.share() == 0.0


async def test_a_server_that_ends_records_what_is_in_force_without_waiting_its_turn(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    await world.do(ADA)
    world.store.mended()

    await world.engine.reconcile(at_once=True)

    assert (await world.engine.deployment(NAME)).status == "stable"
    assert [event.actor for event in await world.since_start()] == ["ada"]
