"""What a checker that takes over knows: all that is on record."""

import pytest
from tests.service_layer.world import BAD, FEW, NAME, POLICY, WATCHING, World, both, counts

from serinus.core.errors import Unavailable
from serinus.core.events import EventKind
from serinus.core.evidence import Evidence, arm
from serinus.core.policy import ThresholdPolicy
from serinus.core.records import EvidenceReport, HealthSnapshot
from serinus.core.routing import Role

ROLLOUT = f"{NAME}:1"


def requests(evidence: Evidence) -> list[int]:
    return [arm(evidence, role).requests for role in Role]


async def totals(world: World) -> list[int]:
    return requests(await world.gatherer.totals(ROLLOUT))


async def test_evidence_is_carried_over_restarts_without_loss_and_without_counting_twice(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, both(counts(100), counts(10)))
    await world.report(both(counts(110), counts(11)))  # after the last check

    second = await world.replaced()
    await second.report(both(counts(5), counts(1)))
    assert await totals(second) == [115, 12]

    third = await second.replaced()
    assert await totals(third) == [115, 12]
    await third.after(30.0, both(counts(1), counts(1)))
    await third.checker.save()

    fourth = await third.replaced()
    assert await totals(fourth) == [116, 13]
    await fourth.after(30.0, both(counts(4), counts(7)))
    assert requests((await fourth.newest_check()).evidence) == [120, 20]


async def test_a_process_that_was_killed_with_its_board_loses_what_came_after_its_last_check_and_no_more(
    world: World,
) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, both(counts(100), counts(10)))
    await world.report(both(counts(110), counts(11)))

    second = world.restarted()
    await second.report(both(counts(5), counts(1)))

    assert await totals(second) == [105, 11]


async def test_a_process_that_was_killed_and_whose_board_was_not_loses_nothing(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, both(counts(100), counts(10)))
    await world.report(both(counts(110), counts(11)))

    second = world.beside()
    await second.report(both(counts(5), counts(1)))

    assert await totals(second) == [115, 12]


async def test_evidence_survives_a_store_that_fails_at_the_first_look_after_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, both(counts(100), counts(10)))
    second = world.restarted()
    await second.judged()
    second.store.fails["snapshots"] = Unavailable("gone")
    await second.after(30.0, both(counts(5), counts(1)))
    second.store.mended()

    await second.after(30.0, both(counts(5), counts(1)))

    assert requests((await second.newest_check()).evidence) == [105, 11]


async def test_the_window_reaches_back_over_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    for check in range(1, 21):  # ten minutes, with ten requests to each arm between checks
        await world.after(30.0, both(counts(10 * check), counts(10 * check)))

    second = await world.replaced()
    await second.after(30.0, both(counts(10), counts(10)))

    assert (await second.verdict()).canary.requests == 100


async def test_the_window_reaches_back_over_a_restart_past_any_number_of_checks(world: World) -> None:
    await world.rolling(policy=ThresholdPolicy(interval_s=1.0, window_s=900.0), **WATCHING)
    for second in range(1, 1001):
        world.clock.advance(1.0)
        evidence = both(counts(second), counts(second))
        await world.real_store.save_snapshot(
            HealthSnapshot(NAME, ROLLOUT, world.clock.now(), None, "checked", "", evidence),
            reports=[EvidenceReport("gateway-1", "boot-1", evidence)] if second == 1000 else (),
        )

    later = world.restarted()
    await later.judged()
    await later.after(1.0, both(counts(1), counts(1)))

    assert (await later.verdict()).canary.requests == 900


async def test_health_and_what_was_withheld_are_remembered_over_restarts(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, BAD)
    told = await world.since_start()

    second = await world.replaced()
    third = await second.replaced()
    await third.after(30.0, both(counts(10), counts(10)))

    assert [event.kind for event in told] == [EventKind.HEALTH_CHECK_FAILED, EventKind.ROLLBACK_RECOMMENDED]
    assert await third.since_start() == told


async def test_the_schedule_goes_on_over_a_restart(world: World) -> None:
    await world.rolling(policy=POLICY, **WATCHING)
    await world.after(30.0, FEW)
    second = world.restarted()
    await second.judged()

    await second.after(10.0)
    checks = len(await world.real_store.snapshots(ROLLOUT))
    await second.after(20.0)

    assert (checks, len(await world.real_store.snapshots(ROLLOUT))) == (1, 2)


async def test_what_one_deployment_cannot_save_keeps_no_other_from_being_saved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rolling(policy=POLICY)
    await world.deploy("other", policy=POLICY)
    await world.start(name="other")
    real = world.board.reports

    async def fails(rollout: str) -> list[EvidenceReport]:
        if rollout == ROLLOUT:
            raise Unavailable("gone")
        return await real(rollout)

    monkeypatch.setattr(world.board, "reports", fails)
    await world.checker.save()

    assert len(await world.real_store.snapshots("other:1")) == 1
    assert len(world.troubles) == 1


async def test_a_checker_that_does_not_lead_saves_nothing_when_it_stops(world: World) -> None:
    await world.rolling(policy=POLICY)
    other = world.beside()

    await other.checker.stop()

    assert await world.real_store.snapshots(ROLLOUT) == []
    assert world.checker.leads


async def test_a_checker_that_cannot_save_as_it_stops_lets_another_one_lead_all_the_same(world: World) -> None:
    await world.rolling(policy=POLICY)
    world.store.fails["deployments"] = RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        await world.checker.stop()

    assert await world.beside().judged() > 1
