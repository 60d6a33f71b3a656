"""What every Board promises, whatever it is on."""

import asyncio
from typing import Any

import pytest
from tests.boards.conftest import Overwrite

from serinus.core.evidence import Counts, Evidence, Key
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role, Split
from serinus.ports import Board

PATIENCE_S = 20.0
"""How long a test waits for what must come, on a machine however busy."""


def split(generation: int, weight: float = 5.0, deployment: str = "fraud") -> Split:
    return Split(deployment, generation, f"{deployment}:1", generation, weight)


class Told:
    """A gateway that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Any]] = []
        self._change = asyncio.Event()

    def __call__(self, deployment: str, raw: object) -> None:
        self.changes.append((deployment, raw))
        self._change.set()

    async def wait_for(self, count: int) -> list[tuple[str, Any]]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.changes) < count:
                self._change.clear()
                await self._change.wait()
        return self.changes


async def reading(board: Board, deployment: str = "fraud") -> Split | None:
    return Split.decoded(await board.split(deployment))


# -------------------------------------------------------------------------------------------- splits


async def test_a_split_comes_back_as_it_was_published(board: Board) -> None:
    assert await board.publish(split(1, 33.33))

    assert await reading(board) == split(1, 33.33)


async def test_what_was_never_published_is_none(board: Board) -> None:
    await board.publish(split(1))

    assert await board.split("spam") is None


async def test_each_deployment_has_a_split_of_its_own(board: Board) -> None:
    await board.publish(split(9))
    await board.publish(split(1, deployment="spam"))

    assert [await reading(board, name) for name in ("fraud", "spam")] == [split(9), split(1, deployment="spam")]


async def test_a_newer_generation_replaces_an_older_one(board: Board) -> None:
    await board.publish(split(1))

    assert await board.publish(split(2, 7.0))
    assert await reading(board) == split(2, 7.0)


async def test_an_older_generation_is_refused_and_nobody_is_told(board: Board) -> None:
    told = Told()
    await board.publish(split(10))
    await board.join("g1", told)
    await told.wait_for(1)

    refused = not await board.publish(split(9))
    await board.publish(split(11))

    assert refused
    assert [change[1]["generation"] for change in await told.wait_for(2)] == [10, 11]


async def test_the_same_generation_is_accepted(board: Board) -> None:
    await board.publish(split(3))

    assert await board.publish(split(3))
    assert await reading(board) == split(3)


@pytest.mark.parametrize("raw", ["garbled", {}, {"generation": 99}, 7, [1]], ids=repr)
async def test_what_is_no_split_is_given_as_it_is_and_replaced(board: Board, overwrite: Overwrite, raw: object) -> None:
    await board.publish(split(5))
    await overwrite("fraud", raw)
    kept = await reading(board)

    assert await board.publish(split(1))
    assert (kept, await reading(board)) == (None, split(1))


async def test_of_splits_published_at_once_the_newest_stays(board: Board) -> None:
    generations = [3, 9, 1, 7, 10, 2, 8, 5, 4, 6]

    await asyncio.gather(*(board.publish(split(generation)) for generation in generations))

    assert await reading(board) == split(10)


# ---------------------------------------------------------------------------------- gateways are told


async def test_a_gateway_that_joins_is_told_of_every_split_there_is(board: Board) -> None:
    told = Told()
    await board.publish(split(2))
    await board.publish(split(1, deployment="spam"))

    await board.join("g1", told)

    changes = {deployment: Split.decoded(raw) for deployment, raw in await told.wait_for(2)}
    assert changes == {"fraud": split(2), "spam": split(1, deployment="spam")}


async def test_every_gateway_is_told_of_a_change(board: Board) -> None:
    first, second = Told(), Told()
    await board.join("g1", first)
    await board.join("g2", second)

    await board.publish(split(1))

    for told in (first, second):
        assert [Split.decoded(raw) for _, raw in await told.wait_for(1)] == [split(1)]


async def test_changes_are_told_in_their_order(board: Board) -> None:
    told = Told()
    await board.join("g1", told)

    for generation in range(1, 21):
        await board.publish(split(generation))

    changes = await told.wait_for(20)
    assert [raw["generation"] for _, raw in changes] == list(range(1, 21))


async def test_gateways_are_told_of_what_was_put_up_by_hand(board: Board, overwrite: Overwrite) -> None:
    told = Told()
    await board.publish(split(1))
    await board.join("g1", told)
    await told.wait_for(1)

    await overwrite("fraud", None)

    assert (await told.wait_for(2))[1] == ("fraud", None)
    assert await board.split("fraud") is None


async def test_a_gateway_that_left_is_told_of_nothing_more(board: Board) -> None:
    gone, present = Told(), Told()
    await board.join("g1", gone)
    await board.join("g2", present)

    await board.leave("g1")
    await board.publish(split(1))

    await present.wait_for(1)
    assert gone.changes == []


async def test_leaving_twice_does_nothing_more(board: Board) -> None:
    await board.join("g1", Told())

    await board.leave("g1")
    await board.leave("g1")


# ---------------------------------------------------------------------------------- acknowledgements


async def test_without_gateways_there_is_nobody_to_wait_for(board: Board) -> None:
    assert await board.unacknowledged("fraud", 1, PATIENCE_S) == []


async def test_gateways_that_have_not_acknowledged_in_time_are_named(board: Board) -> None:
    for name in ("g1", "g2", "g3"):
        await board.join(name, Told())
    await board.publish(split(2))
    board.acknowledge("g1", "fraud", 2)
    board.acknowledge("g2", "fraud", 1)

    assert sorted(await board.unacknowledged("fraud", 2, 0.05)) == ["g2", "g3"]


async def test_waiting_without_time_looks_once(board: Board) -> None:
    await board.join("g1", Told())

    assert await board.unacknowledged("fraud", 1, 0.0) == ["g1"]


async def test_whoever_waits_is_woken_by_the_last_acknowledgement(board: Board) -> None:
    await board.join("g1", Told())
    await board.join("g2", Told())
    waiting = [asyncio.ensure_future(board.unacknowledged("fraud", 4, PATIENCE_S)) for _ in range(3)]
    await asyncio.sleep(0)

    board.acknowledge("g1", "fraud", 4)
    await asyncio.sleep(0)
    early = [each.done() for each in waiting]
    board.acknowledge("g2", "fraud", 4)

    async with asyncio.timeout(PATIENCE_S / 2):
        assert await asyncio.gather(*waiting) == [[], [], []]
    assert early == [False, False, False]


async def test_a_newer_generation_acknowledges_the_older_ones(board: Board) -> None:
    await board.join("g1", Told())

    board.acknowledge("g1", "fraud", 7)
    board.acknowledge("g1", "fraud", 3)

    assert await board.unacknowledged("fraud", 7, PATIENCE_S) == []


async def test_an_acknowledgement_is_for_one_deployment(board: Board) -> None:
    await board.join("g1", Told())

    board.acknowledge("g1", "spam", 7)

    assert await board.unacknowledged("fraud", 1, 0.05) == ["g1"]


async def test_a_gateway_that_leaves_is_waited_for_no_more(board: Board) -> None:
    await board.join("g1", Told())
    waiting = asyncio.ensure_future(board.unacknowledged("fraud", 1, PATIENCE_S))
    await asyncio.sleep(0)

    await board.leave("g1")

    async with asyncio.timeout(PATIENCE_S / 2):
        assert await waiting == []


async def test_a_gateway_that_comes_back_has_acknowledged_nothing(board: Board) -> None:
    await board.join("g1", Told())
    board.acknowledge("g1", "fraud", 5)
    await board.leave("g1")

    await board.join("g1", Told())

    assert await board.unacknowledged("fraud", 5, 0.05) == ["g1"]


async def test_one_who_gives_up_waiting_leaves_the_others_waiting(board: Board) -> None:
    await board.join("g1", Told())
    impatient, patient = (asyncio.ensure_future(board.unacknowledged("fraud", 1, PATIENCE_S)) for _ in range(2))
    await asyncio.sleep(0)

    impatient.cancel()
    await asyncio.sleep(0)
    board.acknowledge("g1", "fraud", 1)

    assert await patient == []
    assert impatient.cancelled()


# ------------------------------------------------------------------------------------------ evidence


def evidence(rollout: str, requests: int) -> Evidence:
    counts = Counts(requests, 1, 2, 3, 4, {0: 1, 672: requests}, 12.5)
    return {Key(rollout, "heart@2", 1, Role.CANARY): counts, Key(rollout, "heart@1", 1, Role.BASELINE): counts}


async def test_evidence_comes_back_as_it_was_put_up(board: Board) -> None:
    report = EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))

    await board.report(report)

    assert await board.reports("fraud:1") == [report]


async def test_a_report_stands_in_place_of_the_gateways_last_one(board: Board) -> None:
    await board.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 10)))
    newer = EvidenceReport("g1", "boot-1", evidence("fraud:1", 12))

    await board.report(newer)

    assert await board.reports("fraud:1") == [newer]


async def test_each_gateway_has_a_report_of_its_own(board: Board) -> None:
    reports = [EvidenceReport(name, "boot-1", evidence("fraud:1", 10)) for name in ("g1", "g2")]
    for report in reports:
        await board.report(report)

    assert sorted(await board.reports("fraud:1"), key=lambda each: each.gateway) == reports


async def test_reports_are_of_one_rollout(board: Board) -> None:
    first, second = evidence("fraud:1", 10), evidence("fraud:2", 20)
    await board.report(EvidenceReport("g1", "boot-1", {**first, **second, **evidence("fraud:11", 30)}))

    assert [report.evidence for report in await board.reports("fraud:1")] == [first]
    assert [report.evidence for report in await board.reports("fraud:2")] == [second]
    assert not any(report.evidence for report in await board.reports("fraud:3"))


async def test_the_evidence_of_a_gateway_that_left_stays(board: Board) -> None:
    await board.join("g1", Told())
    await board.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 10)))

    await board.leave("g1")

    assert [report.evidence for report in await board.reports("fraud:1")] == [evidence("fraud:1", 10)]
