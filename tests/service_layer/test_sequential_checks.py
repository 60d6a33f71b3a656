"""The checker with the sequential policy: what it does, when it looks, and that no look is lost or taken twice."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from tests.service_layer.world import NAME, V1, V2, World, both

from serinus.core.commands import Configure, SetWeight
from serinus.core.deployment import Phase
from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.events import EventKind
from serinus.core.evidence import Counts, Evidence, Key, since
from serinus.core.judge import Health, Recommendation, Verdict
from serinus.core.ledger import outside
from serinus.core.looks import Look, replayed, taken_in
from serinus.core.looks import Tested as HowFar
from serinus.core.policy import DRY_RUN, GUARDRAIL, SIGNAL, SequentialPolicy, Settings, ThresholdPolicy
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role

ROLLOUT = f"{NAME}:1"
POLICY = SequentialPolicy(bake_s=10.0)
WATCHING: dict[str, Any] = {"policy": POLICY, "auto_rollback": False, "auto_promote": False}
AUTOMATIC = [EventKind.ROLLED_BACK, EventKind.AUTO_ROLLBACK_TRIGGERED]


def arm(requests: int, failed: int = 0, slower_ms: float = 0.0) -> Counts:
    """Give the counts of an arm whose p95 is about 22 ms; one that is slower is slower in each of its requests."""
    slow = requests // 25
    shift = 120 if slower_ms else 0
    latency = {153 + shift: requests - slow, 163 + shift: slow}
    return Counts(requests, failed, latency={bucket: count for bucket, count in latency.items() if count})


def alike(requests: int, failed: int = 0) -> dict[Key, Counts]:
    return both(arm(requests, failed), arm(requests, failed))


def of_another(evidence: Evidence) -> dict[Key, Counts]:
    """Give the same evidence, of another deployment's rollout."""
    return {key._replace(rollout="other:1"): counts for key, counts in evidence.items()}


async def looks(world: World) -> list[Look]:
    return [snapshot.look for _, snapshot in await world.real_store.looks(ROLLOUT) if snapshot.look is not None]


async def so_far(world: World) -> HowFar:
    found = await world.real_store.tested(ROLLOUT)
    assert found is not None
    return found


def said(verdict: Verdict | None) -> str:
    """Give a verdict as it is told."""
    assert verdict is not None
    return json.dumps(asdict(verdict), default=str)


async def judged_again(world: World) -> tuple[list[str], list[str]]:
    """Give the verdicts on record, and those of the looks on record when they are judged again."""
    snapshots = [snapshot for _, snapshot in await world.real_store.looks(ROLLOUT)]
    policies = [snapshot.verdict.policy for snapshot in snapshots if snapshot.verdict]
    found = replayed(
        [snapshot.look for snapshot in snapshots if snapshot.look],
        [policy for policy in policies if isinstance(policy, SequentialPolicy)],
    )
    return [said(snapshot.verdict) for snapshot in snapshots], [said(judged.verdict) for judged in found]


# --------------------------------------------------------------------------------------- what it does


async def test_a_broken_canary_is_rolled_back_with_what_was_found_as_the_reason(world: World) -> None:
    await world.rolling(policy=POLICY)

    await world.after(1.0, both(arm(100), arm(100, failed=60)))

    rollout = await world.rollout()
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.reason == (
        "canary errors 60.0 % against 0.0 %: odds more than a million to 1 against 'within 0.5 points', "
        "since 12:00:00 UTC"
    )
    assert [event.kind for event in await world.since_start()] == [EventKind.HEALTH_CHECK_FAILED, *AUTOMATIC]
    assert {event.reason for event in await world.since_start()} == {rollout.reason}


async def test_a_slow_canary_is_rolled_back(world: World) -> None:
    await world.rolling(policy=POLICY)
    await world.after(1.0, alike(500))

    await world.after(1.0, both(arm(600), arm(500) + arm(100, slower_ms=200.0)))

    assert (await world.rollout()).phase is Phase.ROLLED_BACK
    assert "p95" in (await world.rollout()).reason


async def test_a_good_canary_is_promoted_when_it_has_baked_and_not_before(world: World) -> None:
    await world.rolling(policy=POLICY)
    for second in range(1, 10):
        await world.after(1.0, alike(1000 * second, failed=3 * second))
    before = (await world.engine.deployment(NAME)).baseline
    for second in range(10, 12):
        await world.after(1.0, alike(1000 * second, failed=3 * second))

    assert (before, (await world.engine.deployment(NAME)).baseline) == (V1, V2)
    assert (await world.since_start())[-1].kind is EventKind.AUTO_PROMOTION_TRIGGERED


async def test_while_the_last_counts_of_a_gateway_are_missing_nothing_is_promoted_and_what_is_bad_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rolling(policy=POLICY)
    monkeypatch.setattr(world.board, "gone", lambda: ["gateway-7"])
    for second in range(1, 15):
        await world.after(1.0, alike(1000 * second))

    held = await world.newest_check()
    baseline = (await world.engine.deployment(NAME)).baseline
    await world.after(1.0, both(arm(16_000), arm(16_000, failed=900)))

    assert "gateway-7 went without a word" in held.action
    assert baseline == V1
    assert (await world.rollout()).phase is Phase.ROLLED_BACK


async def test_a_canary_that_is_worse_by_more_than_the_margin_is_not_promoted(world: World) -> None:
    await world.rolling(policy=POLICY, auto_rollback=False)
    for second in range(1, 30):
        await world.after(1.0, both(arm(500 * second, failed=2 * second), arm(500 * second, failed=40 * second)))

    assert (await world.engine.deployment(NAME)).baseline == V1


async def test_what_the_split_did_not_draw_is_no_evidence(world: World) -> None:
    await world.rolling(policy=POLICY)
    aside = {key._replace(split_version=0): counts for key, counts in both(arm(500), arm(500, 500)).items()}

    await world.after(30.0, aside)

    verdict = await world.verdict()
    assert (verdict.health, verdict.recommendation) == (Health.INCONCLUSIVE, Recommendation.HOLD)
    assert verdict.reason == "no traffic on the canary and the baseline yet: nothing to compare"
    assert await world.share() == 50.0


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ({}, "no traffic on the canary and the baseline yet: nothing to compare"),
        (both(arm(500), Counts()), "no traffic on the canary yet: nothing to compare"),
        (both(Counts(), arm(500, 500)), "no traffic on the baseline yet: nothing to compare"),
    ],
)
async def test_without_data_on_both_sides_it_holds(world: World, evidence: Evidence, reason: str) -> None:
    await world.rolling(policy=POLICY)

    await world.after(60.0, evidence)

    verdict = await world.verdict()
    assert (verdict.health, verdict.recommendation, verdict.reason) == (
        Health.INCONCLUSIVE,
        Recommendation.HOLD,
        reason,
    )
    assert await world.share() == 50.0


async def test_where_the_canary_does_not_get_its_share_it_holds_and_says_so(world: World) -> None:
    await world.rolling(policy=POLICY)
    for second in range(1, 21):
        await world.after(1.0, both(arm(1000 * second), arm(500 * second)))

    verdict = await world.verdict()
    assert (verdict.health, verdict.recommendation) == (Health.INCONCLUSIVE, Recommendation.HOLD)
    assert verdict.reason.startswith("the canary got 10000 of 30000 requests: odds more than a million to 1")
    assert verdict.alarms == (verdict.reason,)
    assert (await world.engine.deployment(NAME)).baseline == V1


async def test_where_the_canary_gets_more_than_its_share_it_holds_and_says_so(world: World) -> None:
    await world.rolling(policy=POLICY)
    for second in range(1, 21):
        await world.after(1.0, both(arm(500 * second), arm(1000 * second)))

    verdict = await world.verdict()
    assert (verdict.health, verdict.recommendation) == (Health.INCONCLUSIVE, Recommendation.HOLD)
    assert verdict.alarms == (verdict.reason,)
    assert (await world.engine.deployment(NAME)).baseline == V1


async def test_a_canary_that_fails_is_rolled_back_though_it_does_not_get_its_share(world: World) -> None:
    await world.rolling(policy=POLICY)

    await world.after(1.0, both(arm(1000), arm(200, failed=150)))

    assert (await world.rollout()).phase is Phase.ROLLED_BACK


async def test_a_baseline_that_falls_silent_gets_no_canary_promoted(world: World) -> None:
    await world.rolling(policy=replace(POLICY, bake_s=600.0))
    for second in range(1, 11):
        await world.after(10.0, alike(2000 * second, 6 * second))
    await world.after(501.0, both(arm(20_000, 60), arm(20_010, 60)))

    assert "no traffic on the baseline for 501 s" in (await world.verdict()).reason
    assert (await world.engine.deployment(NAME)).baseline == V1


# ------------------------------------------------------------------------------------------ the metrics


async def test_a_signal_does_nothing_and_is_shown(world: World) -> None:
    await world.rolling(policy=replace(POLICY, error_role=SIGNAL))
    for second in range(1, 6):
        await world.after(1.0, both(arm(500 * second), arm(500 * second, failed=400 * second)))

    verdict = await world.verdict()
    errors, latency = verdict.metrics
    assert verdict.recommendation is Recommendation.CONTINUE
    assert (errors.role, errors.finding.value) == (SIGNAL, "fail")
    assert (latency.role, latency.finding.value) == (GUARDRAIL, "pass")
    assert await world.share() == 50.0


async def test_where_no_metric_decides_no_canary_is_promoted(world: World) -> None:
    await world.rolling(policy=replace(POLICY, error_role=SIGNAL, p95_role=SIGNAL))

    await world.after(60.0, both(arm(500), arm(500, failed=400)))

    assert (await world.engine.deployment(NAME)).baseline == V1


@pytest.mark.parametrize(
    ("metric", "role", "canary"),
    [("errors", "error_role", arm(100, failed=60)), ("p95", "p95_role", arm(100, slower_ms=200.0))],
)
async def test_what_a_metric_in_a_dry_run_would_do_is_on_record_once_and_is_not_done(
    world: World, metric: str, role: str, canary: Counts
) -> None:
    await world.rolling(policy=SequentialPolicy(**{role: DRY_RUN}))  # type: ignore[arg-type]  # a role is a text
    await world.after(1.0, alike(1000))
    for second in range(1, 4):
        await world.after(1.0, both(arm(1000 + 100 * second), sum([canary] * second, arm(1000))))

    recommended = [each for each in await world.since_start() if each.kind is EventKind.ROLLBACK_RECOMMENDED]
    assert [each.data["withheld"] for each in recommended] == [
        f"{metric} would roll it back, and is tried out (dry-run)"
    ]
    assert (await world.newest_check()).action == f"withheld: {metric} would roll it back, and is tried out (dry-run)"
    assert (await world.rollout()).phase is Phase.RUNNING
    assert await world.share() == 50.0


async def test_what_is_on_record_of_a_dry_run_is_told_once_over_restarts(world: World) -> None:
    await world.rolling(policy=SequentialPolicy(error_role=DRY_RUN))
    await world.after(1.0, both(arm(1000), arm(1000, failed=600)))
    second = await world.replaced()
    await second.after(1.0, both(arm(100), arm(100, failed=60)))

    kinds = [each.kind for each in await second.since_start()]
    assert kinds.count(EventKind.ROLLBACK_RECOMMENDED) == 1


async def test_each_metric_is_told_with_its_numbers(world: World) -> None:
    await world.rolling(**WATCHING)
    for second in range(1, 4):
        await world.after(1.0, both(arm(1000 * second), arm(1000 * second, failed=200 * second)))

    errors, latency = (await world.verdict()).metrics
    assert (errors.name, errors.baseline, errors.canary, errors.difference) == ("errors", 0.0, 0.2, 0.2)
    assert errors.low is not None
    assert errors.high is not None
    assert errors.low < 0.2 < errors.high
    assert errors.odds_against > 4.6 > errors.odds_for
    assert errors.worse_since_s == 0.0
    assert (latency.name, latency.difference, latency.worse_since_s) == ("p95", 0.0, None)


# --------------------------------------------------------------------------------------- when it looks


async def test_it_looks_once_an_interval_while_requests_come_in(world: World) -> None:
    await world.rolling(**WATCHING)
    for quarter in range(1, 17):
        await world.after(0.25, alike(10 * quarter))

    assert [look.elapsed_s for look in await looks(world)] == [1.0] * 4


async def test_it_looks_at_a_fresh_failure_at_once(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(10))

    await world.after(0.25, both(arm(12), arm(12)))
    await world.after(0.25, both(arm(12), arm(13, failed=1)))
    await world.after(0.25, both(arm(14), arm(14, failed=1)))

    assert [look.elapsed_s for look in await looks(world)] == [1.0, 0.5]


async def test_a_failure_of_the_baseline_is_in_no_hurry(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(10))

    await world.after(0.25, both(arm(11, failed=1), arm(10)))

    assert len(await looks(world)) == 1


async def test_while_nothing_comes_in_it_looks_now_and_then(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(10))
    for _ in range(25):
        await world.after(1.0)

    taken = await looks(world)
    assert [look.elapsed_s for look in taken] == [1.0, 10.0, 10.0]
    assert [look.empty for look in taken] == [False, True, True]


async def test_an_interval_that_is_long_is_kept_while_nothing_comes_in(world: World) -> None:
    await world.rolling(**{**WATCHING, "policy": replace(POLICY, interval_s=60.0)})
    for _ in range(12):
        await world.after(10.0)

    assert [look.elapsed_s for look in await looks(world)] == [60.0, 60.0]


async def test_a_clock_that_is_put_back_does_not_put_off_the_next_look(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(10))

    await world.after(-3600.0, alike(20))
    await world.after(1.0, alike(30))

    assert len(await looks(world)) >= 2


async def test_every_split_is_compared_within_itself(world: World) -> None:
    """At 10 % the night's failures, at 50 % the day's: neither is the canary's doing."""
    await world.rolling(10.0, **WATCHING)
    night = both(arm(9000, 1800), arm(1000, 200))
    await world.after(60.0, night)
    await world.do(SetWeight(weight=50.0))
    day = {key._replace(split_version=2): counts for key, counts in both(arm(9000), arm(9000)).items()}
    await world.after(1.0, night | day)

    taken = await looks(world)
    assert [(look.changed, [each.share for each in look.slices]) for look in taken] == [(False, [0.1]), (True, [0.5])]
    assert (await world.verdict()).health is Health.HEALTHY


# --------------------------------------------------------------------------- of whom a request may be


@pytest.mark.parametrize(("sticky", "weights"), [(False, 1.0), (True, 0.5)])
async def test_where_traffic_is_sticky_a_request_weighs_less_the_more_gateways_there_are(
    world: World, *, sticky: bool, weights: float
) -> None:
    await world.rolling(sticky=sticky, **WATCHING)
    await world.report(alike(10), "boot-of-another-gateway")

    await world.after(1.0, alike(10))

    assert [each.each_counts for look in await looks(world) for each in look.slices] == [weights]


async def test_what_the_baseline_did_before_is_expected_of_it(world: World) -> None:
    await world.rolling(**WATCHING)
    before = {
        Key(outside(NAME), str(V1), 0, Role.BASELINE): arm(1000, 20),
        Key(outside(NAME), str(V2), 0, Role.BASELINE): arm(5000, 5000),
    }

    await world.after(1.0, {**before, **alike(100)})

    begins = (await looks(world))[0].begins
    assert begins is not None
    assert (begins.requests, begins.errors) == (1000.0, 20.0)
    assert (await world.verdict()).baseline.requests == 100


# ------------------------------------------------------------------------------------------ restarts


async def test_a_restart_between_looks_changes_nothing(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.deploy("other", **WATCHING)
    await world.start(name="other")
    before, after = both(arm(100, 1), arm(100, 3)), both(arm(300, 3), arm(350, 13))
    await world.after(1.0, {**before, **of_another(before)})
    without = world.checker._watches["other:1"].tested

    second = await world.replaced()
    await second.after(1.0, since(after, before))

    assert without is not None
    state = await second.engine.deployment("other")
    assert state.active is not None
    expected, look = taken_in(without, state.active, of_another(after), world.clock.now())
    found = await so_far(second)
    assert (found.test, found.at, found.policy, found.split_version) == (
        expected.test,
        expected.at,
        expected.policy,
        expected.split_version,
    )
    assert of_another(found.seen) == expected.seen
    assert (await looks(second))[-1] == look


async def test_what_came_in_between_a_look_and_a_restart_is_taken_in_once(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(100))
    await world.report(alike(110))

    second = await world.replaced()
    await second.after(1.0, alike(7))
    third = await second.replaced()
    await third.after(10.0, alike(1))

    seen = [sum(each.canary.requests for each in look.slices) for look in await looks(third)]
    assert seen == [100, 17, 1]
    assert (await so_far(third)).canary.requests == 118


async def test_a_restart_before_the_first_look_forgets_nothing(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(0.5, alike(100))

    second = await world.replaced()
    await second.after(1.0, alike(7))

    assert [sum(each.canary.requests for each in look.slices) for look in await looks(second)] == [107]


async def test_evidence_that_is_gone_and_comes_back_is_not_taken_in_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(100))
    second = await world.replaced()

    async def nothing(_: str) -> list[EvidenceReport]:
        return []

    monkeypatch.setattr(world.real_store, "kept_reports", nothing)
    await second.after(30.0)
    monkeypatch.undo()
    await second.after(30.0, alike(5))

    assert sum(each.canary.requests for look in await looks(second) for each in look.slices) == 105


async def test_verdicts_are_the_same_when_all_is_judged_again(world: World) -> None:
    await world.rolling(**WATCHING)
    for second in range(1, 8):
        await world.after(1.0, both(arm(500 * second, second), arm(490 * second, 3 * second)))
    await world.do(SetWeight(weight=20.0))
    other = await world.replaced()
    later = {key._replace(split_version=2): counts for key, counts in both(arm(800, 4), arm(200, 1)).items()}
    await other.after(1.0, later)
    await other.do(Configure(settings=Settings(**{**WATCHING, "policy": replace(POLICY, error_margin=0.1)})))
    await other.after(1.0, {key: counts + counts for key, counts in later.items()})

    then, again = await judged_again(other)

    assert len(then) == 9
    assert again == then


# -------------------------------------------------------------------------------------- who may write


async def test_a_checker_that_was_deposed_saves_nothing(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(100))
    before = await so_far(world)
    other = world.beside()
    world.clock.advance(3600.0)
    assert await other.judged() > 1

    await world.after(1.0, both(arm(200), arm(200, failed=100)))

    assert not world.checker.leads
    assert await so_far(world) == before
    assert len(await looks(world)) == 1


# ------------------------------------------------------------------------------------- without a store


async def down(world: World) -> None:
    """Let the store answer no call any more, when the checker has looked once."""
    await world.after(1.0, alike(1000))
    world.store.goes_down()


async def test_without_the_store_it_goes_on_and_the_first_look_when_it_is_back_has_all_of_it(world: World) -> None:
    await world.rolling(**WATCHING)
    await down(world)
    for second in range(2, 6):
        await world.after(1.0, alike(1000 * second))
    meanwhile = len(await looks(world))
    world.store.mended()
    await world.after(1.0, alike(6000))

    assert meanwhile == 1
    assert [look.elapsed_s for look in await looks(world)] == [1.0, 5.0]
    then, again = await judged_again(world)
    assert again == then
    assert (await so_far(world)).canary.requests == 6000


async def test_without_the_store_a_broken_canary_loses_its_traffic(world: World) -> None:
    await world.rolling(policy=POLICY)
    await down(world)

    await world.after(0.25, both(arm(1100), arm(1100, failed=60)))

    assert await world.share() == 0.0


async def test_without_the_store_news_that_cannot_be_told_loses_no_evidence(world: World) -> None:
    await world.rolling(**WATCHING)
    await down(world)
    for second in range(2, 5):
        await world.after(1.0, both(arm(1000 * second), arm(1000 * second, failed=100 * (second - 1))))
    world.store.mended()
    await world.after(1.0, both(arm(5000), arm(5000, failed=400)))

    then, again = await judged_again(world)
    assert again == then
    assert sum(each.canary.failed for look in await looks(world) for each in look.slices) == 400
    assert (await world.verdict()).health is Health.CRITICAL


async def test_a_leader_that_follows_one_without_the_store_takes_in_what_that_one_had(world: World) -> None:
    await world.rolling(**WATCHING)
    await down(world)
    for second in range(2, 6):
        await world.after(1.0, alike(1000 * second))
    other = world.beside()
    world.clock.advance(3600.0)
    assert await other.judged() > 1

    await other.after(1.0, alike(10))

    then, again = await judged_again(other)
    assert again == then
    assert (await so_far(other)).canary.requests == 5010


async def test_a_look_that_was_saved_though_the_answer_was_lost_is_on_record_once(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(1000))
    world.store.lost.add("save_snapshot")
    await world.after(1.0, alike(2000))
    world.store.mended()
    await world.after(1.0, alike(3000))

    then, again = await judged_again(world)
    assert len(then) == 3
    assert again == then


async def test_however_long_the_store_is_gone_all_can_be_judged_again(world: World) -> None:
    await world.rolling(**{**WATCHING, "policy": replace(POLICY, bake_s=3600.0)})
    await down(world)
    for second in range(2, 700):
        await world.after(1.0, alike(1000 * second))
    world.store.mended()
    await world.after(1.0, alike(700_000))

    then, again = await judged_again(world)
    assert again == then


async def test_a_store_that_says_nothing_does_not_end_the_looks(
    world: World, grow_impatient: Callable[[], None]
) -> None:
    await world.rolling(policy=POLICY)
    await world.after(1.0, alike(1000))
    world.store.falls_silent()
    grow_impatient()

    await world.after(1.0, both(arm(1100), arm(1100, failed=60)))

    assert await world.share() == 0.0


async def test_a_look_that_the_store_cannot_take_is_taken_in_with_the_next(world: World) -> None:
    await world.rolling(**WATCHING)
    world.store.fails["save_snapshot"] = Unavailable("full")
    await world.after(1.0, alike(1000))
    world.store.mended()
    await world.after(1.0, alike(2000))

    assert [look.elapsed_s for look in await looks(world)] == [2.0]
    assert (await so_far(world)).canary.requests == 2000


# ------------------------------------------------------------------------------- a change of the policy


async def test_under_a_changed_policy_the_test_begins_anew(world: World) -> None:
    await world.rolling(**WATCHING)
    for second in range(1, 6):
        await world.after(1.0, both(arm(100 * second), arm(100 * second, failed=second)))
    narrower = replace(POLICY, error_margin=0.02)
    await world.do(Configure(settings=Settings(**{**WATCHING, "policy": narrower})))

    await world.after(1.0, both(arm(510), arm(520, failed=5)))

    now = await so_far(world)
    assert (now.policy, now.test.looks, now.test.elapsed_s) == (narrower, 1, 1.0)
    assert (now.baseline.requests, now.canary.requests, now.canary.failed) == (10, 20, 0)
    assert now.test.expected.requests > 500
    begins = (await looks(world))[-1].begins
    assert begins is not None
    assert begins.requests == pytest.approx(500, rel=0.01)


async def test_settings_that_are_not_the_policys_do_not_begin_a_test_anew(world: World) -> None:
    await world.rolling(**WATCHING)
    await world.after(1.0, alike(100))
    await world.do(Configure(settings=Settings(**{**WATCHING, "failover": False})))

    await world.after(1.0, alike(200))

    assert (await so_far(world)).test.looks == 2


@pytest.mark.parametrize(("here", "there"), [(POLICY, ThresholdPolicy()), (ThresholdPolicy(), POLICY)])
async def test_while_a_canary_runs_the_kind_of_policy_stays(
    world: World, here: SequentialPolicy | ThresholdPolicy, there: SequentialPolicy | ThresholdPolicy
) -> None:
    await world.rolling(policy=here)

    with pytest.raises(InvalidInput) as refused:
        await world.do(Configure(settings=Settings(policy=there)))

    assert refused.value.field == "settings.policy.name"
    assert (await world.engine.deployment(NAME)).settings.policy == here
