import asyncio
import json

import pytest
from tests.service_layer.doubles import TURNED, until
from tests.service_layer.world import NAME, ROW, V1, V2, V3, World

from serinus.core.commands import Promote, Rollback, SetWeight, Undo
from serinus.core.errors import ArtifactCorrupt, InvalidFeatures, ModelError, NotFound, Overloaded, Unavailable
from serinus.core.evidence import Counts, Key
from serinus.core.ledger import by_version
from serinus.core.routing import Role

BASELINE, CANARY = Role.BASELINE, Role.CANARY


# ------------------------------------------------------------------------------------------ drawing


async def test_the_role_drawn_answers(world: World) -> None:
    await world.rolling(weight=50.0)
    await world.gateway.start()

    assert [(await world.ask(role)).model_version for role in (BASELINE, CANARY)] == ["risk@1", "risk@2"]


async def test_the_share_is_the_splits(world: World) -> None:
    await world.rolling(weight=25.0)
    await world.gateway.start()

    roles = []
    for hundredth in range(100):
        world.point = hundredth / 100
        roles.append((await world.ask()).model_role)

    assert roles == [CANARY] * 25 + [BASELINE] * 75


async def test_an_entity_of_a_sticky_deployment_keeps_its_role(world: World) -> None:
    await world.rolling(weight=50.0, sticky=True)
    await world.gateway.start()

    roles = {entity: {(await world.ask(role, entity_id=entity)).model_role for role in Role} for entity in "abcdefgh"}

    assert all(len(each) == 1 for each in roles.values())
    assert set().union(*roles.values()) == {BASELINE, CANARY}


async def test_a_row_reaches_a_canary_in_its_own_order(world: World) -> None:
    await world.register(1)
    await world.register(1, signature=TURNED)
    await world.deploy()
    await world.start()
    await world.gateway.start()

    await world.ask(CANARY)

    assert world.canary().asked[-1][0] == [2.0, 1.0]


# ----------------------------------------------------------------------------------------- counting


async def test_requests_are_counted_by_role_and_split(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    for role in (BASELINE, CANARY, CANARY):
        await world.ask(role)
    await world.do(SetWeight(weight=60.0))
    await world.ask(CANARY)

    assert [world.counted(role, split_version=1).requests for role in Role] == [1, 2]
    assert [world.counted(role, split_version=2).requests for role in Role] == [0, 1]


async def test_a_request_under_way_is_counted_under_the_split_it_was_drawn_under(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.baseline().is_silent()
    asking = asyncio.ensure_future(world.ask(BASELINE))
    await until(lambda: world.baseline().asked)

    await world.do(SetWeight(weight=60.0))
    world.baseline().speak.set()
    await asking

    assert [world.counted(BASELINE, split_version=number).requests for number in (1, 2)] == [1, 0]


async def test_a_request_under_way_is_counted_though_its_rollout_was_put_away(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.baseline().is_silent()
    asking = asyncio.ensure_future(world.ask(BASELINE))
    await until(lambda: world.baseline().asked)

    await world.do(Rollback())
    await world.start(canary=V3)
    world.baseline().speak.set()
    await asking

    assert by_version(world.gateway.evidence())[NAME, "risk@1", BASELINE].requests == 1


async def test_putting_rollouts_away_keeps_the_totals_and_not_their_number(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    for _ in range(5):
        for role in Role:
            await world.ask(role)
        await world.do(Rollback())
        await world.ask(BASELINE)
        await world.start()

    evidence = world.gateway.evidence()
    totals = {arm: counts.requests for arm, counts in by_version(evidence).items()}

    assert totals == {(NAME, "risk@1", BASELINE): 10, (NAME, "risk@2", CANARY): 5}
    assert {key.rollout for key in evidence} == {f"{NAME}:0", f"{NAME}:6"}


async def test_both_arms_are_in_the_evidence_before_their_first_request(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    evidence = world.gateway.evidence()

    assert evidence[Key(f"{NAME}:1", "risk@1", 1, BASELINE)] == Counts()
    assert evidence[Key(f"{NAME}:1", "risk@2", 1, CANARY)] == Counts()


async def test_a_failover_counts_against_the_canary_and_for_nobody_else(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does = ModelError("broken")

    prediction = await world.ask(CANARY)

    assert (prediction.model_role, prediction.model_version, prediction.failover) == (BASELINE, "risk@1", True)
    canary = world.counted(CANARY)
    assert (canary.requests, canary.model_errors) == (1, 1)
    assert world.counted(BASELINE) == Counts()
    assert world.gateway.totals()[NAME].failovers == 1


async def test_where_both_fail_the_caller_gets_the_baselines_error_and_the_canary_is_charged(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does, world.baseline().does = ModelError("canary"), ModelError("baseline")

    with pytest.raises(ModelError, match="baseline"):
        await world.ask(CANARY)

    assert [world.counted(role).failed for role in Role] == [0, 1]
    assert world.gateway.totals()[NAME].failovers == 0


async def test_without_failover_the_caller_gets_the_canarys_error(world: World) -> None:
    await world.rolling(failover=False)
    await world.gateway.start()
    world.canary().does = ModelError("canary")

    with pytest.raises(ModelError, match="canary"):
        await world.ask(CANARY)

    assert world.baseline().asked == []


async def test_a_platform_error_is_no_request_of_the_model(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does = Overloaded("full")

    await world.ask(CANARY)

    canary = world.counted(CANARY)
    assert (canary.requests, canary.failed, canary.platform_errors) == (0, 0, 1)


async def test_a_defect_of_a_predictor_counts_neither_for_nor_against_the_model(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does = RuntimeError("a defect")

    prediction = await world.ask(CANARY)

    canary = world.counted(CANARY)
    assert prediction.failover
    assert (canary.requests, canary.failed, canary.platform_errors) == (0, 0, 1)


async def test_a_callers_error_is_counted_apart_and_no_model_is_asked(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.point = 0.0

    with pytest.raises(InvalidFeatures):
        await world.gateway.predict(NAME, {"x": "one", "y": 2.0})

    canary = world.counted(CANARY)
    assert (canary.requests, canary.client_errors) == (0, 1)
    assert world.canary().asked == []


async def test_a_forced_request_is_answered_and_is_no_evidence(world: World) -> None:
    await world.rolling(weight=0.0, allow_forced=True)
    await world.gateway.start()

    forced = [await world.ask(BASELINE, header="always"), await world.ask(CANARY, header="never")]
    with pytest.raises(InvalidFeatures):
        await world.gateway.predict(NAME, {}, header="always")

    assert [each.model_role for each in forced] == [CANARY, BASELINE]
    assert [world.counted(role) for role in Role] == [Counts(), Counts()]
    assert world.gateway.totals()[NAME].forced == 3


async def test_forcing_has_no_effect_where_it_is_not_allowed(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    assert (await world.ask(BASELINE, header="always")).model_role is BASELINE
    assert world.counted(BASELINE).requests == 1


# ------------------------------------------------------------------------------------------ logging


async def test_what_happened_is_logged_with_the_role_first_drawn(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.canary().does = ModelError("broken")

    prediction = await world.ask(CANARY, entity_id="ada")
    world.log.start()
    await world.log.close()

    (record,) = await world.real_store.predictions(NAME)
    assert (record.id, record.at) == (prediction.prediction_id, world.clock.now())
    assert (record.role, record.version, record.answered_by) == (CANARY, "risk@2", "risk@1")
    assert (record.rollout, record.split_version, record.error_kind) == (f"{NAME}:1", 1, "error")
    assert json.loads(record.prediction) == prediction.prediction
    assert record.entity_hmac
    assert not record.forced


async def test_a_request_without_an_answer_is_logged_too(world: World) -> None:
    await world.register(1)
    await world.deploy()
    await world.gateway.start()
    world.baseline().does = Overloaded("full")

    with pytest.raises(Overloaded):
        await world.ask()
    world.log.start()
    await world.log.close()

    (record,) = await world.real_store.predictions(NAME)
    assert (record.answered_by, record.prediction, record.error_kind) == ("", "null", "platform")


# ------------------------------------------------------------------------------ loading and troubles


async def test_an_unknown_deployment_is_not_found(world: World) -> None:
    await world.gateway.start()

    with pytest.raises(NotFound, match="There is no deployment 'nowhere'"):
        await world.ask(name="nowhere")


async def test_before_the_models_are_loaded_a_deployment_is_unavailable(world: World) -> None:
    with pytest.raises(Unavailable, match="models are being loaded"):
        await world.ask()


async def test_a_deployment_that_cannot_be_loaded_is_unavailable_until_it_can_and_others_are_served(
    world: World,
) -> None:
    await world.register(1)
    other = await world.register(1, "spam")
    await world.deploy()
    await world.deploy("mail", other)
    await world.loaded.close()
    world.models.refuses[V1] = ArtifactCorrupt("The artifact is corrupt.")

    await world.gateway.start()

    assert (await world.ask(name="mail")).model_version == "spam@1"
    with pytest.raises(Unavailable, match="The artifact is corrupt"):
        await world.ask()
    assert world.gateway.ready
    assert set(world.gateway.troubles()) == {NAME}
    assert world.troubles == [f"{NAME}: The artifact is corrupt."], "told once, however often it is tried"

    world.models.refuses.clear()  # and nobody has to do anything more
    await until(lambda: not world.gateway.troubles())

    assert (await world.ask()).model_version == "risk@1"


@pytest.mark.parametrize("failure", [ArtifactCorrupt("corrupt"), RuntimeError("a defect")], ids=["ours", "defect"])
async def test_a_canary_that_cannot_be_loaded_keeps_no_baseline_from_being_served(
    world: World, failure: Exception
) -> None:
    await world.rolling(weight=100.0)
    await world.loaded.close()
    world.models.refuses[V2] = failure

    await world.gateway.start()

    assert (await world.ask(CANARY)).model_role is BASELINE
    assert "the canary risk@2 gets no traffic" in world.gateway.troubles()[NAME]


async def test_an_earlier_baseline_that_cannot_be_loaded_is_no_trouble(world: World) -> None:
    await world.rolling()
    await world.do(Promote())
    await world.loaded.close()
    world.models.refuses[V1] = RuntimeError("a defect")

    await world.gateway.start()

    assert (await world.ask()).model_version == "risk@2"
    assert world.gateway.troubles() == {}


async def test_the_model_of_an_ended_rollout_is_given_back(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    await world.do(Rollback())
    await until(lambda: world.canary().closed)

    assert world.loaded.refs() == [V1]


async def test_the_model_of_an_ended_rollout_stays_while_another_deployment_needs_it(world: World) -> None:
    await world.rolling()
    await world.deploy("other", V2)
    await world.gateway.start()

    await world.do(Rollback())
    await world.caught_up()
    await asyncio.sleep(0)

    assert not world.canary().closed
    assert (await world.ask(name="other")).model_version == "risk@2"


async def test_the_baseline_before_a_promotion_stays_for_undo(world: World) -> None:
    await world.rolling()
    await world.gateway.start()
    world.models.starts.clear()

    await world.do(Promote())
    promoted = (await world.ask()).model_version
    await world.do(Undo())
    undone = (await world.ask()).model_version

    assert (promoted, undone) == ("risk@2", "risk@1")
    assert world.models.starts == {}


async def test_what_one_deployment_has_loaded_is_not_given_back_because_another_is_ready_first(world: World) -> None:
    await world.rolling()
    other = await world.register(1, "spam")
    await world.deploy("mail", other)
    await world.loaded.close()
    gate = world.models.gates[V2] = asyncio.Event()

    starting = asyncio.ensure_future(world.gateway.start())
    await until(lambda: any(each.state.name == "mail" for each in world.gateway.served()))
    await until(lambda: world.models.starts[V2] == 2)
    for _ in range(10):
        await asyncio.sleep(0)
    gate.set()
    await starting

    assert not world.baseline().closed
    assert (await world.ask(BASELINE)).model_version == "risk@1"


# ------------------------------------------------------------------------------------------ evidence


async def test_the_evidence_is_put_up_again_and_again(world: World) -> None:
    await world.rolling()
    await world.gateway.start()

    await world.ask(CANARY)

    reports = world.shaky_board.calls["report"]
    await until(lambda: world.shaky_board.calls["report"] > reports + 1)
    (report,) = await world.board.reports(f"{NAME}:1")
    assert (report.gateway, report.boot) == ("gateway-1", "boot-1")
    assert report.evidence[Key(f"{NAME}:1", "risk@2", 1, CANARY)].requests == 1


async def test_a_board_that_fails_for_a_while_does_not_end_the_evidence(world: World) -> None:
    await world.rolling()
    world.shaky_board.fails["report"] = Unavailable("gone")
    await world.gateway.start()
    await until(lambda: world.shaky_board.calls["report"] > 2)

    assert await world.board.reports(f"{NAME}:1") == []
    assert world.troubles == []  # the board tells of itself
    world.shaky_board.fails.clear()
    reports = world.shaky_board.calls["report"]
    await until(lambda: world.shaky_board.calls["report"] > reports + 1)

    assert len(await world.board.reports(f"{NAME}:1")) == 1


async def test_the_features_are_checked_by_the_baselines_signature(world: World) -> None:
    await world.register(1)
    await world.deploy()
    await world.gateway.start()

    with pytest.raises(InvalidFeatures) as refused:
        await world.gateway.predict(NAME, {"x": 1.0})

    assert refused.value.field == "features.y"
    assert (await world.gateway.predict(NAME, ROW)).model_version == str(V1)
