"""What every Board promises, whatever it is on."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.boards.conftest import Overwrite
from tests.boards.watching import CUT, LATER, PATIENCE_S, Told, eventually, evidence, reading, split

from serinus.core.errors import Deposed
from serinus.core.records import EvidenceReport
from serinus.core.routing import LARGEST, Cut, Split
from serinus.ports import Board

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


async def test_numbers_come_back_of_the_type_that_was_published(board: Board) -> None:
    whole, fraction = split(1, 5), split(2, 5.0, "spam")
    await board.publish(whole)
    await board.publish(fraction)

    kept = await board.splits()

    weights = [kept[name]["weight"] for name in ("fraud", "spam")]  # type: ignore[index]
    assert [(weight, type(weight)) for weight in weights] == [(5, int), (5.0, float)]


NAMES = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
CUTS = st.builds(
    Cut,
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    NAMES,
    NAMES,
    st.dictionaries(NAMES, JSON),
)
SPLITS = st.builds(
    Split,
    deployment=st.just("fraud"),
    generation=st.integers(0, LARGEST),
    rollout=NAMES,
    split_version=st.integers(0, LARGEST),
    weight=st.floats(0, 100) | st.integers(0, 100),
    sticky=st.booleans(),
    baseline=NAMES,
    cut=st.none() | CUTS,
)


@given(SPLITS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
async def test_any_split_comes_back_as_it_was_published(board: Board, overwrite: Overwrite, any_split: Split) -> None:
    await overwrite("fraud", None)

    assert await board.publish(any_split)
    assert await reading(board) == any_split


async def test_splits_gives_what_is_kept_for_every_deployment(board: Board, overwrite: Overwrite) -> None:
    assert await board.splits() == {}
    await board.publish(split(1))
    await board.publish(split(2, deployment="spam"))
    await overwrite("odd", [1, "x"])

    kept = await board.splits()

    assert {name: Split.decoded(raw) or raw for name, raw in kept.items()} == {
        "fraud": split(1),
        "spam": split(2, deployment="spam"),
        "odd": [1, "x"],
    }


async def test_the_greatest_generation_is_told_from_the_one_below_it(board: Board) -> None:
    await board.publish(split(LARGEST))

    assert not await board.publish(split(LARGEST - 1))
    assert await reading(board) == split(LARGEST)


async def test_a_generation_beyond_the_greatest_stands_in_nobodys_way(board: Board, overwrite: Overwrite) -> None:
    await overwrite("fraud", split(LARGEST + 1).encoded())

    assert await board.publish(split(1))
    assert await reading(board) == split(1)


# ---------------------------------------------------------------------------------------------- cuts


async def test_a_cut_takes_the_share_to_zero_and_is_told(board: Board) -> None:
    told = Told()
    await board.join("g1", told)
    await board.publish(split(3, 50.0))

    up = await board.cut("fraud", CUT)

    assert up == replace(split(3, 50.0), cut=CUT)
    assert up.share == 0.0
    assert await reading(board) == up
    assert [Split.decoded(raw) for _, raw in await told.wait_for(2)] == [split(3, 50.0), up]


async def test_of_two_cuts_the_first_stays(board: Board) -> None:
    await board.publish(split(3))
    await board.cut("fraud", CUT)

    assert await board.cut("fraud", LATER) == replace(split(3), cut=CUT)
    assert await reading(board) == replace(split(3), cut=CUT)


async def test_of_cuts_made_at_once_all_give_the_one_that_is_up(board: Board) -> None:
    await board.publish(split(3))
    cuts = [replace(CUT, actor=f"actor {number}") for number in range(8)]

    results = await asyncio.gather(*(board.cut("fraud", cut) for cut in cuts))

    assert set(map(str, results)) == {str(await reading(board))}


async def test_where_nothing_is_rolled_out_there_is_nothing_to_cut(board: Board) -> None:
    await board.publish(Split("fraud", 4, baseline="fraud@1"))

    assert await board.cut("fraud", CUT) is None
    assert await board.cut("spam", CUT) is None
    assert await board.splits() == {"fraud": Split("fraud", 4, baseline="fraud@1").encoded()}


async def test_what_is_no_split_is_not_cut(board: Board, overwrite: Overwrite) -> None:
    await overwrite("fraud", {"rollout": "fraud:1"})

    assert await board.cut("fraud", CUT) is None
    assert await board.split("fraud") == {"rollout": "fraud:1"}


async def test_a_cut_can_be_bound_to_a_generation(board: Board) -> None:
    await board.publish(split(3))

    assert await board.cut("fraud", CUT, expected_generation=2) is None
    assert await board.cut("fraud", CUT, expected_generation=4) is None
    assert await reading(board) == split(3)
    assert await board.cut("fraud", CUT, expected_generation=3) == replace(split(3), cut=CUT)


async def test_a_newer_split_of_the_same_rollout_keeps_the_cut(board: Board) -> None:
    await board.publish(split(3))
    await board.cut("fraud", CUT)

    assert await board.publish(split(3))
    assert await board.publish(split(4, 60.0))
    assert await reading(board) == replace(split(4, 60.0), cut=CUT)


async def test_a_cut_goes_before_the_one_that_a_new_split_brings(board: Board) -> None:
    await board.publish(split(3))
    await board.cut("fraud", CUT)

    await board.publish(replace(split(4), cut=LATER))

    assert await reading(board) == replace(split(4), cut=CUT)


async def test_a_split_can_be_published_with_its_cut(board: Board) -> None:
    await board.publish(split(3))

    await board.publish(replace(split(3), cut=CUT))

    assert await reading(board) == replace(split(3), cut=CUT)


@pytest.mark.parametrize("after", [split(4, rollout=2), Split("fraud", 4)], ids=["the next rollout", "no rollout"])
async def test_a_cut_ends_with_its_rollout(board: Board, after: Split) -> None:
    await board.publish(split(3))
    await board.cut("fraud", CUT)

    await board.publish(after)

    assert await reading(board) == after


async def test_a_promised_cut_stays_where_its_rollout_was_promoted(board: Board) -> None:
    await board.publish(split(1))
    await board.cut("fraud", CUT)

    kept = await board.promise("fraud", CUT)

    assert kept is not None
    assert not await board.publish(Split("fraud", 2, baseline="heart@2"), promoted="fraud:1")
    assert await reading(board) == kept == replace(split(1), cut=replace(CUT, promised=True))


async def test_a_cut_that_was_not_promised_gives_way_to_a_promotion(board: Board) -> None:
    await board.publish(split(1))
    await board.cut("fraud", CUT)

    assert await board.publish(Split("fraud", 2, baseline="heart@2"), promoted="fraud:1")
    assert await board.promise("fraud", CUT) is None


async def test_a_promised_cut_gives_way_to_what_is_no_promotion_of_its_rollout(board: Board) -> None:
    await board.publish(split(1))
    await board.cut("fraud", CUT)
    await board.promise("fraud", CUT)

    assert await board.publish(Split("fraud", 2, baseline="heart@1"))
    assert await reading(board) == Split("fraud", 2, baseline="heart@1")


async def test_a_cut_of_somebody_else_is_not_promised(board: Board) -> None:
    await board.publish(split(1))
    await board.cut("fraud", CUT)

    assert await board.promise("fraud", replace(CUT, actor="eve")) is None
    assert await reading(board) == replace(split(1), cut=CUT)


async def test_a_promised_cut_is_acknowledged_as_before(board: Board) -> None:
    await board.publish(split(1))
    up = await board.cut("fraud", CUT)
    kept = await board.promise("fraud", CUT)

    assert up is not None
    assert kept is not None
    assert kept.stamp == up.stamp


async def test_a_refused_split_takes_no_cut_back(board: Board) -> None:
    await board.publish(split(3))
    await board.cut("fraud", CUT)

    assert not await board.publish(split(2))
    assert await reading(board) == replace(split(3), cut=CUT)


# --------------------------------------------------------------------------------------------- lease


async def test_canaries_have_no_traffic_before_anybody_judges_them(board: Board) -> None:
    assert not board.leased()


async def test_a_renewed_lease_lasts_its_time_and_no_longer(board: Board) -> None:
    await board.renew(1, 600.0)
    long = board.leased()

    await board.renew(1, 0.001)

    assert long
    await eventually(lambda: not board.leased())


async def test_a_lease_that_ran_out_can_be_renewed(board: Board) -> None:
    await board.renew(1, 0.001)
    await eventually(lambda: not board.leased())

    await board.renew(1, 600.0)

    assert board.leased()


async def test_a_checker_of_an_older_term_renews_nothing(board: Board) -> None:
    await board.renew(7, 600.0)

    with pytest.raises(Deposed) as raised:
        await board.renew(6, 600.0)

    assert raised.value.code == "SERINUS-DEPOSED"
    await board.renew(7, 600.0)
    await board.renew(8, 600.0)


async def test_the_newest_term_is_remembered_when_its_lease_has_run_out(board: Board) -> None:
    await board.renew(7, 0.001)
    await eventually(lambda: not board.leased())

    with pytest.raises(Deposed):
        await board.renew(6, 600.0)

    assert not board.leased()


async def test_a_checker_of_an_older_term_cuts_nothing(board: Board) -> None:
    await board.publish(split(3))
    await board.renew(10, 600.0)

    with pytest.raises(Deposed):
        await board.cut("fraud", CUT, term=9)

    assert await reading(board) == split(3)


@pytest.mark.parametrize("term", [10, 11, None])
async def test_the_checker_that_leads_and_an_operator_cut(board: Board, term: int | None) -> None:
    await board.publish(split(3))
    await board.renew(10, 600.0)

    assert await board.cut("fraud", CUT, term=term) == replace(split(3), cut=CUT)


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


async def test_a_gateway_that_has_left_is_not_named_while_the_lease_lasts(board: Board) -> None:
    await board.join("g1", Told())
    await board.renew(1, 600.0)
    await board.join("g2", Told())

    await board.leave("g1")
    board.acknowledge("g2", "fraud", 1)

    assert await board.unacknowledged("fraud", 1, PATIENCE_S) == []
    assert board.leased()


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


async def test_who_has_the_split_has_not_its_cut(board: Board) -> None:
    await board.join("g1", Told())
    await board.publish(split(3))
    board.acknowledge("g1", "fraud", split(3).stamp)
    cut = await board.cut("fraud", CUT)
    assert cut is not None

    behind = await board.unacknowledged("fraud", cut.stamp, 0.05)
    board.acknowledge("g1", "fraud", cut.stamp)

    assert (behind, await board.unacknowledged("fraud", cut.stamp, PATIENCE_S)) == (["g1"], [])


async def test_stamps_are_compared_exactly_however_great(board: Board) -> None:
    await board.join("g1", Told())
    board.acknowledge("g1", "fraud", 2 * LARGEST)

    assert await board.unacknowledged("fraud", 2 * LARGEST, PATIENCE_S) == []
    assert await board.unacknowledged("fraud", 2 * LARGEST + 1, 0.05) == ["g1"]


async def test_a_gateway_may_acknowledge_while_it_is_told(board: Board) -> None:
    def take_over(deployment: str, raw: object) -> None:
        told = Split.decoded(raw)
        if told is not None:
            board.acknowledge("g1", deployment, told.stamp)

    await board.publish(split(1))
    await board.join("g1", take_over)
    await board.publish(split(2))

    assert await board.unacknowledged("fraud", split(2).stamp, PATIENCE_S) == []


# ------------------------------------------------------------------------------------------ evidence


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


async def test_every_process_of_a_gateways_name_has_a_report_of_its_own(board: Board) -> None:
    reports = [EvidenceReport("g1", f"boot-{number}", evidence("fraud:1", 10 * number)) for number in (1, 2, 3)]
    for report in reports:
        await board.report(report)

    assert sorted(await board.reports("fraud:1"), key=lambda each: each.boot) == reports


async def test_names_of_gateways_may_hold_anything(board: Board) -> None:
    reports = [EvidenceReport(gateway, "b:o", evidence("fraud:1", 1)) for gateway in ('a"b:c', "ä\n,\\", "")]
    for report in reports:
        await board.join(report.gateway, Told())
        await board.report(report)

    assert sorted(await board.reports("fraud:1"), key=lambda each: each.gateway) == sorted(
        reports, key=lambda each: each.gateway
    )
    assert sorted(await board.unacknowledged("fraud", 1, 0)) == sorted(each.gateway for each in reports)


async def test_the_same_evidence_again_changes_nothing(board: Board) -> None:
    report = EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))

    await board.report(report)
    await board.report(report)

    assert await board.reports("fraud:1") == [report]


# --------------------------------------------------------------------------------------------- itself


async def test_a_board_that_is_there_answers(board: Board) -> None:
    await board.ping()


async def test_closing_twice_does_nothing_more(board: Board) -> None:
    await board.join("g1", Told())

    await board.close()
    await board.close()
