"""A gateway follows the board at once: less traffic for a canary without a look, more when its model is here."""

import asyncio

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import LEASE_S, NAME, V1, V2, V3, World

from serinus.core.commands import Configure, Promote, Rollback, SetWeight, Undo
from serinus.core.deployment import Deployment
from serinus.core.errors import ArtifactCorrupt, Unavailable
from serinus.core.evidence import Key
from serinus.core.lifecycle import apply
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.routing import Cut, Role, Split, split_of

BASELINE, CANARY = Role.BASELINE, Role.CANARY
CUT = Cut(NOW.isoformat(), "ada")


async def serving(world: World, **settings: bool) -> Deployment:
    """Give a deployment whose canary gets all of the traffic, served."""
    state = await world.rolling(100.0, **settings)
    await world.gateway.start()
    return state


def is_over(world: World) -> bool:
    """Say whether the gateway does nothing more by itself."""
    following, reporting = world.gateway._following, world.gateway._reporting
    ended = all(task is None or task.done() for task in (reporting, following._retrying))
    return ended and not following._refreshing


async def role(world: World, **more: str) -> Role:
    """Give the role that answers a request which is the canary's by its split."""
    return (await world.ask(CANARY, **more)).model_role


async def cut(world: World) -> None:
    assert await world.board.cut(NAME, CUT) is not None


# ------------------------------------------------------------------------------------------- splits


async def test_a_split_that_comes_before_its_model_sends_all_to_the_baseline(world: World) -> None:
    await world.register(2)
    await world.deploy()
    await world.gateway.start()
    other = world.beside()  # the board is its only way to this one
    other.engine.record._acknowledgement_timeout_s = other.engine.record._loading_timeout_s = 0.0
    world.models.gates[V2] = asyncio.Event()

    done = await other.start(100.0)
    drawn = [(await world.ask(role)).model_role for role in Role]
    world.models.gates[V2].set()
    await until(lambda: world.gateway.served()[0].canary)

    assert done.unacknowledged == ("gateway-1",)
    assert drawn == [BASELINE, BASELINE]
    assert (await world.ask(CANARY)).model_role is CANARY
    assert await world.board.unacknowledged(NAME, done.state.generation, 20.0) == []


async def test_a_lower_weight_is_in_force_when_the_board_tells_of_it(world: World) -> None:
    state = await world.rolling(weight=50.0)
    await world.gateway.start()
    world.store.gates["deployment"] = asyncio.Event()  # nothing can be read

    world.board.put(NAME, Split(NAME, state.generation + 1, f"{NAME}:1", 2, 10.0).encoded())
    split = world.gateway.served()[0].split  # not a single await later

    assert split is not None
    assert split.weight == 10.0
    world.store.gates["deployment"].set()


@pytest.mark.parametrize(
    "raw",
    [None, {}, "50", {"weight": 50.0}, Split(NAME, 99, f"{NAME}:7", 1, 50.0).encoded()],
    ids=["deleted", "empty", "text", "partial", "of an unknown rollout"],
)
async def test_a_split_that_means_nothing_here_sends_all_to_the_baseline(world: World, raw: object) -> None:
    await world.rolling(weight=100.0)
    await world.gateway.start()

    world.board.put(NAME, raw)

    assert (await world.ask(CANARY)).model_role is BASELINE


async def test_a_split_of_an_older_generation_is_ignored(world: World) -> None:
    state = await world.rolling(weight=100.0)
    await world.gateway.start()
    await world.do(SetWeight(weight=1.0))

    world.board.put(NAME, split_of(state).encoded())

    split = world.gateway.served()[0].split
    assert split is not None
    assert split.weight == 1.0


async def test_a_split_of_an_older_generation_is_ignored_while_the_newer_state_is_being_read(world: World) -> None:
    state = await world.rolling(weight=100.0)
    await world.gateway.start()
    world.store.gates["deployment"] = asyncio.Event()
    world.board.put(NAME, Split(NAME, state.generation + 1).encoded())  # rolled back

    world.board.put(NAME, split_of(state).encoded())

    assert (await world.ask(CANARY)).model_role is BASELINE
    world.store.gates["deployment"].set()


async def test_a_split_older_than_the_state_is_neither_served_nor_acknowledged(world: World) -> None:
    state = await world.rolling(weight=100.0)
    world.shaky_board.fails["publish"] = Unavailable("gone")
    assert (await world.do(SetWeight(weight=0.0))).unpublished
    assert await world.board.split(NAME) == split_of(state).encoded()

    await world.gateway.start()

    assert (await world.ask(CANARY)).model_role is BASELINE
    assert await world.board.unacknowledged(NAME, state.generation + 1, 0.0) == ["gateway-1"]


async def test_a_change_that_comes_as_the_last_one_is_done_is_not_lost(world: World) -> None:
    state = await world.rolling(weight=50.0)
    world.gateway._following._retry_interval_s = 60.0
    await world.gateway.start()
    world.board.put(NAME, Split(NAME, state.generation + 1, f"{NAME}:1", 2, 20.0).encoded())
    refresh, reads = world.gateway._following._refreshing[NAME], world.store.calls["deployment"]

    while not refresh.done():  # noqa: ASYNC110 - to be there before anything else that follows its end
        await asyncio.sleep(0)
    world.board.put(NAME, Split(NAME, state.generation + 2, f"{NAME}:1", 3, 10.0).encoded())

    await until(lambda: world.store.calls["deployment"] > reads + 1)


async def test_a_board_that_is_ahead_of_the_store_is_told_of_and_not_hunted_after(world: World) -> None:
    await world.rolling()
    world.gateway._following._retry_interval_s = 60.0
    await world.gateway.start()

    world.board.put(NAME, Split(NAME, 99).encoded())
    await until(world.gateway.troubles)
    reads = world.store.calls["deployment"]
    for _ in range(50):
        await asyncio.sleep(0)

    assert world.gateway.troubles() == {NAME: "the board is at generation 99, the store at 2"}
    assert world.store.calls["deployment"] == reads
    assert world.gateway._following._refreshing == {}


async def test_a_store_that_fails_for_a_while_delays_a_change_and_loses_none(world: World) -> None:
    state = await world.rolling(weight=0.0)
    await world.gateway.start()
    new, events = apply(state, Configure(settings=Settings(allow_forced=True, policy=ThresholdPolicy())), NOW)
    await world.real_store.save(new, state.generation, events)
    world.store.fails["deployment"] = Unavailable("gone")

    await world.board.publish(split_of(new))
    await until(world.gateway.troubles)
    world.store.fails.clear()
    await until(lambda: not world.gateway.troubles())

    assert (await world.ask(header="always")).model_role is CANARY
    assert await world.board.unacknowledged(NAME, new.generation, 0.0) == []


async def test_a_command_is_in_force_for_the_next_request(world: World) -> None:
    await world.register(3)
    await world.deploy()
    await world.gateway.start()

    answered = []
    for command in (None, Promote(), Undo()):
        done = await (world.start(100.0) if command is None else world.do(command))
        answered.append((await world.ask(CANARY)).model_version)
        assert done.unacknowledged == ()

    assert answered == ["risk@2", "risk@2", "risk@1"]


async def test_other_settings_are_in_force_for_the_next_request(world: World) -> None:
    await world.rolling(weight=0.0)
    await world.gateway.start()

    await world.do(Configure(settings=Settings(allow_forced=True, policy=ThresholdPolicy())))

    assert (await world.ask(header="always")).model_role is CANARY


async def test_at_a_promotion_no_request_goes_back_to_the_old_baseline(world: World) -> None:
    state = await world.rolling(weight=100.0)
    await world.gateway.start()
    promoted, _ = apply(state, Promote(), NOW)

    await world.board.publish(split_of(promoted))  # and before anything is read from the store:
    answered = await world.ask(BASELINE)

    assert (answered.model_version, answered.model_role) == ("risk@2", BASELINE)


# --------------------------------------------------------------------------------------------- cuts


async def test_a_cut_is_in_force_when_the_board_tells_of_it(world: World) -> None:
    await serving(world)
    world.store.falls_silent()

    await cut(world)

    assert await role(world) is BASELINE
    assert await world.board.unacknowledged(NAME, 2 * 2 + 1, 0.0) == []


async def test_a_forced_request_does_not_reach_a_canary_that_is_cut_off(world: World) -> None:
    await serving(world, allow_forced=True)

    await cut(world)

    assert await role(world, header="always") is BASELINE


async def test_requests_after_a_cut_are_the_baselines_and_are_not_compared(world: World) -> None:
    await serving(world)
    await cut(world)

    await role(world)

    assert [world.counted(each, split_version=0).requests for each in Role] == [1, 0]
    assert [world.counted(each).requests for each in Role] == [0, 0]


async def test_a_gateway_that_starts_after_a_cut_sends_nothing_to_the_canary(world: World) -> None:
    await world.rolling(100.0)
    await cut(world)

    await world.gateway.start()

    assert await role(world) is BASELINE
    assert await world.board.unacknowledged(NAME, 2 * 2 + 1, 0.0) == []


@pytest.mark.parametrize("newer", [0, 1], ids=["the same generation", "a newer one"])
async def test_a_split_of_the_same_rollout_without_the_cut_does_not_take_it_back(world: World, newer: int) -> None:
    state = await serving(world)
    await cut(world)

    world.board.put(NAME, Split(NAME, state.generation + newer, f"{NAME}:1", 1 + newer, 100.0).encoded())

    assert await role(world) is BASELINE


async def test_a_cut_outlives_a_board_that_was_emptied_and_filled_without_it(world: World) -> None:
    state = await serving(world)
    await cut(world)

    world.board.put(NAME, None)
    emptied = await role(world)
    world.board.put(NAME, split_of(state).encoded())

    assert (emptied, await role(world)) == (BASELINE, BASELINE)


async def test_a_cut_stays_when_the_state_is_read_anew(world: World) -> None:
    await serving(world)
    await cut(world)

    world.gateway._following._refresh(NAME)
    await world.caught_up()

    assert await role(world) is BASELINE


async def test_the_next_canary_is_not_cut_off_with_the_one_before(world: World) -> None:
    await serving(world)
    await cut(world)
    await world.engine.reconcile()
    await world.start(100.0, canary=V3)

    assert (await world.ask(CANARY)).model_version == "risk@3"


async def test_a_rollback_is_acknowledged_by_the_gateways_before_its_record(world: World) -> None:
    await serving(world)
    world.store.goes_down()

    done = await world.do(Rollback())

    assert (done.unacknowledged, bool(done.unrecorded)) == ((), True)


# ------------------------------------------------------------------------------ a board that forgets


async def test_an_emptied_board_sends_all_to_the_baseline_until_it_is_filled_again(world: World) -> None:
    state = await serving(world)

    world.board.put(NAME, None)
    emptied = await role(world)
    world.board.put(NAME, split_of(state).encoded())

    assert (emptied, await role(world)) == (BASELINE, CANARY)


async def test_an_emptied_board_that_gets_an_older_split_sends_all_to_the_baseline(world: World) -> None:
    state = await serving(world)
    await world.do(SetWeight(weight=5.0))

    world.board.put(NAME, None)
    world.board.put(NAME, split_of(state).encoded())

    assert await role(world) is BASELINE


async def test_an_old_copy_of_the_board_brings_no_canary_back(world: World) -> None:
    state = await serving(world)
    world.store.gates["deployment"] = asyncio.Event()
    await world.board.publish(Split(NAME, state.generation + 1))  # rolled back, and the store is not heard of it

    world.board.put(NAME, None)
    world.board.put(NAME, split_of(state).encoded())

    assert await role(world) is BASELINE


# -------------------------------------------------------------------------------------------- lease


async def test_without_a_lease_all_goes_to_the_baseline_and_back_when_it_is_renewed(world: World) -> None:
    await serving(world)
    roles = [await role(world)]

    world.clock.advance(LEASE_S)
    roles.append(await role(world))
    await world.judged()
    roles.append(await role(world))

    assert roles == [CANARY, BASELINE, CANARY]


async def test_what_the_baseline_answers_without_a_lease_is_counted_and_not_compared(world: World) -> None:
    await serving(world)
    world.clock.advance(LEASE_S)

    await role(world)

    assert [world.counted(each, split_version=0).requests for each in Role] == [1, 0]
    assert [world.counted(each).requests for each in Role] == [0, 0]
    assert world.gateway.totals()[NAME].failovers == 0


async def test_without_a_lease_an_entity_of_a_sticky_deployment_goes_to_the_baseline_too(world: World) -> None:
    await serving(world, sticky=True)
    before = await role(world, entity_id="ada")

    world.clock.advance(LEASE_S)

    assert (before, await role(world, entity_id="ada")) == (CANARY, BASELINE)


async def test_without_a_lease_a_forced_request_reaches_the_canary_it_was_meant_for(world: World) -> None:
    await serving(world, allow_forced=True)

    world.clock.advance(LEASE_S)

    assert await role(world, header="always") is CANARY


# ------------------------------------------------------------------- what only the store tells of


async def test_a_change_that_the_board_does_not_tell_of_is_taken_up_when_it_is_noticed(world: World) -> None:
    await serving(world)
    world.shaky_board.goes_down()
    done = await world.do(Rollback())
    before = await role(world)

    world.gateway.notice([done.state])
    await world.caught_up()

    assert (before, await role(world)) == (CANARY, BASELINE)


async def test_a_deployment_that_the_board_does_not_tell_of_is_served_when_it_is_noticed(world: World) -> None:
    await world.register()
    await world.gateway.start()
    world.shaky_board.goes_down()
    state = await world.deploy()

    world.gateway.notice([state])
    await world.caught_up()

    assert (await world.ask()).model_version == "risk@1"


async def test_what_is_served_already_is_not_read_again(world: World) -> None:
    state = await serving(world)
    reads = world.store.calls["deployment"]

    world.gateway.notice([state])

    assert world.gateway._following._refreshing == {}
    assert world.store.calls["deployment"] == reads


async def test_what_is_in_trouble_is_left_to_be_tried_again_in_its_time(world: World) -> None:
    world.gateway._following._retry_interval_s = 60.0
    await world.register()
    state = await world.deploy()
    await world.loaded.close()
    world.models.refuses[V1] = ArtifactCorrupt("torn")
    await world.gateway.start()
    starts = world.models.starts[V1]

    world.gateway.notice([state])

    assert world.gateway._following._refreshing == {}
    assert world.models.starts[V1] == starts


# ---------------------------------------------------------------------------------------- stopping


async def test_the_last_evidence_is_put_up_when_the_gateway_stops(world: World) -> None:
    await world.rolling()
    world.gateway._evidence_interval_s = 60.0
    await world.gateway.start()
    await world.ask(CANARY)

    await world.gateway.stop()

    (report,) = await world.board.reports(f"{NAME}:1")
    assert report.evidence[Key(f"{NAME}:1", "risk@2", 1, CANARY)].requests == 1
    assert not world.gateway.ready
    assert is_over(world)


async def test_a_gateway_that_has_stopped_is_waited_for_no_more(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    await world.gateway.stop()

    assert (await world.do(SetWeight(weight=1.0))).unacknowledged == ()


async def test_a_gateway_whose_board_is_gone_stops_and_says_that_its_last_evidence_is_lost(world: World) -> None:
    await serving(world)
    world.shaky_board.fails["report"] = Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        await world.gateway.stop()

    assert not world.gateway.ready
    assert is_over(world)
    assert (await world.do(SetWeight(weight=1.0))).unacknowledged == (), "it has left all the same"


async def test_a_gateway_that_stops_while_it_waits_for_the_store_stops_at_once(world: World) -> None:
    state = await serving(world)
    world.store.gates["deployment"] = asyncio.Event()
    world.board.put(NAME, Split(NAME, state.generation + 1).encoded())
    await until(lambda: world.store.held)

    await world.gateway.stop()

    assert world.gateway._following._refreshing == {}


async def test_a_gateway_starts_although_a_canarys_model_is_long_in_coming(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.gateway.following.CANARY_PATIENCE_S", 0.0)
    await world.rolling(weight=100.0)
    newcomer = world.beside()
    gate = newcomer.models.gates[V2] = asyncio.Event()

    await newcomer.gateway.start()

    assert newcomer.gateway.ready
    assert await role(newcomer) is BASELINE
    assert list(newcomer.gateway.troubles()) == [NAME]
    gate.set()
    await newcomer.caught_up()
    assert newcomer.gateway.troubles() == {}
    assert await role(newcomer) is CANARY


async def test_a_gateway_waits_for_a_baseline_however_long_it_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.gateway.following.CANARY_PATIENCE_S", 0.0)
    await world.rolling(weight=100.0)
    newcomer = world.beside()
    gate = newcomer.models.gates[V1] = asyncio.Event()
    starting = asyncio.ensure_future(newcomer.gateway.start())
    await asyncio.sleep(0.3)

    assert not newcomer.gateway.ready
    gate.set()
    await starting
    assert newcomer.gateway.ready
