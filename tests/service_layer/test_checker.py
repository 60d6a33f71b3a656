import asyncio
import gc
import tracemalloc
from typing import Any

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, V2, V3, World, both, counts

from serinus.core.commands import Pause, Rollback, SetWeight
from serinus.core.errors import PlatformError, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Counts, Evidence, arm
from serinus.core.judge import Health, Verdict
from serinus.core.policy import ThresholdPolicy
from serinus.core.records import HealthSnapshot
from serinus.core.routing import Role

STARTED = [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED]
POLICY = ThresholdPolicy(interval_s=30.0, window_s=300.0, min_requests=100)
GOOD, BAD = both(counts(1000), counts(1000)), both(counts(1000), counts(1000, failed=500))
FEW = both(counts(1000), counts(50))
WATCHING: dict[str, Any] = {"auto_rollback": False, "auto_promote": False}


async def after(world: World, seconds: float, evidence: Evidence | None = None) -> None:
    """Let time pass, and evidence come, and the checker make its round."""
    world.clock.advance(seconds)
    if evidence is not None:
        await world.report(evidence)
    await world.checker.tick()


async def newest(world: World, rollout: str = f"{NAME}:1") -> HealthSnapshot:
    return (await world.real_store.snapshots(rollout, limit=1))[0]


async def verdict_of(world: World) -> Verdict:
    verdict = (await newest(world)).verdict
    assert verdict is not None
    return verdict


async def events(world: World) -> list[Event]:
    """Give the events since the start of the rollout."""
    return [entry.event for entry in await world.real_store.events(NAME)][2:]


# ------------------------------------------------------------------------------------------ schedule


async def test_a_rollout_is_checked_when_its_interval_has_passed(world: World) -> None:
    await world.rolling(policy=POLICY)
    checks = []
    for _ in range(7):
        await after(world, 10.0, FEW)
        checks.append(len(await world.real_store.snapshots(f"{NAME}:1")))

    assert checks == [0, 0, 1, 1, 1, 2, 2]


async def test_each_deployment_is_checked_by_its_own_schedule(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("quick", policy=ThresholdPolicy(interval_s=5.0))
    await world.start(name="quick")

    for _ in range(6):
        await after(world, 5.0, FEW)

    assert [len(await world.real_store.snapshots(rollout)) for rollout in (f"{NAME}:1", "quick:1")] == [1, 6]


async def test_a_paused_rollout_is_checked_too(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.do(Pause())

    await after(world, 30.0, BAD)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_deployment_without_a_rollout_is_not_checked(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.do(Rollback())

    await after(world, 30.0, BAD)

    assert await world.real_store.snapshots(f"{NAME}:1") == []


async def test_a_clock_that_is_put_back_does_not_put_off_the_next_check(world: World) -> None:
    await world.rolling(policy=POLICY)
    await after(world, 30.0, FEW)

    await after(world, -3600.0, BAD)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_round_repairs_the_board_first(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.board.put(NAME, None)

    await world.checker.tick()

    assert await world.board.split(NAME) is not None
    assert world.checker.ticked_at == world.clock.now()


# ------------------------------------------------------------------------------- evidence and window


async def test_a_verdict_rests_on_the_window_alone(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    for minute in range(1, 16):  # 100 requests a minute each; the canary fails all of them in the first five
        failed = 100 * min(minute, 5)
        await after(world, 30.0, both(counts(100 * minute - 50), counts(100 * minute - 50, failed=failed - 50)))
        await after(world, 30.0, both(counts(100 * minute), counts(100 * minute, failed=failed)))

    verdict = await verdict_of(world)

    assert (verdict.baseline.requests, verdict.canary.requests) == (500, 500)
    assert verdict.canary.errors == 0
    assert verdict.health is Health.HEALTHY


async def test_before_the_window_is_full_a_verdict_rests_on_the_whole_life(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, both(counts(10), counts(10)))
    await after(world, 240.0, both(counts(70), counts(80)))

    verdict = await verdict_of(world)

    assert (verdict.baseline.requests, verdict.canary.requests) == (70, 80)


async def test_the_window_is_right_though_checks_are_many(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=60.0), **WATCHING)
    for second in range(1, 131):
        await after(world, 1.0, both(counts(second), counts(second)))

    assert (await verdict_of(world)).canary.requests == 60


async def test_the_window_begins_with_the_last_check_before_it(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=60.0), **WATCHING)
    for seconds, requests in ((10.0, 10), (10.0, 20), (55.0, 75)):
        await after(world, seconds, both(counts(requests), counts(requests)))

    assert (await verdict_of(world)).canary.requests == 65


async def test_evidence_of_several_gateways_is_one(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.report(both(counts(60), counts(40)), "gateway-2")

    await after(world, 30.0, both(counts(6), counts(4)))

    verdict = await verdict_of(world)
    assert (verdict.baseline.requests, verdict.canary.requests) == (66, 44)


async def test_both_arms_are_summed_over_changes_of_the_split(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    later = {key._replace(split_version=2): each for key, each in both(counts(5), counts(7)).items()}

    await after(world, 30.0, {**both(counts(60), counts(40)), **later})

    verdict = await verdict_of(world)
    assert (verdict.baseline.requests, verdict.canary.requests) == (65, 47)


async def test_a_long_rollout_takes_no_more_memory_than_a_short_one(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=3600.0), **WATCHING)
    latency = dict.fromkeys(range(600), 10)
    for _ in range(20):
        await after(world, 1.0, both(Counts(6000, latency=latency), Counts(6000, latency=latency)))
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()

    for _ in range(40):
        await after(world, 1.0)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert grown < 200_000, "forty times the evidence of both arms is three times that"


# -------------------------------------------------------------------------------------------- events


async def test_first_silence_is_no_event(world: World) -> None:
    await world.rolling(policy=POLICY)

    await after(world, 30.0)
    await after(world, 30.0, both(counts(50), counts(0)))

    assert await events(world) == []
    assert (await verdict_of(world)).health is Health.INCONCLUSIVE


async def test_health_is_an_event_only_when_it_changes(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=30.0, window_s=30.0), **WATCHING)
    requests, failed = 0, 0
    for more in (0, 0, 4, 4, 0, 50, 50):
        requests, failed = requests + 90, failed + more
        await after(world, 30.0, both(counts(requests), counts(requests, failed=failed)))
    await after(world, 30.0)

    assert [event.kind for event in await events(world)] == [
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_FAILED,  # 4 of 90 are more than half of five points
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLBACK_RECOMMENDED,
        EventKind.HEALTH_CHECK_INCONCLUSIVE,
    ]


async def test_a_critical_canary_is_rolled_back_in_one_transaction(world: World) -> None:
    await world.rolling(policy=POLICY)
    saves = world.store.calls["save"]

    await after(world, 30.0, BAD)

    recorded = await events(world)
    assert [event.kind for event in recorded] == [
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
    ]
    assert {event.generation for event in recorded} == {3}
    assert {event.rollout for event in recorded} == {f"{NAME}:1"}
    assert world.store.calls["save"] == saves + 1
    assert world.store.calls["record"] == 0
    assert (await world.engine.deployment(NAME)).status == "stable"
    assert (await newest(world)).action == "rolled_back"


async def test_the_event_of_a_rollback_has_its_numbers(world: World) -> None:
    await world.rolling(policy=POLICY)

    await after(world, 30.0, BAD)

    triggered = (await events(world))[-1]
    assert triggered.actor == "health-checker"
    assert triggered.data["canary"] == {"requests": 1000, "errors": 500, "error_rate": 0.5, "p95_ms": 24.25}
    assert triggered.reason == (await verdict_of(world)).reason


async def test_a_good_canary_is_promoted(world: World) -> None:
    await world.rolling(policy=POLICY)

    await after(world, 30.0, GOOD)

    assert [event.kind for event in await events(world)] == [
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.PROMOTED,
        EventKind.AUTO_PROMOTION_TRIGGERED,
    ]
    assert (await world.engine.deployment(NAME)).baseline == V2
    assert (await newest(world)).action == "promoted"


@pytest.mark.parametrize(
    ("evidence", "settings", "kind", "why"),
    [
        (GOOD, {"dry_run": True}, EventKind.PROMOTION_RECOMMENDED, "dry run"),
        (BAD, {"dry_run": True}, EventKind.ROLLBACK_RECOMMENDED, "dry run"),
        (GOOD, {"auto_promote": False}, EventKind.PROMOTION_RECOMMENDED, "auto_promote is off"),
        (BAD, {"auto_rollback": False}, EventKind.ROLLBACK_RECOMMENDED, "auto_rollback is off"),
    ],
    ids=["dry promotion", "dry rollback", "no promotion", "no rollback"],
)
async def test_what_is_recommended_and_not_done_is_told_once(
    world: World, evidence: Evidence, settings: dict[str, Any], kind: EventKind, why: str
) -> None:
    state = await world.rolling(policy=POLICY, **settings)

    for _ in range(3):
        await after(world, 30.0, evidence)

    recorded = await events(world)
    assert [event.kind for event in recorded][1:] == [kind]
    assert recorded[1].data["withheld"] == why
    assert (await newest(world)).action == f"withheld: {why}"
    assert await world.engine.deployment(NAME) == state


# -------------------------------------------------------------------------------- somebody else acted


async def test_where_somebody_else_acted_first_nothing_is_done_and_the_next_round_looks_again(world: World) -> None:
    await world.rolling(weight=50.0, policy=POLICY)
    gate = world.store.gates["snapshots"] = asyncio.Event()
    world.clock.advance(30.0)
    await world.report(BAD)
    checking = asyncio.ensure_future(world.checker.tick())
    await until(lambda: world.store.calls["snapshots"])
    await world.do(SetWeight(weight=10.0))
    gate.set()
    await checking

    assert [event.kind for event in await events(world)] == [EventKind.TRAFFIC_ADJUSTED]
    assert (await newest(world)).action == "somebody else acted first"

    await after(world, 1.0)

    assert [event.kind for event in await events(world)][1:] == [
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
    ]


async def test_a_rollout_that_somebody_else_ended_is_left_alone(world: World) -> None:
    await world.rolling(policy=POLICY)
    gate = world.store.gates["snapshots"] = asyncio.Event()
    world.clock.advance(30.0)
    await world.report(GOOD)
    checking = asyncio.ensure_future(world.checker.tick())
    await until(lambda: world.store.calls["snapshots"])
    await world.do(Rollback())
    gate.set()
    await checking

    state = await world.engine.deployment(NAME)
    assert [event.kind for event in await events(world)] == [EventKind.ROLLED_BACK]
    assert state.baseline != V2


# --------------------------------------------------------------------------------- checks that fail


@pytest.mark.parametrize("failure", [Unavailable("gone"), RuntimeError("a defect")], ids=["ours", "defect"])
async def test_a_check_that_fails_holds_and_is_told_once(world: World, failure: Exception) -> None:
    state = await world.rolling(policy=POLICY)
    world.shaky_board.fails["reports"] = failure

    for _ in range(3):
        await after(world, 30.0, BAD)

    assert [event.kind for event in await events(world)] == [EventKind.HEALTH_CHECK_ERROR]
    assert len(world.troubles) == 1
    assert await world.engine.deployment(NAME) == state


async def test_a_check_that_fails_for_another_reason_or_again_later_is_told_again(world: World) -> None:
    await world.rolling(policy=POLICY)
    for failure in (Unavailable("gone"), Unavailable("elsewhere"), None, Unavailable("elsewhere")):
        world.shaky_board.fails = {"reports": failure} if failure else {}
        await after(world, 30.0, FEW)

    assert [event.kind for event in await events(world)] == [
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_ERROR,
    ]


async def test_checks_that_cannot_be_recorded_are_told_once(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    world.store.fails["save_snapshot"] = Unavailable("full")

    for _ in range(3):
        await after(world, 30.0, FEW)

    assert [event.kind for event in await events(world)].count(EventKind.HEALTH_CHECK_ERROR) == 1


async def test_a_check_that_fails_with_the_store_itself_holds_and_goes_on(world: World) -> None:
    await world.rolling(policy=POLICY)
    for call in ("snapshots", "record", "save"):
        world.store.fails[call] = Unavailable("gone")
    await after(world, 30.0, BAD)
    held = await world.engine.deployment(NAME)
    world.store.fails.clear()

    await after(world, 30.0, BAD)

    assert held.status == "canary"
    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_rollback_that_fails_is_tried_again_with_its_events(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.fails["save"] = Unavailable("full")
    await after(world, 30.0, BAD)
    world.store.fails.clear()

    await after(world, 30.0, BAD)

    assert [event.kind for event in await events(world)] == [
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
    ]


async def test_a_check_that_hangs_is_given_up_and_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("other", policy=POLICY)
    await world.start(name="other")
    monkeypatch.setattr("serinus.checker.CHECK_TIMEOUT_S", 0.3)
    real = world.board.reports

    async def hangs(rollout: str) -> object:
        return await real(rollout) if rollout == "other:1" else await asyncio.Event().wait()

    monkeypatch.setattr(world.board, "reports", hangs)
    await world.report(both(counts(1000), counts(1000, failed=500), "other:1"))

    await after(world, 30.0)

    assert (await world.engine.deployment("other")).status == "stable"
    assert [event.kind for event in await events(world)] == [EventKind.HEALTH_CHECK_ERROR]


async def test_the_checker_outlives_a_round_that_fails(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.fails["deployments"] = PlatformError("a row cannot be read")
    running = asyncio.ensure_future(world.checker.run())
    await until(lambda: len(world.troubles) > 1)
    world.store.fails.clear()
    world.clock.advance(30.0)
    await world.report(BAD)

    await until(lambda: world.store.calls["save"] == 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (await world.engine.deployment(NAME)).status == "stable"


# ----------------------------------------------------------------------------------------- restarts


def requests(evidence: Evidence) -> list[int]:
    return [arm(evidence, role).requests for role in Role]


async def totals(world: World) -> list[int]:
    rollout = (await world.engine.deployment(NAME)).rollout
    assert rollout is not None
    return requests(await world.checker.totals(rollout))


async def test_evidence_is_carried_over_restarts_without_loss_and_without_counting_twice(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, both(counts(100), counts(10)))
    await world.report(both(counts(110), counts(11)))  # after the last check
    await world.checker.save()

    second = world.restarted()
    await second.report(both(counts(5), counts(1)))
    assert await totals(second) == [115, 12]
    await second.checker.save()

    third = second.restarted()
    assert await totals(third) == [115, 12]
    await after(third, 30.0, both(counts(1), counts(1)))
    await third.checker.save()
    await third.checker.save()

    fourth = third.restarted()
    assert await totals(fourth) == [116, 13]
    await after(fourth, 30.0, both(counts(4), counts(7)))
    assert requests((await newest(fourth)).evidence) == [120, 20]


async def test_a_process_that_was_killed_loses_what_came_after_its_last_check_and_no_more(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, both(counts(100), counts(10)))
    await world.report(both(counts(110), counts(11)))

    second = world.restarted()
    await second.report(both(counts(5), counts(1)))

    assert await totals(second) == [105, 11]


async def test_evidence_survives_a_store_that_fails_at_the_first_look_after_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, both(counts(100), counts(10)))
    second = world.restarted()
    second.store.fails["snapshots"] = Unavailable("gone")
    await after(second, 30.0, both(counts(5), counts(1)))
    second.store.fails.clear()

    await after(second, 30.0, both(counts(5), counts(1)))

    assert requests((await newest(second)).evidence) == [105, 11]


async def test_two_who_ask_at_once_after_a_restart_are_told_the_same(world: World) -> None:
    state = await world.rolling(policy=POLICY, **WATCHING)
    assert state.rollout is not None
    await after(world, 30.0, both(counts(100), counts(10)))
    second = world.restarted()
    await second.report(both(counts(5), counts(1)))
    slow, real = asyncio.Event(), second.real_store.snapshots

    async def late(*args: Any, **kwargs: Any) -> list[HealthSnapshot]:
        first = second.store.calls["snapshots"] == 1
        if first:
            await slow.wait()
        return await real(*args, **kwargs)

    second.real_store.snapshots = late  # type: ignore[method-assign]
    asking = asyncio.ensure_future(second.checker.totals(state.rollout))
    await until(lambda: second.store.calls["snapshots"])
    await after(second, 30.0)
    slow.set()

    assert requests(await asking) == [105, 11]
    assert await totals(second) == [105, 11]
    second.real_store.snapshots = real  # type: ignore[method-assign]


async def test_the_window_reaches_back_over_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    for check in range(1, 21):  # ten minutes, with ten requests to each arm between checks
        await after(world, 30.0, both(counts(10 * check), counts(10 * check)))
    await world.checker.save()

    second = world.restarted()
    await after(second, 30.0, both(counts(10), counts(10)))

    assert (await verdict_of(second)).canary.requests == 100


async def test_the_window_reaches_back_over_a_restart_past_any_number_of_checks(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=900.0), **WATCHING)
    for second in range(1, 1001):
        world.clock.advance(1.0)
        evidence = both(counts(second), counts(second))
        await world.real_store.save_snapshot(
            HealthSnapshot(NAME, f"{NAME}:1", world.clock.now(), None, "checked", "", evidence)
        )

    later = world.restarted()
    await after(later, 1.0, both(counts(1), counts(1)))

    assert (await verdict_of(later)).canary.requests == 900


async def test_health_and_what_was_withheld_are_remembered_over_restarts(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, BAD)
    told = await events(world)
    await world.checker.save()

    second = world.restarted()
    await second.checker.save()
    third = second.restarted()
    await after(third, 30.0, both(counts(10), counts(10)))

    assert [event.kind for event in told] == [EventKind.HEALTH_CHECK_FAILED, EventKind.ROLLBACK_RECOMMENDED]
    assert await events(third) == told


async def test_the_schedule_goes_on_over_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await after(world, 30.0, FEW)
    second = world.restarted()

    await after(second, 10.0)
    checks = len(await world.real_store.snapshots(f"{NAME}:1"))
    await after(second, 20.0)

    assert (checks, len(await world.real_store.snapshots(f"{NAME}:1"))) == (1, 2)


async def test_what_one_deployment_cannot_save_keeps_no_other_from_being_saved(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("other", policy=POLICY)
    await world.start(name="other")
    real = world.board.reports

    async def fails(rollout: str) -> object:
        if rollout == f"{NAME}:1":
            raise Unavailable("gone")
        return await real(rollout)

    world.board.reports = fails  # type: ignore[assignment, method-assign]
    await world.checker.save()

    assert len(await world.real_store.snapshots("other:1")) == 1
    assert len(world.troubles) == 1


async def test_what_ended_is_forgotten_when_the_next_rollout_begins(world: World) -> None:
    await world.rolling(policy=POLICY)
    await after(world, 30.0, BAD)
    await world.start(canary=V3)

    await after(world, 1.0)
    await after(world, 29.0)

    assert set(world.checker._watches) == {f"{NAME}:2"}
    assert world.clock.now() > NOW
