import asyncio
import gc
from typing import cast

import pytest
from tests.service_layer.doubles import TURNED, until
from tests.service_layer.world import NAME, V1, V2, V3, World

from serinus.core.commands import Command, Create, Pause, Promote, Resume, Rollback, SetWeight, StartCanary, Undo
from serinus.core.deployment import Phase
from serinus.core.errors import (
    AlreadyExists,
    ArtifactCorrupt,
    ContractBroken,
    NotAllowed,
    NotFound,
    StaleGeneration,
    Unavailable,
)
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import verb_of
from serinus.core.policy import Settings
from serinus.core.routing import split_of
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.engine import DeploymentEngine, Given
from serinus.ports import Board, Store


async def state_and_board(world: World) -> tuple[object, object]:
    return await world.real_store.deployment(NAME), await world.board.split(NAME)


# --------------------------------------------------------------------------------- before the commit


async def test_a_baseline_is_loaded_before_its_deployment_is_made(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()

    making = asyncio.ensure_future(world.deploy())
    await until(lambda: world.models.starts[V1])
    before = await state_and_board(world)
    world.models.gates[V1].set()
    state = await making

    assert before == (None, None)
    assert await state_and_board(world) == (state, split_of(state).encoded())


async def test_a_baseline_that_cannot_be_loaded_makes_no_deployment(world: World) -> None:
    await world.register()
    world.models.refuses[V1] = ArtifactCorrupt("torn")

    with pytest.raises(ArtifactCorrupt):
        await world.deploy()

    assert await state_and_board(world) == (None, None)
    assert await world.real_store.events(NAME) == []


async def test_a_canary_is_loaded_and_warm_before_its_first_percent(world: World) -> None:
    await world.register(2, examples=((1.0, 2.0),))
    await world.deploy()
    before = await state_and_board(world)
    world.models.gates[V2] = asyncio.Event()

    starting = asyncio.ensure_future(world.start())
    await until(lambda: world.models.starts[V2])
    while_loading = await state_and_board(world)
    world.models.gates[V2].set()
    await starting

    assert while_loading == before
    assert len(world.canary().asked) == 1


async def test_a_rollout_begins_when_its_model_is_ready(world: World) -> None:
    await world.register(2)
    await world.deploy()
    world.models.gates[V2] = asyncio.Event()

    starting = asyncio.ensure_future(world.start())
    await until(lambda: world.models.starts[V2])
    world.clock.advance(90.0)
    world.models.gates[V2].set()
    done = await starting

    assert done.state.rollout is not None
    assert done.state.rollout.started_at == done.events[0].event.at == world.clock.now()


async def test_a_refused_canary_is_an_event_and_changes_nothing(world: World) -> None:
    await world.register()
    await world.register(signature=Signature(TURNED.features[:1], Output(OutputKind.NUMBER)))
    await world.deploy()
    before = await state_and_board(world)

    with pytest.raises(ContractBroken):
        await world.start(12.5)

    assert await state_and_board(world) == before
    event = (await world.real_store.events(NAME))[-1].event
    assert (event.kind, event.generation, event.rollout) == (EventKind.CANARY_REFUSED, 1, "")
    assert "lacks x" in event.reason
    assert event.data == {"canary": "risk@2", "weight": 12.5, "code": "SERINUS-CONTRACT"}


async def test_a_refused_canary_does_not_stay_in_memory(world: World) -> None:
    await world.register()
    await world.register(signature=Signature(TURNED.features[:1], Output(OutputKind.NUMBER)))
    await world.deploy()
    await world.gateway.start()

    with pytest.raises(ContractBroken):
        await world.start()

    assert world.loaded.refs() == [V1]
    await until(lambda: world.canary().closed)


async def test_the_warnings_of_a_contract_are_in_the_event_of_the_start(world: World) -> None:
    nullable = Signature((Feature("x", Dtype.FLOAT, nullable=True), TURNED.features[0]), Output(OutputKind.NUMBER))
    await world.register(signature=nullable)
    await world.register(signature=TURNED)
    await world.deploy()

    done = await world.start()

    warning = "x may be missing, but never was in the canary's training data"
    assert done.events[0].event.data["warnings"] == [warning]
    assert done.warnings == (warning,)


async def test_a_command_that_is_not_allowed_loads_nothing(world: World) -> None:
    await world.rolling()
    starts = world.models.starts.copy()

    with pytest.raises(NotAllowed):
        await world.start(canary=V3)

    assert world.models.starts == starts


async def test_undo_loads_the_earlier_version_first(world: World) -> None:
    await world.rolling()
    await world.do(Promote())
    await world.loaded.close()
    world.models.refuses[V1] = ArtifactCorrupt("torn")
    before = await state_and_board(world)

    with pytest.raises(ArtifactCorrupt):
        await world.do(Undo())

    assert await state_and_board(world) == before


# ---------------------------------------------------------------------------------------- the commit


async def test_a_command_leaves_state_events_and_board_in_agreement(world: World) -> None:
    await world.rolling()
    for command in (SetWeight(weight=5.0), Pause(), Resume(), Promote(), Undo()):
        done = await world.do(command)

        assert await state_and_board(world) == (done.state, split_of(done.state).encoded())
        assert done.events == tuple(await world.real_store.events(NAME))[-1:]


async def test_events_of_the_same_decision_are_recorded_around_the_commands_own(world: World) -> None:
    state = await world.rolling()
    before, after = (
        Event(NAME, state.generation, kind, world.clock.now(), "health-checker")
        for kind in (EventKind.HEALTH_CHECK_FAILED, EventKind.AUTO_ROLLBACK_TRIGGERED)
    )

    done = await world.engine.execute(NAME, Rollback(), Given(before=[before], after=[after]))

    assert [entry.event.kind for entry in done.events] == [before.kind, EventKind.ROLLED_BACK, after.kind]
    assert {entry.event.generation for entry in done.events} == {done.state.generation}


async def test_a_command_that_changes_nothing_writes_nothing(world: World) -> None:
    state = await world.rolling(weight=50.0)
    calls = world.store.calls["save"], world.shaky_board.calls["publish"]

    done = await world.do(SetWeight(weight=50.0))

    assert (done.state, done.events) == (state, ())
    assert (world.store.calls["save"], world.shaky_board.calls["publish"]) == calls


@pytest.mark.parametrize("command", [Rollback(), Promote(), SetWeight(weight=1.0)], ids=verb_of)
async def test_a_command_meant_for_another_generation_is_refused(world: World, command: Command) -> None:
    await world.rolling()
    before = await state_and_board(world)

    with pytest.raises(StaleGeneration) as refused:
        await world.engine.execute(NAME, command, Given(expected_generation=1))

    assert refused.value.details == {"expected": 1, "actual": 2}
    assert await state_and_board(world) == before


async def test_commands_on_what_is_not_there_are_refused(world: World) -> None:
    with pytest.raises(NotFound):
        await world.do(Rollback())


async def test_a_deployment_is_made_once(world: World) -> None:
    await world.register()
    state = await world.deploy()

    with pytest.raises(AlreadyExists):
        await world.deploy()

    assert await world.real_store.deployment(NAME) == state


async def test_the_split_is_published_after_the_state_is_saved(world: World) -> None:
    await world.rolling()
    gate = world.store.gates["save"] = asyncio.Event()
    published = world.shaky_board.calls["publish"]

    command = asyncio.ensure_future(world.do(SetWeight(weight=40.0)))
    await until(lambda: world.store.calls["save"] == 3)
    before = world.shaky_board.calls["publish"]
    gate.set()
    await command

    assert (before, world.shaky_board.calls["publish"]) == (published, published + 1)


async def test_a_save_that_fails_leaves_state_and_board_as_they_were(world: World) -> None:
    await world.rolling()
    before = await state_and_board(world)
    world.store.fails["save"] = Unavailable("the disk is full")

    with pytest.raises(Unavailable, match="the disk is full"):
        await world.do(Promote())

    assert await state_and_board(world) == before
    world.store.fails.clear()
    assert (await world.do(Promote())).state.status == "stable"


async def test_gateways_that_do_not_answer_in_time_are_named(world: World) -> None:
    await world.rolling()
    await world.board.join("deaf", lambda _deployment, _split: None)
    engine = DeploymentEngine(
        store=cast("Store", world.store),
        board=cast("Board", world.shaky_board),
        loaded=world.loaded,
        clock=world.clock,
        acknowledgement_timeout_s=0.005,
    )

    done = await engine.execute(NAME, SetWeight(weight=40.0))

    assert done.unacknowledged == ("deaf",)
    assert done.state.generation == 3


async def test_a_command_returns_when_every_gateway_has_acknowledged(world: World) -> None:
    await world.rolling()
    await world.board.join("slow", lambda _deployment, _split: None)

    command = asyncio.ensure_future(world.do(SetWeight(weight=40.0)))
    await until(lambda: world.shaky_board.calls["unacknowledged"] == 3)
    waiting = not command.done()
    world.board.acknowledge("slow", NAME, split_of(await world.engine.deployment(NAME)).stamp)

    assert waiting
    assert (await command).unacknowledged == ()


# -------------------------------------------------------------------------------- at once, cancelled


async def test_a_caller_who_goes_away_leaves_no_state_unpublished(world: World) -> None:
    await world.rolling()
    gate = world.store.gates["save"] = asyncio.Event()
    command = asyncio.ensure_future(world.do(Promote()))
    await until(lambda: world.store.calls["save"] == 3)

    command.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await command

    state = await world.engine.deployment(NAME)
    assert state.baseline == V2
    assert await world.board.split(NAME) == split_of(state).encoded()


async def test_a_command_after_one_whose_caller_went_away_finds_it_ended(world: World) -> None:
    await world.rolling()
    gate = world.store.gates["save"] = asyncio.Event()
    first = asyncio.ensure_future(world.do(SetWeight(weight=40.0)))
    await until(lambda: world.store.calls["save"] == 3)
    first.cancel()

    second = asyncio.ensure_future(world.do(SetWeight(weight=30.0)))
    for _ in range(10):
        await asyncio.sleep(0)
    gate.set()
    done = await second

    assert done.state.generation == 4
    assert [entry.event.data.get("to") for entry in await world.real_store.events(NAME)][-2:] == [40.0, 30.0]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_failure_of_a_command_whose_caller_went_away_is_not_reported_as_lost(world: World) -> None:
    await world.rolling()
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    gate = world.store.gates["save"] = asyncio.Event()
    world.store.fails["save"] = Unavailable("gone")
    command = asyncio.ensure_future(world.do(Promote()))
    await until(lambda: world.store.calls["save"] == 3)

    command.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(command, return_exceptions=True)
    del command
    gc.collect()

    assert lost == []


async def test_a_caller_who_goes_away_while_a_canary_is_loaded_starts_nothing(world: World) -> None:
    await world.register(2)
    await world.deploy()
    before = await state_and_board(world)
    world.models.gates[V2] = asyncio.Event()
    starting = asyncio.ensure_future(world.start())
    await until(lambda: world.models.starts[V2])

    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    world.models.gates[V2].set()
    await world.do(StartCanary(canary=V2, weight=1.0))

    assert await state_and_board(world) != before
    assert await world.kinds() == [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED]


async def test_commands_at_once_on_one_deployment_follow_one_another(world: World) -> None:
    await world.rolling(weight=1.0)

    await asyncio.gather(*(world.do(SetWeight(weight=float(weight))) for weight in range(2, 22)))

    events = [entry.event for entry in await world.real_store.events(NAME)][2:]
    assert [event.generation for event in events] == list(range(3, 23))
    assert [event.data["from"] for event in events[1:]] == [event.data["to"] for event in events[:-1]]


async def test_of_a_promotion_and_a_rollback_at_once_the_rollback_wins(world: World) -> None:
    await world.rolling()

    outcomes = await asyncio.gather(world.do(Promote()), world.do(Rollback()), return_exceptions=True)

    assert [type(each).__name__ for each in outcomes] == ["NotAllowed", "Done"]
    rollout = (await world.engine.deployment(NAME)).rollout
    assert rollout is not None
    assert rollout.phase is Phase.ROLLED_BACK


async def test_a_deployment_that_is_busy_holds_up_no_other(world: World) -> None:
    await world.register(2)
    await world.deploy()
    world.models.gates[V2] = asyncio.Event()
    busy = asyncio.ensure_future(world.start())
    await until(lambda: world.models.starts[V2])

    await world.deploy("other")

    world.models.gates[V2].set()
    await busy


async def test_names_that_were_only_asked_for_are_not_remembered(world: World) -> None:
    for number in range(10):
        with pytest.raises(NotFound):
            await world.do(Rollback(), f"nowhere-{number}")

    gc.collect()
    assert len(world.engine.record._turns) == 0


async def test_a_deployment_with_a_name_that_cannot_be_is_refused_before_anything_is_loaded(world: World) -> None:
    await world.register()

    with pytest.raises(Exception, match="not a valid name"):
        await world.engine.create(Create(name="Not A Name", baseline=V1, settings=Settings()))

    assert world.models.starts == {}
