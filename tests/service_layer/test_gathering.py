"""The newest report of each gateway process, wherever it is."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.world import NAME, World, both, counts

from serinus.core.errors import Unavailable
from serinus.core.evidence import Evidence, arm
from serinus.core.records import EvidenceReport, HealthSnapshot
from serinus.core.routing import Role
from serinus.gathering import REMEMBERED

ROLLOUT = f"{NAME}:1"


def evidence(requests: int, rollout: str = ROLLOUT) -> Evidence:
    return both(counts(10 * requests), counts(requests), rollout)


async def kept(world: World, *reports: EvidenceReport, rollout: str = ROLLOUT) -> None:
    """Keep reports as a health check does."""
    snapshot = HealthSnapshot(NAME, rollout, NOW, None, "", "", {})
    await world.real_store.save_snapshot(snapshot, reports=reports)


def report(boot: str, requests: int, rollout: str = ROLLOUT) -> EvidenceReport:
    return EvidenceReport(f"gateway of {boot}", boot, evidence(requests, rollout))


def by_boot(reports: Sequence[EvidenceReport]) -> dict[str, int]:
    return {each.boot: arm(each.evidence, Role.CANARY).requests for each in reports}


async def test_the_newest_report_of_each_process_counts_once(world: World) -> None:
    await kept(world, report("a", 5), report("b", 7))
    for each in (report("b", 9), report("c", 2)):
        await world.board.report(each)

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"a": 5, "b": 9, "c": 2}
    assert arm(await world.gatherer.totals(ROLLOUT), Role.CANARY).requests == 16
    assert arm(await world.gatherer.totals(ROLLOUT), Role.CANARY).requests == 16


async def test_a_board_that_was_restored_from_an_old_copy_takes_nothing_back(world: World) -> None:
    await kept(world, report("a", 5))
    await world.board.report(report("a", 3))

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"a": 5}


async def test_what_was_seen_on_a_board_that_lost_it_before_it_was_kept_still_counts(world: World) -> None:
    await world.board.report(report("a", 5))
    await world.gatherer.reports(ROLLOUT)
    await world.board.report(EvidenceReport("gateway of a", "a", {}))

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"a": 5}


async def test_other_rollouts_are_left_out(world: World) -> None:
    await kept(world, report("a", 5, "other:1"), rollout="other:1")
    await world.board.report(EvidenceReport("g", "b", {**evidence(3), **evidence(4, "other:1")}))

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"b": 3}


async def test_a_rollout_without_evidence_has_none(world: World) -> None:
    assert await world.gatherer.reports(ROLLOUT) == []
    assert await world.gatherer.totals(ROLLOUT) == {}


async def test_two_who_ask_at_once_are_told_the_same(world: World) -> None:
    await kept(world, report("a", 5))
    await world.board.report(report("b", 2))
    gate = world.store.gates["kept_reports"] = asyncio.Event()

    asking = [asyncio.ensure_future(world.gatherer.totals(ROLLOUT)) for _ in range(2)]
    await until(lambda: world.store.held == 2)
    gate.set()

    assert [arm(await each, Role.CANARY).requests for each in asking] == [7, 7]


# ------------------------------------------------------------------------------------- what is gone


async def test_without_the_store_what_was_last_read_from_it_counts_with_what_is_on_the_board(world: World) -> None:
    await kept(world, report("a", 5))
    await world.board.report(report("b", 2))
    await world.gatherer.reports(ROLLOUT)
    world.store.goes_down()
    await world.board.report(report("b", 3))

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"a": 5, "b": 3}


async def test_a_store_that_says_nothing_is_one_that_is_gone(world: World, grow_impatient: Callable[[], None]) -> None:
    await world.board.report(report("b", 2))
    await world.gatherer.reports(ROLLOUT)
    world.store.falls_silent()
    grow_impatient()

    assert by_boot(await world.gatherer.reports(ROLLOUT)) == {"b": 2}


async def test_without_the_store_a_rollout_that_was_never_read_of_has_no_total(world: World) -> None:
    await world.board.report(report("b", 2))
    world.store.goes_down()

    with pytest.raises(Unavailable):
        await world.gatherer.totals(ROLLOUT)


async def test_without_the_board_there_is_no_total(world: World) -> None:
    await kept(world, report("a", 5))
    await world.gatherer.reports(ROLLOUT)
    world.shaky_board.goes_down()

    with pytest.raises(Unavailable):
        await world.gatherer.totals(ROLLOUT)


async def test_what_is_remembered_does_not_grow_with_the_number_of_rollouts(world: World) -> None:
    for number in range(REMEMBERED + 10):
        await world.board.report(report("a", 1, f"{NAME}:{number}"))
        await world.gatherer.reports(f"{NAME}:{number}")

    assert len(world.gatherer._last) == REMEMBERED
    assert f"{NAME}:0" not in world.gatherer._last
