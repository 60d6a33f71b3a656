"""A rollout follows its plan: by the clock, by the evidence and by a person's word, and no further."""

from dataclasses import replace

import pytest
from tests.service_layer.world import NAME, V1, V2, V3, World, counts

from serinus.core.commands import Approve, Pause, Promote, Resume, Rollback, SetWeight, StartCanary
from serinus.core.deployment import Phase, Rollout
from serinus.core.errors import NotAllowed, SerinusError
from serinus.core.events import EventKind
from serinus.core.evidence import Counts, Key
from serinus.core.freeze import Freeze
from serinus.core.names import VersionRef
from serinus.core.plan import Plan, Step, StepKind
from serinus.core.policy import SequentialPolicy
from serinus.core.routing import Role

RATE = 200
PROMOTE, APPROVAL = Step(StepKind.PROMOTE), Step(StepKind.APPROVAL)


def at(weight: float) -> Step:
    return Step(StepKind.SET_WEIGHT, weight=weight)


def pause(seconds: float | None = None, samples: int | None = None) -> Step:
    return Step(StepKind.PAUSE, duration_s=seconds, min_samples=samples)


def plan(*steps: Step, **more: object) -> Plan:
    return replace(Plan("own", steps, holdback_weight=0.0), **more)  # type: ignore[arg-type]


RAMP = plan(at(5), pause(5), at(50), PROMOTE)


class Rolling:
    """A canary under a plan, and traffic by the share that it has."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[Key, Counts] = {}

    async def start(self, given: Plan, **policy: object) -> None:
        await self.world.register(3)
        chosen = replace(SequentialPolicy(bake_s=2.0), **policy)  # type: ignore[arg-type]
        await self.world.deploy(policy=chosen)
        await self.world.do(StartCanary(canary=V2, weight=0.0, plan=given))

    async def goes(self, seconds: int, *, failing: float = 0.0) -> Rollout:
        """Let traffic come for some seconds, each with a look; ``failing`` is the part of the canary's that fails."""
        for _ in range(seconds):
            rollout = await self.world.rollout()
            if rollout.phase in {Phase.PROMOTED, Phase.ROLLED_BACK}:
                break
            share = round(RATE * rollout.weight / 100)
            for version, role, requests in ((V1, Role.BASELINE, RATE - share), (V2, Role.CANARY, share)):
                key = Key(rollout.id, str(version), rollout.split_version, role)
                failed = round(requests * failing) if role is Role.CANARY else 0
                self.seen[key] = self.seen.get(key, Counts()) + counts(requests, failed=failed)
            await self.world.after(1.0, self.seen)
        return await self.world.rollout()

    async def weights(self) -> list[float]:
        adjusted = await self.world.real_store.events(NAME, kinds=[EventKind.TRAFFIC_ADJUSTED])
        return [float(str(each.event.data["to"])) for each in adjusted]

    async def waits_for(self) -> str:
        return (await self.world.newest_check()).action


@pytest.fixture
def rolling(world: World) -> Rolling:
    return Rolling(world)


async def test_a_good_canary_goes_through_all_steps_and_is_promoted(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), at(20), at(50), PROMOTE))

    rollout = await rolling.goes(60)

    assert rollout.phase is Phase.PROMOTED
    assert await rolling.weights() == [20.0, 50.0]
    assert "odds of" in rollout.reason


async def test_a_pause_lasts_as_long_as_it_says(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(30), at(50)))

    before = await rolling.goes(29)
    after = await rolling.goes(10)

    assert (before.weight, after.weight) == (5.0, 50.0)


async def test_a_pause_wants_its_samples(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(samples=200), at(50)))

    before = await rolling.goes(19)
    told = await rolling.waits_for()
    after = await rolling.goes(10)

    assert (before.weight, after.weight) == (5.0, 50.0)
    assert "180 of 200 canary requests" in told


async def test_a_greater_share_wants_its_odds(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), at(90)))

    before = await rolling.goes(3, failing=0.02)

    assert before.weight == 5.0
    assert "90 % wants odds of" in await rolling.waits_for()


async def test_a_canary_in_doubt_gets_no_more(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(10), at(50)), alpha=1e-6)

    rollout = await rolling.goes(60, failing=0.1)

    assert rollout.weight == 5.0 or rollout.phase is Phase.ROLLED_BACK
    assert await rolling.weights() == []


async def test_a_bad_canary_is_rolled_back_at_its_first_step(rolling: Rolling) -> None:
    await rolling.start(RAMP)

    rollout = await rolling.goes(30, failing=0.5)

    assert rollout.phase is Phase.ROLLED_BACK
    assert await rolling.weights() == []
    assert "odds" in rollout.reason


async def test_an_approval_waits_for_a_person(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), APPROVAL, at(50), PROMOTE))
    before = await rolling.goes(30)
    told = await rolling.waits_for()

    await rolling.world.do(Approve(actor="ada", reason="looks well"))
    after = await rolling.goes(30)

    assert (before.weight, before.phase) == (5.0, Phase.RUNNING)
    assert "approval" in told
    assert after.phase is Phase.PROMOTED
    (approved,) = await rolling.world.real_store.events(NAME, kinds=[EventKind.APPROVED])
    assert (approved.event.actor, approved.event.reason) == ("ada", "looks well")


@pytest.mark.parametrize("steps", [(at(5), pause(60), at(50)), (at(5),)])
async def test_nothing_is_approved_that_does_not_wait_for_it(rolling: Rolling, steps: tuple[Step, ...]) -> None:
    await rolling.start(plan(*steps))
    await rolling.goes(3)

    with pytest.raises(NotAllowed, match="approve"):
        await rolling.world.do(Approve())


async def test_an_approval_is_given_once(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), APPROVAL, at(50)))
    await rolling.goes(3)
    await rolling.world.do(Approve())

    with pytest.raises(NotAllowed):
        await rolling.world.do(Approve())


async def test_a_plan_without_a_promotion_stays_at_its_last_share(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), at(50)))

    rollout = await rolling.goes(60)

    assert (rollout.phase, rollout.weight) == (Phase.RUNNING, 50.0)
    assert "until a person promotes it" in await rolling.waits_for()


async def test_a_paused_rollout_goes_no_step_further(rolling: Rolling) -> None:
    await rolling.start(RAMP)
    await rolling.goes(2)
    await rolling.world.do(Pause())

    before = await rolling.goes(30)
    await rolling.world.do(Resume())
    after = await rolling.goes(30)

    assert (before.weight, before.phase) == (5.0, Phase.PAUSED)
    assert after.phase is Phase.PROMOTED


async def test_in_a_freeze_nothing_goes_on_and_a_bad_canary_is_rolled_back(rolling: Rolling) -> None:
    frozen = Freeze("UTC", "2026-03-01T00:00", "2026-03-02T00:00")
    await rolling.start(replace(RAMP, freeze=(frozen,)))

    before = await rolling.goes(30)
    told = await rolling.waits_for()
    after = await rolling.goes(30, failing=0.9)

    assert before.weight == 5.0
    assert "frozen" in told
    assert after.phase is Phase.ROLLED_BACK


async def test_a_rollout_that_does_not_go_on_is_paused_at_its_deadline(rolling: Rolling) -> None:
    await rolling.start(plan(at(1), pause(samples=10_000), at(50), progress_deadline_s=20.0))

    rollout = await rolling.goes(30)

    assert rollout.phase is Phase.PAUSED
    (overdue,) = await rolling.world.real_store.events(NAME, kinds=[EventKind.PROGRESS_OVERDUE])
    assert "no progress for" in overdue.event.reason

    await rolling.world.do(Resume())
    assert (await rolling.goes(15)).phase is Phase.RUNNING
    assert (await rolling.goes(10)).phase is Phase.PAUSED


async def test_a_hold_is_told_of_again_and_again(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), APPROVAL, at(50), hold_alert_s=20.0))

    await rolling.goes(65)

    told = await rolling.world.real_store.events(NAME, kinds=[EventKind.HOLDING])
    assert len(told) == 3
    assert "approval" in told[0].event.reason


async def test_a_share_by_hand_is_where_the_plan_goes_on(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(5), at(20), pause(5), at(50)))
    await rolling.goes(2)
    await rolling.world.do(SetWeight(weight=30.0))

    rollout = await rolling.goes(30)

    assert await rolling.weights() == [30.0, 50.0]
    assert rollout.weight == 50.0


async def test_the_time_of_a_persons_pause_is_none_of_the_plans(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(20), at(50)))
    await rolling.goes(10)
    await rolling.world.do(Pause())
    await rolling.goes(30)
    await rolling.world.do(Resume())

    before = await rolling.goes(8)
    after = await rolling.goes(6)

    assert (before.weight, after.weight) == (5.0, 50.0)


async def test_who_takes_traffic_away_pauses_the_plan(rolling: Rolling) -> None:
    await rolling.start(plan(at(20), pause(5), at(50)))
    await rolling.goes(2)
    await rolling.world.do(SetWeight(weight=1.0))

    held = await rolling.goes(20)
    await rolling.world.do(Resume())
    after = await rolling.goes(20)

    assert (held.weight, held.phase, after.weight) == (1.0, Phase.PAUSED, 50.0)


async def test_a_canary_that_breaks_with_all_of_the_traffic_is_rolled_back(rolling: Rolling) -> None:
    await rolling.start(plan(at(20), at(100), pause(60), PROMOTE))
    before = await rolling.goes(15)

    rollout = await rolling.goes(20, failing=0.5)

    assert before.weight == 100.0
    assert rollout.phase is Phase.ROLLED_BACK
    assert "with all of the traffic" in rollout.reason


async def test_a_canary_that_is_worse_of_late_with_all_of_the_traffic_is_not_promoted(rolling: Rolling) -> None:
    await rolling.start(plan(at(20), at(100), pause(10), PROMOTE))
    await rolling.goes(10)

    rollout = await rolling.goes(40, failing=0.06)

    assert rollout.phase is not Phase.PROMOTED


async def test_a_plan_goes_on_over_a_restart(rolling: Rolling) -> None:
    await rolling.start(plan(at(5), pause(10), at(50)))
    await rolling.goes(6)

    rolling.world = await rolling.world.replaced()
    before = await rolling.goes(3)
    after = await rolling.goes(5)

    assert (before.weight, after.weight) == (5.0, 50.0)


async def test_in_a_dry_run_no_step_is_taken(world: World, rolling: Rolling) -> None:
    await world.register(3)
    await world.deploy(policy=SequentialPolicy(bake_s=2.0), dry_run=True)
    await world.do(StartCanary(canary=V2, weight=0.0, plan=RAMP))

    rollout = await rolling.goes(30)

    assert rollout.weight == 5.0
    assert "dry run" in await rolling.waits_for()


# ------------------------------------------------------------------------------------------- baking


BAKING = plan(at(50), PROMOTE, holdback_weight=5.0, holdback_s=30.0)


async def test_after_its_promotion_the_version_before_keeps_a_share(rolling: Rolling) -> None:
    await rolling.start(BAKING)

    rollout = await rolling.goes(20)

    state = await rolling.world.engine.deployment(NAME)
    assert (rollout.phase, rollout.weight) == (Phase.BAKING, 95.0)
    assert (state.status, state.baseline, state.previous) == ("baking", V2, (V1,))
    assert await rolling.world.share() == 95.0


async def test_when_it_has_baked_it_has_all_of_the_traffic(rolling: Rolling) -> None:
    await rolling.start(BAKING)

    rollout = await rolling.goes(60)

    state = await rolling.world.engine.deployment(NAME)
    assert (rollout.phase, state.status, state.baseline) == (Phase.PROMOTED, "stable", V2)
    assert [kind for kind in await rolling.world.kinds() if kind in {EventKind.PROMOTED, EventKind.BAKE_ENDED}] == [
        EventKind.PROMOTED,
        EventKind.BAKE_ENDED,
    ]


async def test_a_regression_after_the_promotion_undoes_it(rolling: Rolling) -> None:
    await rolling.start(BAKING)
    await rolling.goes(20)

    rollout = await rolling.goes(20, failing=0.5)

    state = await rolling.world.engine.deployment(NAME)
    assert (rollout.phase, state.status) == (Phase.ROLLED_BACK, "stable")
    assert (state.baseline, state.previous) == (V1, ())
    assert EventKind.AUTO_ROLLBACK_TRIGGERED in await rolling.world.kinds()


async def test_without_traffic_nothing_has_baked(rolling: Rolling) -> None:
    await rolling.start(BAKING)
    await rolling.world.do(Promote())

    for _ in range(6):
        await rolling.world.after(20.0)

    assert (await rolling.world.rollout()).phase is Phase.BAKING
    assert "no traffic" in await rolling.waits_for()


async def test_no_canary_replaces_one_that_bakes(rolling: Rolling) -> None:
    await rolling.start(BAKING)
    await rolling.goes(20)

    with pytest.raises(NotAllowed, match="baking"):
        await rolling.world.do(StartCanary(canary=V3, weight=5.0, replace=True))

    assert (await rolling.world.engine.deployment(NAME)).baseline == V2


async def test_a_person_may_end_the_bake_or_undo_the_promotion(rolling: Rolling) -> None:
    await rolling.start(BAKING)
    await rolling.goes(20)

    done = await rolling.world.do(Rollback(reason="the support calls"))

    assert (done.state.baseline, done.state.status) == (V1, "stable")
    await rolling.world.do(StartCanary(canary=V3, weight=0.0, plan=BAKING))
    await rolling.world.do(Promote())
    done = await rolling.world.do(Promote())
    assert (done.state.baseline, done.state.status) == (V3, "stable")


async def test_while_it_bakes_the_gateway_asks_both_and_fails_over_to_the_version_before(rolling: Rolling) -> None:
    world = rolling.world
    await rolling.start(BAKING)
    await world.gateway.start()
    await rolling.goes(20)
    await world.caught_up()

    held, promoted = await world.ask(Role.BASELINE), await world.ask(Role.CANARY)

    assert (held.model_version, held.model_role) == (str(V1), Role.BASELINE)
    assert (promoted.model_version, promoted.model_role) == (str(V2), Role.CANARY)
    await rolling.goes(40)
    await world.caught_up()
    assert (await world.ask()).model_version == str(V2)


# ------------------------------------------------------------------------------------------- another canary


async def test_another_canary_is_refused_while_one_runs(rolling: Rolling) -> None:
    await rolling.start(RAMP)

    with pytest.raises(NotAllowed):
        await rolling.world.do(StartCanary(canary=V3, weight=5.0))


async def test_another_canary_replaces_the_one_that_runs_if_asked_to(rolling: Rolling) -> None:
    await rolling.start(RAMP)

    done = await rolling.world.do(StartCanary(canary=V3, weight=5.0, replace=True, actor="ada"))

    assert done.state.active is not None
    assert done.state.active.canary == V3
    first, second = reversed(await rolling.world.real_store.rollouts(NAME))
    assert (first.phase, second.phase) == (Phase.ROLLED_BACK, Phase.RUNNING)
    assert "replaced by risk@3" in first.reason


@pytest.mark.parametrize("canary", [replace(V3, version=99), V1], ids=["not there", "the baseline"])
async def test_a_canary_that_cannot_be_started_replaces_nothing(rolling: Rolling, canary: VersionRef) -> None:
    await rolling.start(RAMP)

    with pytest.raises(SerinusError):
        await rolling.world.do(StartCanary(canary=canary, weight=5.0, replace=True))

    assert (await rolling.world.rollout()).phase is Phase.RUNNING
