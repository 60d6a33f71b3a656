"""Of any number of checkers one leads, and what another one writes is refused."""

import asyncio

import pytest
from tests.service_layer.doubles import until
from tests.service_layer.world import BAD, FEW, GOOD, NAME, POLICY, WATCHING, World

from serinus.core.commands import Promote, SetWeight
from serinus.core.errors import Deposed, Unavailable
from serinus.core.events import EventKind
from serinus.engine import Given
from serinus.leadership import LEASE_S, Leadership


async def taken_over(world: World) -> World:
    """Let this process's lease run out, and give another process that leads on the same board."""
    world.clock.advance(LEASE_S + 1.0)
    other = world.beside()
    await other.judged()
    return other


# --------------------------------------------------------------------------------------- the lease


async def test_of_two_the_first_leads_and_the_other_knows_who_does(world: World) -> None:
    other = world.beside()
    await other.leadership.renew()

    assert (world.leadership.term, other.leadership.term) == (1, None)
    assert (world.leadership.leader, other.leadership.leader) == ("boot-1", "boot-1")


async def test_a_leader_that_renews_its_lease_keeps_its_term(world: World) -> None:
    other = world.beside()
    for _ in range(5):
        world.clock.advance(LEASE_S / 2)
        await world.leadership.renew()
        await other.leadership.renew()

    assert (world.leadership.term, other.leadership.term) == (1, None)


async def test_a_leader_that_says_nothing_more_is_followed_by_another_in_a_new_term(world: World) -> None:
    other = await taken_over(world)
    before = world.leadership.term
    await world.leadership.renew()

    assert other.leadership.term == 2
    assert (before, world.leadership.term) == (1, None), "it learns of it by the next renewal"
    assert world.leadership.leader == "boot-2"


async def test_a_leader_that_comes_back_before_another_one_leads_in_a_new_term(world: World) -> None:
    world.clock.advance(LEASE_S + 1.0)
    await world.leadership.renew()

    assert world.leadership.term == 2


async def test_a_leader_that_stops_lets_another_one_lead_at_once(world: World) -> None:
    await world.leadership.release()
    other = world.beside()
    await other.leadership.renew()

    assert (world.leadership.term, other.leadership.term) == (None, 2)


async def test_one_that_does_not_lead_releases_nobodys_lease(world: World) -> None:
    other = world.beside()
    await other.leadership.renew()
    await other.leadership.release()
    await other.leadership.renew()

    assert other.leadership.term is None


@pytest.mark.parametrize("trouble", [Unavailable("gone"), RuntimeError("a defect")], ids=["ours", "defect"])
async def test_a_leader_goes_on_while_the_store_does_not_answer_and_tells_of_it_once(
    world: World, trouble: Exception
) -> None:
    world.store.fails["hold"] = trouble
    for _ in range(3):
        world.clock.advance(LEASE_S)
        await world.leadership.renew()

    assert world.leadership.term == 1
    assert len(world.troubles) == 1


async def test_one_that_does_not_lead_does_not_begin_to_while_the_store_does_not_answer(world: World) -> None:
    other = world.beside()
    other.store.goes_down()
    world.clock.advance(LEASE_S + 1.0)
    await other.leadership.renew()

    assert other.leadership.term is None


async def test_a_store_that_says_nothing_is_given_up_after_the_time_of_a_lease(world: World) -> None:
    world.store.falls_silent()
    leadership = Leadership(world.store, "boot-1", world.clock, world.troubles.append, lease_s=0.05)  # type: ignore[arg-type]

    await leadership.renew()

    assert leadership.term is None
    assert len(world.troubles) == 1


async def test_a_store_that_is_gone_is_told_of_again_after_it_was_back(world: World) -> None:
    for trouble in (Unavailable("gone"), None, Unavailable("gone")):
        world.store.fails = {"hold": trouble} if trouble else {}
        await world.leadership.renew()

    assert len(world.troubles) == 2


async def test_a_lease_that_cannot_be_released_runs_out_by_itself(world: World) -> None:
    world.store.goes_down()
    await world.leadership.release()
    other = await taken_over(world)

    assert (world.leadership.term, other.leadership.term) == (None, 2)


async def test_the_lease_is_renewed_again_and_again_whatever_it_meets(world: World) -> None:
    world.store.fails["hold"] = RuntimeError("a defect")
    running = asyncio.ensure_future(world.leadership.run())
    await until(lambda: world.store.calls["hold"] > 3)
    world.store.mended()
    holds = world.store.calls["hold"]
    await until(lambda: world.store.calls["hold"] > holds + 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert world.leadership.term == 1


# ------------------------------------------------------------------------------------------ checking


async def test_a_checker_that_does_not_lead_judges_nothing_and_notes_its_rounds(world: World) -> None:
    await world.rolling(policy=POLICY)
    other = world.beside()

    await other.after(30.0, BAD)

    assert not other.checker.leads
    assert other.checker.ticked_at == world.clock.now()
    assert (await world.engine.deployment(NAME)).status == "canary"


async def test_the_checker_that_took_over_judges_by_all_the_evidence(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.report(BAD)
    other = await taken_over(world)

    await other.after(30.0)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_checker_that_was_paused_while_another_took_over_is_refused_and_steps_down(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.checker.tick()
    other = await taken_over(world)
    await other.after(30.0)

    await world.after(30.0, FEW)  # it does not know yet

    assert not world.checker.leads
    assert await world.since_start() == []
    assert len(await world.real_store.snapshots(f"{NAME}:1")) == 1


@pytest.mark.parametrize("evidence", [GOOD, BAD], ids=["promotion", "rollback"])
async def test_a_checker_that_was_paused_changes_nothing_where_another_leads(world: World, evidence: object) -> None:
    state = await world.rolling(policy=POLICY)
    await world.checker.tick()
    other = await taken_over(world)
    await other.checker.tick()

    await world.after(30.0, evidence)  # type: ignore[arg-type]

    assert await world.engine.deployment(NAME) == state
    assert await world.share() == 50.0


async def test_a_command_of_a_deposed_checker_is_refused_and_writes_nothing(world: World) -> None:
    await world.rolling()
    await taken_over(world)

    for command in (SetWeight(weight=1.0), Promote()):
        with pytest.raises(Deposed):
            await world.engine.execute(NAME, command, Given(term=1))

    assert await world.since_start() == []


async def test_one_that_was_deposed_between_two_rounds_begins_anew_when_it_leads_again(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, FEW)
    other = await taken_over(world)
    await world.leadership.renew()
    await world.checker.tick()
    await other.after(30.0, BAD)
    await other.checker.stop()
    await world.judged()

    await world.after(30.0)

    kinds = [event.kind for event in await world.since_start()]
    assert kinds == [
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLBACK_RECOMMENDED,
    ], "what the other told is not told again"


# ------------------------------------------------------------------------------ the lease of canaries


async def test_a_round_of_the_leader_gives_canaries_their_traffic(world: World) -> None:
    other = world.restarted()  # its board knows of no lease yet
    world.clock.advance(LEASE_S + 1.0)
    await other.leadership.renew()
    before = other.board.leased()

    await other.checker.tick()

    assert (before, other.board.leased()) == (False, True)


async def test_a_checker_that_does_not_lead_renews_no_lease(world: World) -> None:
    other = world.restarted()

    await other.checker.tick()

    assert not other.board.leased()


async def test_a_round_in_which_the_checker_was_deposed_renews_no_lease(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.checker.tick()
    world.clock.advance(4000.0)  # past the lease of canaries
    await world.beside().leadership.renew()

    await world.checker.tick()

    assert not world.checker.leads
    assert not world.board.leased()


async def test_a_round_that_the_board_refuses_makes_the_checker_step_down(world: World) -> None:
    await world.board.renew(7, 1.0)
    world.clock.advance(2.0)

    with pytest.raises(Deposed):
        await world.checker.tick()

    assert not world.checker.leads
    assert not world.board.leased()


async def test_a_round_whose_checks_fail_is_a_round_all_the_same(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.shaky_board.fails["reports"] = Unavailable("gone")
    world.clock.advance(4000.0)

    await world.checker.tick()

    assert world.checker.failures == 1
    assert world.board.leased()
