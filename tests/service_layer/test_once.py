"""A command that was given a key is carried out once, however often it is sent."""

import asyncio
from collections.abc import Callable

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, V1, V2, World

from serinus.core.commands import Command, Configure, Create, Pause, Promote, Rollback, SetWeight, StartCanary
from serinus.core.errors import AlreadyExists, KeyReused, NotAllowed, Unavailable
from serinus.core.events import EventKind
from serinus.core.lifecycle import verb_of
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.records import Once
from serinus.engine import Done, Given

ONCE = Once("key-1", "a fingerprint")
OTHER = Once("key-1", "another fingerprint")
LATER = Once("key-2", "a fingerprint")
ROLLBACK = Rollback(actor="ada")
CREATE = Create(name=NAME, baseline=V1, settings=Settings())


async def send(world: World, command: Command, once: Once = ONCE) -> Done:
    return await world.engine.execute(NAME, command, Given(once=once))


@pytest.mark.parametrize(
    "command",
    [
        SetWeight(weight=10.0),
        Pause(),
        Promote(),
        ROLLBACK,
        Configure(settings=Settings(allow_forced=True, policy=ThresholdPolicy())),
    ],
    ids=verb_of,
)
async def test_the_same_command_with_the_same_key_gets_the_same_answer_and_happens_once(
    world: World, command: Command
) -> None:
    await world.rolling()

    first = await send(world, command)
    again = await send(world.beside(), command)

    assert (again.state, again.events) == (first.state, first.events)
    assert len(await world.since_start()) == 1


async def test_the_first_answer_is_given_though_the_deployment_has_changed_since(world: World) -> None:
    await world.rolling()
    first = await send(world, SetWeight(weight=10.0))
    await world.do(SetWeight(weight=90.0))

    again = await send(world, SetWeight(weight=10.0))

    assert again.state == first.state
    assert await world.share() == 90.0


@pytest.mark.parametrize("command", [SetWeight(weight=10.0), ROLLBACK], ids=verb_of)
async def test_another_command_with_the_same_key_is_refused(world: World, command: Command) -> None:
    await world.rolling()
    await send(world, SetWeight(weight=20.0))

    with pytest.raises(KeyReused):
        await send(world, command, OTHER)

    assert await world.share() == 20.0


async def test_another_key_is_another_command(world: World) -> None:
    await world.rolling()
    await send(world, SetWeight(weight=10.0))
    await world.do(SetWeight(weight=90.0))

    await send(world, SetWeight(weight=10.0), LATER)

    assert await world.share() == 10.0


async def test_a_deployment_is_made_once(world: World) -> None:
    await world.register()

    first = await world.engine.create(CREATE, ONCE)
    again = await world.engine.create(CREATE, ONCE)

    assert again.state == first.state
    assert await world.kinds() == [EventKind.DEPLOYMENT_CREATED]
    with pytest.raises(KeyReused):
        await world.engine.create(CREATE, OTHER)
    with pytest.raises(AlreadyExists):
        await world.engine.create(CREATE, LATER)


async def test_a_key_of_a_command_that_was_refused_can_be_used_again(world: World) -> None:
    await world.register(2)
    await world.deploy()
    with pytest.raises(NotAllowed):
        await send(world, ROLLBACK)

    done = await send(world, StartCanary(canary=V2, weight=5.0), OTHER)

    assert done.state.active is not None


# ------------------------------------------------------------------------------------------- at once


@pytest.mark.parametrize("command", [SetWeight(weight=10.0), Pause(), Promote(), ROLLBACK], ids=verb_of)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process", "two processes"])
async def test_the_same_command_twice_at_once_happens_once_and_both_get_its_answer(
    world: World, command: Command, *, elsewhere: bool
) -> None:
    await world.rolling()
    other = world.beside() if elsewhere else world

    first, second = await asyncio.gather(send(world, command), send(other, command))

    assert (first.state, first.events) == (second.state, second.events)
    assert len(await world.since_start()) == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process", "two processes"])
async def test_a_deployment_that_is_made_twice_at_once_is_made_once_and_both_are_told(
    world: World, *, elsewhere: bool
) -> None:
    await world.register()
    other = world.beside() if elsewhere else world

    first, second = await asyncio.gather(world.engine.create(CREATE, ONCE), other.engine.create(CREATE, ONCE))

    assert (first.state, first.events) == (second.state, second.events)
    assert await world.kinds() == [EventKind.DEPLOYMENT_CREATED]


async def test_a_rollback_that_comes_again_as_the_first_is_recorded_gets_its_answer(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = other.shaky_board.gates["cut"] = asyncio.Event()  # it has looked for an outcome, and found none

    second = asyncio.ensure_future(send(other, ROLLBACK))
    await until(lambda: other.shaky_board.held)
    first = await send(world, ROLLBACK)
    gate.set()

    assert (await second).state == first.state
    assert len(await world.since_start()) == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process", "two processes"])
async def test_a_rollback_twice_at_once_without_the_board_happens_once(world: World, *, elsewhere: bool) -> None:
    await world.rolling()
    other = world.beside() if elsewhere else world
    for each in {id(world): world, id(other): other}.values():
        each.shaky_board.goes_down()

    first, second = await asyncio.gather(send(world, ROLLBACK), send(other, ROLLBACK))

    assert first.state == second.state
    assert len(await world.since_start()) == 1


# ------------------------------------------------------------------------------- without the store


async def test_a_rollback_that_is_sent_again_before_its_record_is_the_same_one(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    first = await send(world, ROLLBACK)
    world.clock.advance(1.0)

    again = await send(world, ROLLBACK)

    assert again.state == first.state
    assert again.unrecorded


async def test_a_rollback_that_is_sent_again_to_another_process_is_recorded_as_it_was_first_given(
    world: World,
) -> None:
    await world.rolling()
    world.store.goes_down()
    await send(world, ROLLBACK)
    world.clock.advance(1.0)

    again = await send(world.beside(), ROLLBACK)

    assert again.unrecorded == ""
    assert [(event.at, event.actor) for event in await world.since_start()] == [(NOW, "ada")]


async def test_a_rollback_that_is_sent_again_after_its_record_came_by_itself_gets_the_answer(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    first = await send(world, ROLLBACK)
    world.store.mended()
    world.clock.advance(60.0)
    await world.beside().engine.reconcile()

    again = await send(world, ROLLBACK)

    assert again.state == first.state
    assert [entry.event.kind for entry in again.events] == [EventKind.ROLLED_BACK]
    with pytest.raises(KeyReused):
        await send(world, ROLLBACK, OTHER)


async def test_another_rollback_with_the_key_of_a_cut_is_refused(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    await send(world, ROLLBACK)

    with pytest.raises(NotAllowed):
        await send(world, ROLLBACK, OTHER)


async def test_the_same_key_is_answered_though_another_process_recorded_the_cut_in_between(world: World) -> None:
    await world.rolling()
    other = world.beside()
    gate = world.store.gates["save"] = asyncio.Event()
    rolling_back = asyncio.ensure_future(send(world, ROLLBACK))
    await until(lambda: world.store.held)

    with pytest.raises(NotAllowed):
        await other.do(Promote())
    gate.set()
    done = await rolling_back

    assert done.state == await world.real_store.deployment(NAME)
    assert [entry.event.kind for entry in done.events] == [EventKind.ROLLED_BACK]
    assert len(await world.since_start()) == 1


async def test_a_cut_whose_key_turns_out_to_be_another_commands_is_recorded_all_the_same(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling()
    await send(world, SetWeight(weight=20.0))
    world.store.falls_silent()
    grow_impatient()
    done = await send(world, ROLLBACK, OTHER)

    world.store.mended()
    await until(lambda: not world.engine._rollbacks._recordings)
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert done.state.status == "stable"
    assert [event.kind for event in await world.since_start()] == [EventKind.TRAFFIC_ADJUSTED, EventKind.ROLLED_BACK]
    assert (await send(world, SetWeight(weight=20.0))).state.generation == 3, "the key is still the first one's"


async def test_a_cut_with_a_used_key_holds_up_no_other_deployment(world: World) -> None:
    await world.rolling()
    await world.deploy("other")
    await world.start(name="other")
    await send(world, SetWeight(weight=20.0))
    world.store.goes_down()
    for name in (NAME, "other"):
        await world.engine.execute(name, ROLLBACK, Given(once=OTHER if name == NAME else None))
    world.store.mended()
    world.clock.advance(60.0)

    await world.beside().engine.reconcile()
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert [(await world.engine.deployment(name)).status for name in (NAME, "other")] == ["stable", "stable"]


# ---------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("command", [SetWeight(weight=10.0), Promote()], ids=verb_of)
async def test_a_command_whose_answer_was_lost_gets_it_when_it_is_sent_again(world: World, command: Command) -> None:
    await world.rolling()
    world.store.lost.add("save")
    with pytest.raises(Unavailable):
        await send(world, command)
    world.store.mended()

    done = await send(world, command)

    assert done.state == await world.real_store.deployment(NAME)
    assert len(done.events) == len(await world.since_start()) == 1


async def test_a_command_that_is_sent_again_waits_until_the_gateways_follow_it_too(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.store.lost.add("save")
    with pytest.raises(Unavailable):
        await send(world, SetWeight(weight=0.0))  # on record, and not on the board
    world.store.mended()

    sending = asyncio.ensure_future(send(world, SetWeight(weight=0.0)))
    await until(lambda: world.shaky_board.calls["unacknowledged"] == 3)
    before = sending.done()
    await world.engine.reconcile()
    done = await sending

    assert not before
    assert (done.unacknowledged, await world.share()) == ((), 0.0)


async def test_a_command_that_is_sent_again_without_the_board_says_so(world: World) -> None:
    await world.rolling()
    first = await send(world, SetWeight(weight=10.0))
    world.shaky_board.goes_down()

    again = await send(world, SetWeight(weight=10.0))

    assert again.state == first.state
    assert again.unpublished == "MemoryBoard is gone."


async def test_a_rollback_whose_record_was_written_and_its_answer_lost_is_in_force_and_recorded_once(
    world: World,
) -> None:
    await world.rolling()
    world.store.lost.add("save")
    first = await send(world, ROLLBACK)
    world.store.mended()
    world.clock.advance(60.0)

    again = await send(world, ROLLBACK)
    await world.engine.reconcile()

    assert first.unrecorded
    assert (again.state, again.unrecorded) == (first.state, "")
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]
    assert await world.cut() is None


async def test_a_store_that_is_gone_refuses_what_is_no_rollback(world: World) -> None:
    await world.rolling()
    world.store.goes_down()

    with pytest.raises(Unavailable):
        await send(world, SetWeight(weight=1.0))
