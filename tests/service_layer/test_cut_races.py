"""A cut between several processes, which share the store and the board and nothing else."""

import asyncio
from collections.abc import Callable

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, V1, V2, V3, World

from serinus.core.commands import Command, Pause, Promote, Rollback, SetWeight, StartCanary
from serinus.core.deployment import Phase
from serinus.core.errors import NotAllowed, Unavailable
from serinus.core.events import EventKind
from serinus.core.lifecycle import verb_of
from serinus.core.routing import Role, split_of
from serinus.engine import Done, Given

ADA, BEN = Rollback(actor="ada", reason="it answers nonsense"), Rollback(actor="ben")
ROLLED_BACK = [(EventKind.ROLLED_BACK, "ada")]


async def recorded(world: World) -> list[tuple[EventKind, str]]:
    return [(event.kind, event.actor) for event in await world.since_start()]


async def cut_unrecorded(world: World) -> Done:
    """Roll back by ada while this process cannot reach the store."""
    world.store.goes_down()
    done = await world.do(ADA)
    world.store.mended()
    return done


async def until_recorded(world: World) -> None:
    """Wait for what this process still writes in the background."""
    await until(lambda: not world.engine._rollbacks._recordings)


# --------------------------------------------------------------------------------- who records the cut


async def test_a_cut_of_a_process_that_died_is_recorded_by_another(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    other = world.beside()

    await other.engine.reconcile()
    before = await recorded(world)
    world.clock.advance(60.0)
    await other.engine.reconcile()

    assert (before, await recorded(world)) == ([], ROLLED_BACK)


async def test_a_cut_is_left_for_a_while_to_the_process_that_made_it(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.store.held)

    for _ in range(3):
        await other.engine.reconcile()
        world.clock.advance(0.5)
    gate.set()
    done = await rolling_back

    assert len(done.events) == 1
    assert other.store.calls["save"] == 0


async def test_a_cut_that_all_record_at_once_is_recorded_once(world: World) -> None:
    await world.rolling()
    processes = [world.beside() for _ in range(4)]
    await cut_unrecorded(world)
    for each in processes:
        await each.engine.reconcile()
    world.clock.advance(60.0)

    await asyncio.gather(*(each.engine.reconcile() for each in (world, *processes)))

    assert await recorded(world) == ROLLED_BACK
    assert (await world.rollout()).ended_at == NOW


async def test_a_cut_that_another_process_records_meanwhile_is_answered_with_its_events(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.store.held)
    await other.engine.reconcile()
    world.clock.advance(60.0)
    await other.engine.reconcile()

    gate.set()
    done = await rolling_back

    assert done.unrecorded == ""
    assert done.state == await world.real_store.deployment(NAME)
    assert [(entry.event.kind, entry.event.actor) for entry in done.events] == ROLLED_BACK
    assert await recorded(world) == ROLLED_BACK


async def test_a_caller_who_goes_away_before_the_board_answers_leaves_a_cut_that_all_can_record(world: World) -> None:
    await world.rolling()
    world.shaky_board.late["cut"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.shaky_board.held)
    rolling_back.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rolling_back

    other = world.beside()
    await other.engine.reconcile()
    world.clock.advance(60.0)
    await other.engine.reconcile()

    assert await recorded(world) == ROLLED_BACK


async def test_a_cut_whose_answer_was_lost_is_in_force_and_the_rollback_goes_through_the_store(world: World) -> None:
    await world.rolling()
    world.shaky_board.lost.add("cut")

    done = await world.do(ADA)
    world.shaky_board.mended()
    await world.engine.reconcile()

    assert done.state == await world.real_store.deployment(NAME)
    assert await recorded(world) == ROLLED_BACK
    assert await world.board.split(NAME) == split_of(done.state).encoded()


async def test_a_cut_whose_answer_was_lost_while_the_store_is_gone_is_recorded_later(world: World) -> None:
    await world.rolling()
    world.shaky_board.lost.add("cut")
    world.store.goes_down()
    with pytest.raises(Unavailable):
        await world.do(ADA)
    world.store.mended()
    world.shaky_board.mended()
    for _ in range(2):
        await world.engine.reconcile()
        world.clock.advance(60.0)

    assert await recorded(world) == ROLLED_BACK


async def test_two_rollbacks_at_once_from_two_processes_are_one_and_the_other_is_not_allowed(world: World) -> None:
    await world.rolling()

    outcomes = await asyncio.gather(world.do(ADA), world.beside().do(BEN), return_exceptions=True)

    assert [type(each).__name__ for each in outcomes] == ["Done", "NotAllowed"]
    assert await recorded(world) == ROLLED_BACK


# ------------------------------------------------------------------- other commands of other processes


@pytest.mark.parametrize("command", [Promote(), SetWeight(weight=90.0), Pause()], ids=verb_of)
async def test_a_command_of_another_process_finds_a_cut_canary_rolled_back(world: World, command: Command) -> None:
    await world.rolling()
    await cut_unrecorded(world)

    with pytest.raises(NotAllowed):
        await world.beside().do(command)

    assert await recorded(world) == ROLLED_BACK
    assert (await world.engine.deployment(NAME)).baseline == V1


@pytest.mark.parametrize("command", [SetWeight(weight=90.0), Pause()], ids=verb_of)
async def test_a_command_that_is_saved_after_the_cut_does_not_take_it_back(world: World, command: Command) -> None:
    await world.rolling(100.0)
    await world.gateway.start()
    other = world.beside()
    gate = other.store.gates["save"] = asyncio.Event()
    changing = asyncio.ensure_future(other.do(command))
    await until(lambda: other.store.held)

    cut = await cut_unrecorded(world)
    gate.set()
    changed = await changing
    share, answered = await world.share(), await world.ask(Role.CANARY)
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert (cut.state.status, changed.state.generation, changed.unacknowledged) == ("stable", 3, ())
    assert (share, answered.model_role) == (0.0, Role.BASELINE)
    assert (await recorded(world))[1:] == ROLLED_BACK
    assert (await world.rollout()).phase is Phase.ROLLED_BACK


async def test_a_rollback_does_not_wait_for_a_command_that_the_store_holds_up(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling()
    world.store.gates["save"] = asyncio.Event()
    changing = asyncio.ensure_future(world.do(SetWeight(weight=90.0)))
    await until(lambda: world.store.held)
    grow_impatient()

    done = await world.do(ADA)
    share = await world.share()
    world.store.mended()
    await changing
    await until_recorded(world)

    assert (done.state.status, share) == ("stable", 0.0)
    assert done.unrecorded
    assert [kind for kind, _ in await recorded(world)] == [EventKind.TRAFFIC_ADJUSTED, EventKind.ROLLED_BACK]
    assert (await world.rollout()).ended_at == NOW


async def test_a_canary_that_was_saved_and_not_published_yet_can_be_rolled_back(world: World) -> None:
    await world.register(2)
    await world.deploy()
    other = world.beside()
    gate = other.store.late["save"] = asyncio.Event()
    starting = asyncio.ensure_future(other.start(100.0))
    await until(lambda: other.store.held)

    await world.do(ADA)
    gate.set()
    await starting

    assert (await recorded(world)) == ROLLED_BACK
    assert await world.board.split(NAME) == split_of(await world.engine.deployment(NAME)).encoded()


async def test_a_canary_whose_start_comes_to_the_board_after_its_cut_stays_cut_off(world: World) -> None:
    await world.register(2)
    await world.deploy()
    other = world.beside()
    gate = other.store.late["save"] = asyncio.Event()
    starting = asyncio.ensure_future(other.start(100.0))
    await until(lambda: other.store.held)
    await world.engine.deployment(NAME)

    done = await cut_unrecorded(world)
    gate.set()
    await starting

    assert done.state.status == "stable"
    assert await world.share() == 0.0


async def test_a_rollback_goes_on_after_a_change_that_was_saved_first(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.store.held)
    state = await world.engine.deployment(NAME)
    other.engine.record._cuts._known.clear()
    other.shaky_board.fails["split"] = Unavailable("gone")

    await other.do(SetWeight(weight=90.0))  # by a process that cannot know of the cut
    gate.set()
    done = await rolling_back

    assert done.state.generation == state.generation + 2
    assert [kind for kind, _ in await recorded(world)] == [EventKind.TRAFFIC_ADJUSTED, EventKind.ROLLED_BACK]
    assert await world.board.split(NAME) == split_of(done.state).encoded()


async def test_a_rollback_that_a_promotion_was_saved_before_is_refused_and_leaves_the_promotion(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = other.store.late["save"] = asyncio.Event()
    promoting = asyncio.ensure_future(other.do(Promote()))
    await until(lambda: other.store.held)  # on record, and not on the board

    with pytest.raises(NotAllowed, match="stable"):
        await world.do(ADA)
    gate.set()
    await promoting

    assert [kind for kind, _ in await recorded(world)] == [EventKind.PROMOTED]
    assert (await world.engine.deployment(NAME)).baseline == V2
    assert await world.share() == 0.0


# ------------------------------------------------------------------------------ rollouts that came after


async def test_a_record_that_comes_late_leaves_the_next_canary_alone(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(world.do(ADA))
    await until(lambda: world.store.held)
    world.clock.advance(60.0)
    await other.do(StartCanary(canary=V3, weight=30.0))  # which records the cut first

    gate.set()
    done = await rolling_back

    assert [(entry.event.kind, entry.event.rollout) for entry in done.events] == [(EventKind.ROLLED_BACK, f"{NAME}:1")]
    assert [kind for kind, _ in await recorded(world)] == [EventKind.ROLLED_BACK, EventKind.CANARY_STARTED]
    assert (await world.rollout()).phase is Phase.RUNNING
    assert await world.share() == 30.0


@pytest.mark.parametrize("store_is_gone", [False, True])
async def test_a_rollback_is_of_the_canary_that_runs_though_the_board_still_has_the_one_before(
    world: World, *, store_is_gone: bool
) -> None:
    first = await world.rolling()
    await world.gateway.start()
    await world.do(Rollback())
    await world.start(100.0, canary=V3)
    world.board.put(NAME, split_of(first).encoded())  # an old copy of the board came back
    if store_is_gone:
        world.store.goes_down()

    done = await world.do(ADA)
    answered = await world.ask(Role.CANARY)
    world.store.mended()
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert (done.state.status, answered.model_role) == ("stable", Role.BASELINE)
    assert (await recorded(world))[2:] == ROLLED_BACK
    assert (await world.rollout()).id == f"{NAME}:2"
    assert (await world.rollout()).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("store_is_gone", [False, True])
async def test_the_cut_of_an_earlier_canary_on_an_old_board_is_none_of_the_one_that_runs(
    world: World, *, store_is_gone: bool
) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    old = await world.board.split(NAME)
    world.clock.advance(60.0)
    await world.engine.reconcile()
    await world.start(100.0, canary=V3)
    world.board.put(NAME, old)
    if store_is_gone:
        world.store.goes_down()

    done = await world.do(BEN)
    world.store.mended()
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert done.state.status == "stable"
    assert (await recorded(world))[2:] == [(EventKind.ROLLED_BACK, "ben")]
    assert (await world.rollout()).phase is Phase.ROLLED_BACK


# ------------------------------------------------------------------------------------- a board that forgets


async def test_a_board_that_lost_a_cut_gets_it_back_from_whoever_saw_it(world: World) -> None:
    state = await world.rolling(100.0)
    await world.gateway.start()
    other = world.beside()
    await cut_unrecorded(world)
    await other.engine.reconcile()

    world.board.put(NAME, split_of(state).encoded())
    repaired = await other.engine.reconcile()

    cut = await world.cut()
    assert repaired == [NAME]
    assert cut is not None
    assert cut.actor == "ada"
    assert (await world.ask(Role.CANARY)).model_role is Role.BASELINE


async def test_a_process_sees_a_cut_although_the_store_is_gone(world: World) -> None:
    state = await world.rolling()
    other = world.beside()
    await cut_unrecorded(world)
    other.store.goes_down()
    with pytest.raises(Unavailable):
        await other.engine.reconcile()

    other.store.mended()
    world.board.put(NAME, split_of(state).encoded())
    await other.engine.reconcile()

    assert await world.share() == 0.0


async def test_an_old_board_with_an_older_cut_makes_nobody_forget_the_newer_one(world: World) -> None:
    await world.rolling()
    await cut_unrecorded(world)
    old = await world.board.split(NAME)
    world.clock.advance(60.0)
    await world.engine.reconcile()
    await world.start(100.0, canary=V3)
    await cut_unrecorded(world)

    world.board.put(NAME, old)
    await world.engine.reconcile()
    share = await world.share()

    with pytest.raises(NotAllowed):
        await world.do(SetWeight(weight=5.0))
    assert share == 0.0
    assert (await recorded(world))[2:] == ROLLED_BACK


async def test_a_cut_after_the_board_lost_the_first_one_is_recorded_once(world: World) -> None:
    state = await world.rolling()
    await cut_unrecorded(world)
    world.board.put(NAME, split_of(state).encoded())

    done = await world.beside().do(BEN)
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert done.state.status == "stable"
    assert [kind for kind, _ in await recorded(world)] == [EventKind.ROLLED_BACK]
    assert await world.cut() is None


async def test_an_automatic_rollback_and_one_by_hand_at_once_are_one(world: World) -> None:
    state = await world.rolling()
    automatic = Given(expected_generation=state.generation, term=await world.judged())

    outcomes = await asyncio.gather(
        world.beside().do(ADA), world.engine.execute(NAME, BEN, automatic), return_exceptions=True
    )

    assert [type(each).__name__ for each in outcomes] == ["Done", "NotAllowed"]
    assert await recorded(world) == ROLLED_BACK
