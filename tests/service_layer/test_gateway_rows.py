"""A request of several rows is one request; a version that a caller pins is that version or none."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.service_layer.doubles import TURNED
from tests.service_layer.world import NAME, ROW, V1, V2, World

from serinus.core.errors import BadOutput, Conflict, InvalidFeatures, InvalidInput, ModelError, NotFound
from serinus.core.evidence import Counts
from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.core.signature import Row, Signature
from serinus.gateway import Predictions
from serinus.gateway.gateway import MAX_ROWS

BASELINE, CANARY = Role.BASELINE, Role.CANARY


def rows(count: int) -> Callable[[Signature], Iterable[Row]]:
    return lambda _: ([float(index), 2.0] for index in range(count))


async def ask(world: World, role: Role = BASELINE, count: int = 3, **more: Any) -> Predictions:
    world.point = 0.0 if role is CANARY else 0.999
    return await world.gateway.predict_rows(NAME, rows(count), **more)


async def logged(world: World) -> list[PredictionRecord]:
    """Write the log, and give it in the order of the rows."""
    world.log.start()
    await world.log.close()
    return sorted(await world.real_store.predictions(NAME), key=lambda record: record.id)


@pytest.mark.parametrize("role", [BASELINE, CANARY])
async def test_all_rows_go_to_the_role_that_was_drawn_at_once(world: World, role: Role) -> None:
    await world.rolling()
    await world.gateway.start()

    done = await ask(world, role)

    asked = world.canary() if role is CANARY else world.baseline()
    assert done.answered_by.role is role
    assert len(done.answers) == 3
    assert asked.batches == [[[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]]]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_request_is_counted_once_however_many_rows_it_has(world: World, count: int) -> None:
    await world.rolling()
    await world.gateway.start()

    await ask(world, CANARY, count)

    assert [world.counted(role).requests for role in (BASELINE, CANARY)] == [0, 1]


async def test_every_row_is_logged_under_the_request(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    done = await ask(world, CANARY, entity_id="ann")

    records = await logged(world)
    assert [record.id for record in records] == [done.prediction_id, *(f"{done.prediction_id}-{k}" for k in (1, 2))]
    assert {(record.role, record.version, record.prediction) for record in records} == {(CANARY, "risk@2", "2.0")}
    assert len({record.inputs_hmac for record in records}) == 3
    assert len({record.entity_hmac for record in records}) == 1


async def test_a_request_begins_with_its_first_row(world: World) -> None:
    await world.rolling()
    world.gateway._desk.new_id = iter(["aa", "bb"]).__next__
    await world.gateway.start()

    await ask(world)
    await world.gateway.predict(NAME, ROW)

    assert [record.id for record in await logged(world) if record.begins_request] == ["aa", "bb"]


async def test_a_row_is_hashed_as_it_is_in_a_request_of_its_own(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    await world.gateway.predict(NAME, {"x": 1.0, "y": 2.0})
    await ask(world, count=2)

    records = await logged(world)
    assert records[0].inputs_hmac == records[2].inputs_hmac != records[1].inputs_hmac


async def test_rows_reach_a_model_in_its_own_order(world: World) -> None:
    await world.register(1)
    await world.register(1, signature=TURNED)
    await world.deploy()
    await world.start()
    await world.gateway.start()

    await ask(world, CANARY, 2)

    assert world.canary().batches == [[[2.0, 0.0], [2.0, 1.0]]]


async def test_where_a_canary_fails_the_baseline_answers_all_rows(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does = ModelError("broken")

    done = await ask(world, CANARY)

    assert (done.answered_by.name, done.failover, len(done.answers)) == ("risk@1", True, 3)
    assert (world.counted(CANARY).model_errors, world.counted(BASELINE)) == (1, Counts())
    assert world.gateway.totals()[NAME].failovers == 1
    assert {(each.role, each.answered_by, each.error_kind) for each in await logged(world)} == {
        (CANARY, "risk@1", "error")
    }


async def test_answers_for_some_of_the_rows_are_none(world: World) -> None:
    await world.rolling(failover=False)
    await world.gateway.start()
    world.canary().withheld = 1

    with pytest.raises(BadOutput, match="2 answers for 3 rows"):
        await ask(world, CANARY)

    assert world.counted(CANARY).model_errors == 1
    assert [json.loads(record.prediction) for record in await logged(world)] == [None] * 3


async def test_as_many_rows_as_allowed_are_answered_and_one_more_is_the_callers_error(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    assert len((await ask(world, count=MAX_ROWS)).answers) == MAX_ROWS
    with pytest.raises(InvalidInput, match="more than 1000 rows") as refused:
        await ask(world, count=MAX_ROWS + 1)

    assert "SERINUS_MAX_ROWS" in refused.value.remedy
    assert (world.counted(BASELINE).requests, world.counted(BASELINE).client_errors) == (1, 1)


async def test_a_request_without_rows_is_the_callers_error(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    with pytest.raises(InvalidFeatures, match="no rows"):
        await ask(world, count=0)

    assert world.counted(BASELINE).client_errors == 1


async def test_a_row_that_does_not_fit_is_the_callers_error_of_the_role_drawn(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.point = 0.0

    with pytest.raises(InvalidFeatures):
        await world.gateway.predict_rows(NAME, lambda signature: map(signature.row, [ROW, {"x": 1.0}]))

    assert world.counted(CANARY).client_errors == 1
    assert world.canary().asked == []


# ------------------------------------------------------------------------------------------- pinning


@pytest.mark.parametrize(("version", "name"), [("1", "risk@1"), ("risk@1", "risk@1"), ("2", "risk@2")])
async def test_a_pinned_version_answers_whatever_is_drawn_and_is_no_evidence(
    world: World, version: str, name: str
) -> None:
    await world.rolling(allow_forced=True)
    await world.gateway.start()

    done = [await ask(world, role, version=version, header="always") for role in Role]

    assert {each.answered_by.name for each in done} == {name}
    assert [world.counted(role).requests for role in Role] == [0, 0]
    assert world.gateway.totals()[NAME].forced == 2
    assert {record.forced for record in await logged(world)} == {True}


async def test_a_pinned_version_that_fails_is_the_callers_answer(world: World) -> None:
    await world.rolling(allow_forced=True)
    await world.gateway.start()
    world.canary().does = ModelError("broken")

    with pytest.raises(ModelError, match="broken"):
        await ask(world, version="2")

    assert world.baseline().asked == []


async def test_a_canary_can_be_pinned_only_where_callers_may_choose(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    with pytest.raises(Conflict) as refused:
        await ask(world, version="2")

    assert "allow-forced" in refused.value.remedy
    assert (await ask(world, CANARY, version="1")).answered_by.name == str(V1)


@pytest.mark.parametrize("version", ["3", "0", "01", "risk@3", "spam@1", "latest", "x" * 5000])
async def test_a_version_that_is_not_served_is_not_found_and_those_that_are_are_named(
    world: World, version: str
) -> None:
    await world.rolling(allow_forced=True)
    await world.gateway.start()

    with pytest.raises(NotFound) as refused:
        await ask(world, version=version)

    assert refused.value.details["versions"] == ["1", "2"]
    assert len(refused.value.message) < 200


async def test_versions_of_two_models_with_the_same_number_are_told_apart_by_the_models_name(world: World) -> None:
    await world.register(1)
    other = await world.register(1, "other")
    await world.deploy(allow_forced=True)
    await world.start(canary=other)
    await world.gateway.start()

    assert (await ask(world, version="other@1")).answered_by.name == "other@1"
    assert (await ask(world, version="1")).answered_by.name == str(V1)
    with pytest.raises(NotFound) as refused:
        await ask(world, version=str(V2))
    assert refused.value.details["versions"] == ["risk@1", "other@1"]
