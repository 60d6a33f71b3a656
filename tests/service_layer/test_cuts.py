"""A rollback takes the canary's share away on the board first; the record may come later."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, V1, V2, V3, World

from serinus.core.commands import Command, Configure, Pause, Promote, Resume, Rollback, SetWeight, StartCanary
from serinus.core.deployment import Phase
from serinus.core.errors import Deposed, NotAllowed, NotFound, StaleGeneration, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import verb_of
from serinus.core.policy import Settings
from serinus.core.routing import Role, split_of
from serinus.engine import DeploymentEngine, Done, Given
from serinus.ports import Board, Store

ADA = Rollback(actor="ada", reason="it answers nonsense")
FACTS = {"canary": {"requests": 100, "errors": 50}}


def automatic(world: World) -> Given:
    """Give what a checker sends with its rollback."""
    event = Event(NAME, 2, EventKind.AUTO_ROLLBACK_TRIGGERED, world.clock.now(), "ada", ADA.reason, f"{NAME}:1", FACTS)
    return Given(after=[event])


async def rolled_back_unrecorded(world: World, given: Given | None = None) -> Done:
    """Roll back by ada while the store is gone."""
    world.store.goes_down()
    done = await world.engine.execute(NAME, ADA, given or Given())
    world.store.mended()
    assert done.unrecorded
    return done


# ------------------------------------------------------------------------------------ before the store


async def test_the_share_is_cut_before_the_store_is_asked(world: World) -> None:
    await world.rolling()
    world.store.falls_silent()

    rolling_back = asyncio.ensure_future(world.engine.execute(NAME, ADA))
    await until(lambda: world.store.held)
    share, cut = await world.share(), await world.cut()
    world.store.mended()
    done = await rolling_back

    assert share == 0.0
    assert cut is not None
    assert (cut.actor, cut.reason, cut.at) == ("ada", ADA.reason, NOW.isoformat())
    assert (done.state.status, done.unrecorded, done.unpublished) == ("stable", "", "")


async def test_the_next_request_after_a_cut_goes_to_the_baseline(world: World) -> None:
    await world.rolling(100.0)
    await world.gateway.start()
    world.store.falls_silent()

    rolling_back = asyncio.ensure_future(world.engine.execute(NAME, ADA))
    await until(lambda: world.store.held)
    answered = await world.ask(Role.CANARY)
    world.store.mended()
    await rolling_back

    assert answered.model_role is Role.BASELINE


async def test_a_rollback_that_went_well_is_on_record_and_on_the_board_as_any_other(world: World) -> None:
    await world.rolling()

    done = await world.engine.execute(NAME, ADA)

    assert done.warnings == ()
    assert done.state == await world.real_store.deployment(NAME)
    assert await world.board.split(NAME) == split_of(done.state).encoded()
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]


async def test_a_paused_rollout_is_cut_too(world: World) -> None:
    await world.rolling()
    await world.do(Pause())

    await rolled_back_unrecorded(world)

    assert await world.share() == 0.0


# ------------------------------------------------------------------------------- the store is gone


async def test_without_the_store_a_rollback_is_in_force_and_says_that_its_record_follows(world: World) -> None:
    await world.rolling()
    world.store.goes_down()

    done = await world.engine.execute(NAME, ADA)

    assert done.unrecorded == "SqlStore is gone."
    assert done.warnings == ("The canary gets no traffic any more; the record follows. SqlStore is gone.",)
    assert done.events == ()
    assert await world.share() == 0.0


async def test_the_state_of_a_rollback_that_is_not_on_record_yet_is_the_one_that_will_be(world: World) -> None:
    await world.rolling()

    done = await rolled_back_unrecorded(world)
    world.clock.advance(60.0)
    await world.engine.reconcile()

    assert done.state.status == "stable"
    assert await world.real_store.deployment(NAME) == done.state


async def test_a_store_that_says_nothing_holds_a_rollback_up_for_a_moment_only(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling()
    world.store.falls_silent()
    grow_impatient()

    done = await world.engine.execute(NAME, ADA)

    assert done.state.status == "stable"
    assert "has not answered within" in done.unrecorded


@pytest.mark.parametrize("call", ["deployment", "save"])
async def test_a_store_that_answers_late_has_the_record_then_and_once(
    world: World, grow_impatient: Callable[[], None], call: str
) -> None:
    await world.rolling()
    world.store.gates[call] = asyncio.Event()
    grow_impatient()
    done = await world.engine.execute(NAME, ADA)
    world.clock.advance(60.0)

    world.store.mended()
    await until(lambda: not world.engine._rollbacks._recordings)
    await world.engine.reconcile()

    assert done.unrecorded
    assert await world.real_store.deployment(NAME) == done.state
    assert [(event.kind, event.at) for event in await world.since_start()] == [(EventKind.ROLLED_BACK, NOW)]


async def test_a_record_that_was_written_and_never_confirmed_is_not_written_again(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling()
    world.store.late["save"] = asyncio.Event()
    grow_impatient()
    done = await world.engine.execute(NAME, ADA)
    world.clock.advance(60.0)
    await until(lambda: world.store.held)

    repaired = await world.engine.reconcile()  # by what is on record already
    world.store.mended()
    await until(lambda: not world.engine._rollbacks._recordings)

    assert done.unrecorded
    assert repaired == [NAME]
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]


async def test_a_caller_who_goes_away_leaves_the_cut_in_force_and_its_record_to_come(world: World) -> None:
    await world.rolling()
    world.store.falls_silent()
    rolling_back = asyncio.ensure_future(world.engine.execute(NAME, ADA))
    await until(lambda: world.store.held)

    rolling_back.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rolling_back
    share = await world.share()
    world.store.mended()
    await until(lambda: not world.engine._rollbacks._recordings)

    assert share == 0.0
    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_process_that_never_saw_the_deployment_cannot_tell_its_state_and_says_that_it_is_cut(
    world: World,
) -> None:
    await world.rolling()
    other = world.beside()
    other.store.goes_down()

    with pytest.raises(Unavailable, match="gets no traffic any more"):
        await other.engine.execute(NAME, ADA)

    assert await world.share() == 0.0


async def test_a_board_that_fails_after_a_cut_keeps_no_rollback_from_being_answered(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    world.shaky_board.fails["unacknowledged"] = Unavailable("The board is gone.")

    done = await world.engine.execute(NAME, ADA)

    assert done.state.status == "stable"
    assert "The board is gone." in done.unrecorded


async def test_gateways_that_have_not_taken_over_a_cut_are_named(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    await world.board.join("deaf", lambda _deployment, _split: None)
    engine = DeploymentEngine(
        store=cast("Store", world.store),
        board=cast("Board", world.shaky_board),
        loaded=world.loaded,
        clock=world.clock,
        acknowledgement_timeout_s=0.005,
    )
    await engine.deployment(NAME)
    world.store.goes_down()

    done = await engine.execute(NAME, ADA)

    assert done.unacknowledged == ("deaf",)


# ------------------------------------------------------------------------------- the board is gone


async def test_without_the_board_a_rollback_goes_through_the_store(world: World) -> None:
    await world.rolling()
    world.shaky_board.goes_down()

    done = await world.engine.execute(NAME, ADA)

    assert done.state == await world.real_store.deployment(NAME)
    assert done.state.status == "stable"
    assert done.unpublished == "MemoryBoard is gone."
    assert done.warnings == (
        "The change is on record; until the board is back, gateways give the canary no traffic. MemoryBoard is gone.",
    )


async def test_without_the_board_and_the_store_a_rollback_is_refused_and_says_what_becomes_of_the_canary(
    world: World,
) -> None:
    state = await world.rolling()
    world.shaky_board.goes_down()
    world.store.goes_down()

    with pytest.raises(Unavailable) as refused:
        await world.engine.execute(NAME, ADA)

    assert "MemoryBoard is gone. SqlStore is gone." in refused.value.message
    assert "Without its lease the canary loses its traffic by itself" in refused.value.remedy
    assert await world.real_store.deployment(NAME) == state


async def test_a_board_that_has_lost_the_split_keeps_no_canary_from_being_rolled_back(world: World) -> None:
    await world.rolling()
    world.board.put(NAME, None)

    done = await world.engine.execute(NAME, ADA)

    assert done.state.status == "stable"
    assert await world.board.split(NAME) == split_of(done.state).encoded()


async def test_a_board_that_has_lost_the_split_gets_it_with_the_cut_though_the_store_is_gone(world: World) -> None:
    await world.rolling()
    world.board.put(NAME, None)

    done = await rolled_back_unrecorded(world)

    assert done.state.status == "stable"
    assert await world.share() == 0.0


# ---------------------------------------------------------------------------- what cannot be rolled back


async def test_a_second_rollback_while_the_first_is_in_force_is_not_allowed_and_names_the_first(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)
    world.store.goes_down()
    world.clock.advance(1.0)

    with pytest.raises(NotAllowed, match=f"by ada at {NOW.isoformat().replace('+', '.')}: its canary gets no traffic"):
        await world.engine.execute(NAME, Rollback(actor="ben"))

    cut = await world.cut()
    assert cut is not None
    assert cut.actor == "ada"


async def test_a_rollback_after_the_record_is_not_allowed(world: World) -> None:
    await world.rolling()
    await world.engine.execute(NAME, ADA)

    with pytest.raises(NotAllowed):
        await world.engine.execute(NAME, ADA)

    assert len(await world.since_start()) == 1


async def test_what_is_not_there_or_has_no_canary_is_not_rolled_back(world: World) -> None:
    await world.register()
    with pytest.raises(NotFound):
        await world.do(ADA)
    await world.deploy()

    with pytest.raises(NotAllowed):
        await world.do(ADA)


async def test_a_rollback_of_another_generation_cuts_nothing(world: World) -> None:
    await world.rolling(40.0)

    with pytest.raises(StaleGeneration):
        await world.engine.execute(NAME, ADA, Given(expected_generation=1))

    assert await world.share() == 40.0


async def test_a_checker_that_was_deposed_on_the_board_cuts_nothing(world: World) -> None:
    await world.rolling(40.0)
    await world.board.renew(9, 60.0)

    with pytest.raises(Deposed):
        await world.engine.execute(NAME, ADA, Given(term=1))

    assert await world.share() == 40.0
    assert await world.since_start() == []


async def test_a_cut_of_a_checker_that_the_store_refuses_stays_in_force_and_is_recorded_by_the_others(
    world: World,
) -> None:
    await world.rolling()
    other = world.beside()
    world.clock.advance(60.0)
    await other.leadership.renew()  # and the board has not heard of it

    with pytest.raises(Deposed):
        await world.engine.execute(NAME, ADA, Given(term=1))
    before = await world.share(), await world.since_start()
    await other.engine.reconcile()
    world.clock.advance(60.0)
    await other.engine.reconcile()

    assert before == (0.0, [])
    assert [event.actor for event in await world.since_start()] == ["ada"]


# ------------------------------------------------------------------------ other commands, while it is up


@pytest.mark.parametrize("command", [Promote(), SetWeight(weight=80.0), Pause()], ids=verb_of)
async def test_any_other_command_on_a_canary_that_is_cut_off_finds_it_rolled_back(
    world: World, command: Command
) -> None:
    await world.rolling(40.0)
    await rolled_back_unrecorded(world, automatic(world))
    world.clock.advance(0.1)  # and nobody else has recorded it

    with pytest.raises(NotAllowed):
        await world.do(command)

    assert [(event.kind, event.actor, event.at) for event in await world.since_start()] == [
        (EventKind.ROLLED_BACK, "ada", NOW),
        (EventKind.AUTO_ROLLBACK_TRIGGERED, "ada", NOW),
    ]
    assert await world.share() == 0.0


async def test_a_paused_canary_that_is_cut_off_cannot_be_resumed(world: World) -> None:
    await world.rolling()
    await world.do(Pause())
    await rolled_back_unrecorded(world)

    with pytest.raises(NotAllowed):
        await world.do(Resume())

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_settings_can_be_changed_after_a_cut_which_is_recorded_before(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)

    done = await world.do(Configure(settings=Settings(allow_forced=True)))

    assert done.state.status == "stable"
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK, EventKind.CONFIGURED]


async def test_the_next_canary_can_be_started_after_a_cut_and_is_not_cut(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)

    done = await world.start(30.0, canary=V3)
    await world.engine.reconcile()

    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK, EventKind.CANARY_STARTED]
    assert done.state.active is not None
    assert await world.share() == 30.0


async def test_without_the_store_no_other_command_is_carried_out_on_a_canary_that_is_cut_off(world: World) -> None:
    await world.rolling()
    world.store.goes_down()
    await world.engine.execute(NAME, ADA)

    with pytest.raises(Unavailable):
        await world.do(Promote())

    assert await world.share() == 0.0


async def test_a_cut_that_only_this_process_remembers_stops_a_promotion_though_the_board_is_gone(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)
    world.shaky_board.goes_down()

    with pytest.raises(NotAllowed):
        await world.do(Promote())

    assert (await world.engine.deployment(NAME)).baseline == V1


async def test_a_second_rollback_without_the_board_leaves_the_record_to_the_first(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)
    world.shaky_board.goes_down()

    with pytest.raises(NotAllowed):
        await world.do(Rollback(actor="ben"))

    assert [event.actor for event in await world.since_start()] == ["ada"]


# ---------------------------------------------------------------------------------------- the record


async def test_the_record_of_a_cut_has_its_time_actor_reason_and_numbers(world: World) -> None:
    await world.rolling(40.0)
    await rolled_back_unrecorded(world, automatic(world))
    world.clock.advance(60.0)

    await world.engine.reconcile()

    rolled_back, triggered = await world.since_start()
    assert (rolled_back.kind, triggered.kind) == (EventKind.ROLLED_BACK, EventKind.AUTO_ROLLBACK_TRIGGERED)
    assert triggered.data == FACTS
    for event in (rolled_back, triggered):
        assert (event.at, event.actor, event.reason) == (NOW, "ada", ADA.reason)
        assert (event.generation, event.rollout) == (3, f"{NAME}:1")
    rollout = await world.rollout()
    assert (rollout.phase, rollout.ended_at, rollout.reason) == (Phase.ROLLED_BACK, NOW, ADA.reason)


async def test_a_rollback_by_hand_has_no_event_of_an_automatic_one(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)
    world.clock.advance(60.0)

    await world.engine.reconcile()

    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]


async def test_a_clock_that_is_put_back_changes_neither_the_cut_nor_when_it_is_recorded(world: World) -> None:
    await world.rolling()
    world.clock.advance(10.0)
    await rolled_back_unrecorded(world)
    world.clock.at -= timedelta(hours=1)
    world.clock.seconds += 60.0

    await world.engine.reconcile()

    assert [(event.kind, event.at) for event in await world.since_start()] == [
        (EventKind.ROLLED_BACK, NOW + timedelta(seconds=10))
    ]


async def test_a_new_canary_after_a_cut_is_rolled_back_for_itself(world: World) -> None:
    await world.rolling()
    await rolled_back_unrecorded(world)
    await world.do(StartCanary(canary=V2, weight=10.0))
    world.clock.advance(5.0)

    done = await world.do(Rollback(actor="ben"))

    assert (done.state.status, done.unrecorded) == ("stable", "")
    assert [(event.actor, event.rollout) for event in await world.since_start()] == [
        ("ada", f"{NAME}:1"),
        ("unknown", f"{NAME}:2"),
        ("ben", f"{NAME}:2"),
    ]
