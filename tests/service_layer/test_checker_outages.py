"""A checker without the store still ends what must end; one without the board lets the lease of canaries run out."""

import asyncio
from collections.abc import Callable

import pytest
from tests.service_layer.doubles import until
from tests.service_layer.world import BAD, FEW, GOOD, LEASE_S, NAME, POLICY, V2, World, both, counts

from serinus.core.commands import Rollback, SetWeight, StartCanary
from serinus.core.errors import Unavailable
from serinus.core.events import EventKind
from serinus.core.policy import ThresholdPolicy
from serinus.core.records import HealthSnapshot
from serinus.core.routing import Role

AUTOMATIC = [EventKind.ROLLED_BACK, EventKind.AUTO_ROLLBACK_TRIGGERED]


async def watched(world: World) -> None:
    """Give a rollout that the checker has looked at once, in the first of its rounds."""
    await world.rolling(policy=POLICY)
    await world.checker.tick()


async def back(world: World) -> list[EventKind]:
    """Bring the store back, and give what is on record when the reconciler has looked twice."""
    world.store.mended()
    await until(lambda: not world.engine._rollbacks._recordings)
    await world.engine.reconcile()
    world.clock.advance(60.0)
    await world.engine.reconcile()
    return [event.kind for event in await world.since_start()]


# ------------------------------------------------------------------------------- the store is gone


async def test_without_the_store_a_bad_canary_loses_its_traffic_and_the_record_follows(world: World) -> None:
    await watched(world)
    world.store.goes_down()

    await world.after(30.0, BAD)
    share, judged_at = await world.share(), world.clock.now()

    assert share == 0.0
    assert await back(world) == AUTOMATIC
    rolled_back, triggered = await world.since_start()
    assert {rolled_back.at, triggered.at, (await world.rollout()).ended_at} == {judged_at}
    assert (rolled_back.actor, rolled_back.reason) == ("health-checker", triggered.reason)
    assert triggered.data["canary"] == {"requests": 1000, "errors": 500, "error_rate": 0.5, "p95_ms": 24.25}


async def test_a_store_that_says_nothing_keeps_no_bad_canary_in_traffic(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await watched(world)
    world.store.falls_silent()
    grow_impatient()

    await world.after(30.0, BAD)

    assert await world.share() == 0.0
    assert await back(world) == [EventKind.HEALTH_CHECK_FAILED, *AUTOMATIC]


async def test_a_store_that_says_nothing_ends_no_round(world: World, grow_impatient: Callable[[], None]) -> None:
    await watched(world)
    world.shaky_board.fails["reports"] = Unavailable("gone")
    world.store.falls_silent()
    grow_impatient()

    await world.after(30.0, BAD)

    assert world.checker.ticked_at == world.clock.now()
    assert world.checker.failures == 1


async def test_without_the_store_nothing_is_promoted_until_it_is_back(world: World) -> None:
    await watched(world)
    world.store.goes_down()
    for _ in range(3):
        await world.after(30.0, GOOD)
    share = await world.share()

    world.store.mended()
    await world.after(30.0, GOOD)

    assert share == 50.0
    assert (await world.engine.deployment(NAME)).baseline == V2


async def test_without_the_store_a_verdict_rests_on_the_window_that_is_remembered(world: World) -> None:
    await watched(world)
    for check in range(1, 21):  # ten minutes
        await world.after(30.0, both(counts(10 * check), counts(check)))
    world.store.goes_down()

    await world.after(30.0, both(counts(300), counts(120, failed=100)))

    cut = await world.cut()
    assert cut is not None
    assert cut.facts["canary"] == {"requests": 109, "errors": 100, "error_rate": 100 / 109, "p95_ms": 24.25}


async def test_without_the_store_a_window_that_is_not_remembered_begins_with_what_is(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=900.0))
    world.clock.advance(2000.0)  # the canary was bad long ago, and of that time nothing is remembered
    for _ in range(60):
        world.clock.advance(1.0)
        at = world.clock.now()
        await world.real_store.save_snapshot(HealthSnapshot(NAME, f"{NAME}:1", at, None, "checked", "", BAD))
    second = world.beside()
    await second.judged()
    await second.report(BAD)
    await second.engine.reconcile()
    await second.checker.tick()
    second.store.goes_down()

    await second.after(1.0, both(counts(1100), counts(1100, failed=500)))
    share = await world.share()
    await second.after(1.0, both(counts(1200), counts(1200, failed=600)))

    assert (share, await world.share()) == (50.0, 0.0)


async def test_without_the_store_a_canary_that_is_cut_off_is_not_rolled_back_again(world: World) -> None:
    await watched(world)
    world.store.goes_down()
    await world.after(30.0, BAD)
    first = await world.cut()
    for _ in range(3):
        await world.after(30.0, BAD)

    assert await world.cut() == first
    assert await back(world) == AUTOMATIC


async def test_without_the_store_a_rollout_that_this_checker_never_saw_is_not_judged(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.goes_down()

    await world.after(30.0, BAD)

    assert await world.share() == 50.0
    assert world.checker.failures == 1


async def test_without_the_store_no_canary_keeps_traffic_beside_one_that_nobody_can_judge(world: World) -> None:
    await watched(world)
    await world.deploy("other")
    await world.do(StartCanary(canary=V2, weight=10.0), "other")
    world.store.goes_down()
    for _ in range(3):
        await world.after(LEASE_S / 2, FEW)
    leased = world.board.leased()

    world.store.mended()
    await world.after(1.0, FEW)

    assert not leased
    assert world.board.leased()


async def test_without_the_store_a_canary_without_a_share_has_no_need_of_a_judge(world: World) -> None:
    await watched(world)
    await world.deploy("other")
    await world.do(StartCanary(canary=V2, weight=10.0), "other")
    world.store.goes_down()
    await world.do(Rollback(), "other")

    for _ in range(3):
        await world.after(LEASE_S / 2, FEW)

    assert world.board.leased()


async def test_without_the_store_the_leader_keeps_canaries_in_traffic(world: World) -> None:
    await watched(world)
    world.store.goes_down()

    for _ in range(3):
        await world.after(LEASE_S / 2, FEW)
        await world.leadership.renew()

    assert world.checker.leads
    assert world.board.leased()


async def test_a_store_that_is_gone_is_told_of_once_until_it_is_back(world: World) -> None:
    await watched(world)
    for _ in range(2):
        world.store.goes_down()
        await world.after(1.0)
        await world.after(1.0)
        world.store.mended()
        await world.after(1.0)

    assert world.troubles == ["health checks go on without the store: SqlStore is gone."] * 2


async def test_news_that_could_not_be_recorded_is_recorded_later(world: World) -> None:
    await watched(world)
    world.store.fails["record"] = Unavailable("full")
    await world.after(30.0, FEW)
    world.store.mended()

    await world.after(30.0, FEW)

    assert [event.kind for event in await world.since_start()] == [EventKind.HEALTH_CHECK_PASSED]


async def test_a_rollback_whose_record_is_late_is_recorded_with_what_led_to_it(world: World) -> None:
    await watched(world)
    gate = world.store.gates["save"] = asyncio.Event()
    checking = asyncio.ensure_future(world.after(30.0, BAD))
    await until(lambda: world.store.held)
    share = await world.share()
    gate.set()
    await checking

    assert share == 0.0
    assert [event.kind for event in await world.since_start()] == [EventKind.HEALTH_CHECK_FAILED, *AUTOMATIC]


async def test_without_the_store_a_checker_that_was_deposed_on_the_board_cuts_nothing(world: World) -> None:
    await watched(world)
    world.store.goes_down()
    await world.board.renew(9, 60.0)

    await world.after(30.0, BAD)

    assert not world.checker.leads
    assert await world.share() == 50.0


# ------------------------------------------------------------------------------- the board is gone


async def test_without_the_board_nothing_is_judged_and_canaries_lose_their_traffic_with_their_lease(
    world: World,
) -> None:
    state = await world.rolling(100.0, policy=POLICY)
    await world.gateway.start()
    for call in ("reports", "renew"):
        world.shaky_board.fails[call] = Unavailable("gone")
    before = (await world.ask(Role.CANARY)).model_role

    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.after(LEASE_S, BAD)

    assert before is Role.CANARY
    assert (await world.ask(Role.CANARY)).model_role is Role.BASELINE
    assert await world.engine.deployment(NAME) == state


async def test_when_the_board_is_back_checks_and_traffic_go_on(world: World) -> None:
    await world.rolling(100.0, policy=POLICY)
    await world.gateway.start()
    world.shaky_board.fails = {"reports": Unavailable("gone"), "renew": Unavailable("gone")}
    with pytest.raises(Unavailable):
        await world.after(2 * LEASE_S, FEW)
    world.shaky_board.mended()

    await world.after(30.0, FEW)

    assert (await world.ask(Role.CANARY)).model_role is Role.CANARY
    assert (await world.verdict()).canary.requests == 50


async def test_without_both_nothing_is_judged_and_nothing_is_lost(world: World) -> None:
    await watched(world)
    world.store.goes_down()
    world.shaky_board.goes_down()
    with pytest.raises(Unavailable):
        await world.after(30.0, BAD)
    world.shaky_board.mended()
    world.store.mended()

    await world.after(30.0, BAD)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_change_of_the_weight_in_between_does_not_end_the_watch(world: World) -> None:
    await watched(world)
    await world.do(SetWeight(weight=5.0))
    world.store.goes_down()

    await world.after(30.0, BAD)

    assert await world.share() == 0.0
