import asyncio
import gc
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import BAD, FEW, GOOD, NAME, POLICY, V2, V3, WATCHING, World, both, counts

from serinus.checker import KEPT_IN_MEMORY, Watch
from serinus.core.commands import Pause, Rollback, SetWeight
from serinus.core.errors import PlatformError, Unavailable
from serinus.core.events import EventKind
from serinus.core.evidence import Counts, Evidence
from serinus.core.judge import Health
from serinus.core.policy import ThresholdPolicy
from serinus.core.records import EvidenceReport

WINDOW_OF_A_CHECK = ThresholdPolicy(interval_s=30.0, window_s=30.0, min_requests=100)


# ------------------------------------------------------------------------------------------ schedule


async def test_a_rollout_is_checked_when_its_interval_has_passed(world: World) -> None:
    await world.rolling(policy=POLICY)
    checks = []
    for _ in range(7):
        await world.after(10.0, FEW)
        checks.append(len(await world.real_store.snapshots(f"{NAME}:1")))

    assert checks == [0, 0, 1, 1, 1, 2, 2]


async def test_each_deployment_is_checked_by_its_own_schedule(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("quick", policy=ThresholdPolicy(interval_s=5.0))
    await world.start(name="quick")

    for _ in range(6):
        await world.after(5.0, FEW)

    assert [len(await world.real_store.snapshots(rollout)) for rollout in (f"{NAME}:1", "quick:1")] == [1, 6]


async def test_a_paused_rollout_is_checked_too(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.do(Pause())

    await world.after(30.0, BAD)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_deployment_without_a_rollout_is_not_checked(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.do(Rollback())

    await world.after(30.0, BAD)

    assert await world.real_store.snapshots(f"{NAME}:1") == []


async def test_a_clock_that_is_put_back_does_not_put_off_the_next_check(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.after(30.0, FEW)

    await world.after(-3600.0, BAD)

    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_round_leaves_the_board_to_the_reconciler_and_notes_when_it_ended(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.board.put(NAME, None)

    await world.after(7.0)

    assert await world.board.split(NAME) is None
    assert world.checker.ticked_at == world.clock.now()


# ------------------------------------------------------------------------------- evidence and window


async def test_a_verdict_rests_on_the_window_alone(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    for minute in range(1, 16):  # 100 requests a minute each; the canary fails all of them in the first five
        failed = 100 * min(minute, 5)
        await world.after(30.0, both(counts(100 * minute - 50), counts(100 * minute - 50, failed=failed - 50)))
        await world.after(30.0, both(counts(100 * minute), counts(100 * minute, failed=failed)))

    verdict = await world.verdict()

    assert (verdict.baseline.requests, verdict.canary.requests) == (500, 500)
    assert verdict.canary.errors == 0
    assert verdict.health is Health.HEALTHY


async def test_before_the_window_is_full_a_verdict_rests_on_the_whole_life(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, both(counts(10), counts(10)))
    await world.after(240.0, both(counts(70), counts(80)))

    verdict = await world.verdict()

    assert (verdict.baseline.requests, verdict.canary.requests) == (70, 80)


async def test_the_window_is_right_though_checks_are_many(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=60.0), **WATCHING)
    for second in range(1, 131):
        await world.after(1.0, both(counts(second), counts(second)))

    assert (await world.verdict()).canary.requests == 60


async def test_the_window_begins_with_the_last_check_before_it(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=60.0), **WATCHING)
    for seconds, requests in ((10.0, 10), (10.0, 20), (55.0, 75)):
        await world.after(seconds, both(counts(requests), counts(requests)))

    assert (await world.verdict()).canary.requests == 65


async def test_evidence_of_several_gateways_is_one(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.report(both(counts(60), counts(40)), "boot-of-another-gateway")

    await world.after(30.0, both(counts(6), counts(4)))

    verdict = await world.verdict()
    assert (verdict.baseline.requests, verdict.canary.requests) == (66, 44)


async def test_both_arms_are_summed_over_changes_of_the_split(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    later = {key._replace(split_version=2): each for key, each in both(counts(5), counts(7)).items()}

    await world.after(30.0, {**both(counts(60), counts(40)), **later})

    verdict = await world.verdict()
    assert (verdict.baseline.requests, verdict.canary.requests) == (65, 47)


async def test_a_long_rollout_takes_no_more_memory_than_its_window_does(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=10.0), **WATCHING)
    latency = dict.fromkeys(range(300), 10)
    for _ in range(15):
        await world.after(1.0, both(Counts(3000, latency=latency), Counts(3000, latency=latency)))
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()

    for _ in range(30):
        await world.after(1.0)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert grown < 300_000, "thirty times the evidence of both arms is twice that"


def test_what_is_remembered_of_a_rollout_is_bounded_however_long_its_window_is() -> None:
    watch = Watch()
    for second in range(5000):
        watch.remember(NOW + timedelta(seconds=second), both(counts(second), counts(second)), NOW)

    past = [at for at, _ in watch.past]
    assert len(past) <= KEPT_IN_MEMORY
    assert past == sorted(past)
    assert (past[0], past[-1]) == (NOW, NOW + timedelta(seconds=4999))


def test_of_past_checks_the_last_one_before_the_window_is_remembered() -> None:
    watch = Watch()
    for second in range(100):
        at = NOW + timedelta(seconds=second)
        watch.remember(at, both(counts(second), counts(second)), at - timedelta(seconds=10))

    assert len(watch.past) == 11
    assert watch.evidence_at(NOW + timedelta(seconds=95.5)) == both(counts(95), counts(95))
    assert watch.evidence_at(NOW) == both(counts(89), counts(89)), "the oldest, where there is none so old"
    assert Watch().evidence_at(NOW) == {}


async def test_evidence_that_has_become_less_is_not_judged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    state = await world.rolling(policy=WINDOW_OF_A_CHECK)
    await world.after(30.0, both(counts(500), counts(90, failed=4)))
    second = await world.replaced()

    async def nothing(_: str) -> list[EvidenceReport]:
        return []

    monkeypatch.setattr(world.real_store, "kept_reports", nothing)
    await second.after(30.0, both(counts(300), counts(200)))

    assert (await world.since_start())[-1].kind is EventKind.HEALTH_CHECK_ERROR
    assert await world.engine.deployment(NAME) == state


# -------------------------------------------------------------------------------------------- events


async def test_first_silence_is_no_event(world: World) -> None:
    await world.rolling(policy=POLICY)

    await world.after(30.0)
    await world.after(30.0, both(counts(50), counts(0)))

    assert await world.since_start() == []
    assert (await world.verdict()).health is Health.INCONCLUSIVE


async def test_health_is_an_event_only_when_it_changes(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=30.0, window_s=30.0), **WATCHING)
    requests, failed = 0, 0
    for more in (0, 0, 4, 4, 0, 50, 50):
        requests, failed = requests + 90, failed + more
        await world.after(30.0, both(counts(requests), counts(requests, failed=failed)))
    await world.after(30.0)

    assert [event.kind for event in await world.since_start()] == [
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

    await world.after(30.0, BAD)

    recorded = await world.since_start()
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
    assert (await world.newest_check()).action == "rolled_back"


async def test_the_event_of_a_rollback_has_its_numbers(world: World) -> None:
    await world.rolling(policy=POLICY)

    await world.after(30.0, BAD)

    triggered = (await world.since_start())[-1]
    assert triggered.actor == "health-checker"
    assert triggered.data["canary"] == {"requests": 1000, "errors": 500, "error_rate": 0.5, "p95_ms": 24.25}
    assert triggered.reason == (await world.verdict()).reason


async def test_a_good_canary_is_promoted(world: World) -> None:
    await world.rolling(policy=POLICY)

    await world.after(30.0, GOOD)

    assert [event.kind for event in await world.since_start()] == [
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.PROMOTED,
        EventKind.AUTO_PROMOTION_TRIGGERED,
    ]
    assert (await world.engine.deployment(NAME)).baseline == V2
    assert (await world.newest_check()).action == "promoted"


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
        await world.after(30.0, evidence)

    recorded = await world.since_start()
    assert [event.kind for event in recorded][1:] == [kind]
    assert recorded[1].data["withheld"] == why
    assert (await world.newest_check()).action == f"withheld: {why}"
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

    assert [event.kind for event in await world.since_start()] == [EventKind.TRAFFIC_ADJUSTED]
    assert (await world.newest_check()).action == "somebody else acted first"

    await world.after(1.0)

    assert [event.kind for event in await world.since_start()][1:] == [
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
    assert [event.kind for event in await world.since_start()] == [EventKind.ROLLED_BACK]
    assert state.baseline != V2


# --------------------------------------------------------------------------------- checks that fail


@pytest.mark.parametrize("failure", [Unavailable("gone"), RuntimeError("a defect")], ids=["ours", "defect"])
async def test_a_check_that_fails_holds_and_is_told_once(world: World, failure: Exception) -> None:
    state = await world.rolling(policy=POLICY)
    world.shaky_board.fails["reports"] = failure

    for _ in range(3):
        await world.after(30.0, BAD)

    assert [event.kind for event in await world.since_start()] == [EventKind.HEALTH_CHECK_ERROR]
    assert len(world.troubles) == 1
    assert await world.engine.deployment(NAME) == state


async def test_a_check_that_fails_for_another_reason_or_again_later_is_told_again(world: World) -> None:
    await world.rolling(policy=POLICY)
    for failure in (Unavailable("gone"), Unavailable("elsewhere"), None, Unavailable("elsewhere")):
        world.shaky_board.fails = {"reports": failure} if failure else {}
        await world.after(30.0, FEW)

    assert [event.kind for event in await world.since_start()] == [
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_ERROR,
    ]


async def test_checks_that_cannot_be_kept_are_told_of_once_and_go_on(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.fails["save_snapshot"] = Unavailable("full")
    for _ in range(3):
        await world.after(30.0, FEW)
    troubles = list(world.troubles)

    await world.after(30.0, BAD)

    assert troubles == ["health checks go on, and are not on record: full"]
    assert world.checker.failures == 0
    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_a_rollback_that_neither_board_nor_store_takes_is_tried_again_with_its_events(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.fails["save"] = world.shaky_board.fails["cut"] = Unavailable("full")
    await world.after(30.0, BAD)
    held = (await world.engine.deployment(NAME)).status
    world.store.mended()
    world.shaky_board.mended()

    await world.after(30.0, BAD)

    assert held == "canary"
    assert [event.kind for event in await world.since_start()] == [
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
    ]


async def test_a_check_that_hangs_is_given_up_and_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("other", policy=POLICY)
    await world.start(name="other")
    monkeypatch.setattr("serinus.checker.checker.CHECK_TIMEOUT_S", 3.0)
    real = world.board.reports

    async def hangs(rollout: str) -> object:
        return await real(rollout) if rollout == "other:1" else await asyncio.Event().wait()

    monkeypatch.setattr(world.board, "reports", hangs)
    await world.report(both(counts(1000), counts(1000, failed=500), "other:1"))

    await world.after(30.0)

    assert (await world.engine.deployment("other")).status == "stable"
    assert [event.kind for event in await world.since_start()] == [EventKind.HEALTH_CHECK_ERROR]


async def test_the_checker_outlives_a_round_that_fails(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=2.0, window_s=300.0))
    world.store.fails["deployments"] = PlatformError("a row cannot be read")
    running = asyncio.ensure_future(world.checker.run())
    await until(lambda: world.checker.failures > 1)
    world.store.fails.clear()
    world.clock.advance(2.0)  # within the lease of the one that leads
    await world.report(BAD)

    await until(lambda: world.store.calls["save"] == 3 and not world.engine._rollbacks._recordings)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert world.troubles == ["a round of health checks failed: a row cannot be read"]
    assert (await world.engine.deployment(NAME)).status == "stable"


async def test_what_ended_is_forgotten_when_the_next_rollout_begins(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.after(30.0, BAD)
    await world.start(canary=V3)

    await world.after(1.0)
    await world.after(29.0)

    assert set(world.checker._watches) == {f"{NAME}:2"}
