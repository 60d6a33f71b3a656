import asyncio

import pytest
from tests import models
from tests.service_layer.doubles import TURNED, until
from tests.service_layer.world import V1, V2, World

from serinus.core.errors import (
    ArtifactCorrupt,
    ContractBroken,
    FormatRefused,
    ModelError,
    ModelTimeout,
    NotFound,
    Overloaded,
)
from serinus.core.names import VersionRef
from serinus.core.records import VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.loaded import LoadedModels
from serinus.predictors.orders import Allowed
from serinus.predictors.processes import Nursery, Room
from serinus.predictors.runners import RunnerPredictors

EXAMPLES = ((1.0, 2.0), (3.0, 4.0))


async def test_however_many_wait_for_a_version_it_is_loaded_once(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()

    asking = [asyncio.ensure_future(world.loaded.get(V1)) for _ in range(100)]
    await until(lambda: world.models.starts[V1])
    world.models.gates[V1].set()
    predictors = await asyncio.gather(*asking)

    assert world.models.starts[V1] == 1
    assert {id(each) for each in predictors} == {id(world.models[V1])}
    assert await world.loaded.get(V1) is world.models[V1]


async def test_one_who_gives_up_takes_the_model_from_nobody(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    impatient, patient = (asyncio.ensure_future(world.loaded.get(V1)) for _ in range(2))
    await until(lambda: world.models.starts[V1])

    impatient.cancel()
    await asyncio.sleep(0)
    world.models.gates[V1].set()

    assert await patient is world.models[V1]
    assert impatient.cancelled()


async def test_a_load_that_failed_is_tried_anew(world: World) -> None:
    await world.register()
    world.models.refuses[V1] = ArtifactCorrupt("torn")
    outcomes = await asyncio.gather(*(world.loaded.get(V1) for _ in range(3)), return_exceptions=True)

    world.models.refuses.clear()
    predictor = await world.loaded.get(V1)

    assert [type(each) for each in outcomes] == [ArtifactCorrupt] * 3
    assert predictor is world.models[V1]
    assert world.models.starts[V1] == 2


async def test_a_version_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="risk@9"):
        await world.loaded.get(VersionRef("risk", 9))

    assert world.loaded.refs() == []


async def test_a_model_has_answered_its_examples_before_it_is_given_out(world: World) -> None:
    await world.register(examples=EXAMPLES)

    await world.loaded.get(V1)

    assert [row for row, _ in world.models[V1].asked] == [[1.0, 2.0], [3.0, 4.0]]


async def test_a_model_that_does_not_answer_its_examples_breaks_the_contract_and_is_closed(world: World) -> None:
    await world.register(examples=EXAMPLES)
    world.models.examples_fail[V1] = ModelError("it divides by zero")

    with pytest.raises(ContractBroken, match="example row 0: it divides by zero"):
        await world.loaded.get(V1)

    assert world.models[V1].closed == 1
    assert world.loaded.refs() == []


async def test_a_failure_of_ours_while_warming_is_not_the_models(world: World) -> None:
    await world.register(examples=EXAMPLES)
    world.models.examples_fail[V1] = Overloaded("full")

    with pytest.raises(Overloaded):
        await world.loaded.get(V1)

    assert world.models[V1].closed == 1


async def test_a_model_that_hangs_while_it_is_loaded_is_given_up(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, loading_timeout_s=0.01)

    with pytest.raises(ModelTimeout, match=r"risk@1 was not loaded within 0\.01 s"):
        await loaded.get(V1)

    await loaded.close()


async def test_while_a_load_hangs_no_other_of_its_version_is_begun(world: World) -> None:
    await world.register(2)
    world.models.gates[V1] = asyncio.Event()
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, loading_timeout_s=0.2)
    outcomes = [*await asyncio.gather(*(loaded.get(V1) for _ in range(2)), return_exceptions=True)]
    for _ in range(5):
        outcomes += await asyncio.gather(loaded.get(V1), return_exceptions=True)

    assert {(type(each), str(each)) for each in outcomes} == {(ModelTimeout, str(outcomes[0]))}
    assert world.models.starts[V1] == 1
    assert await loaded.get(V2) is world.models[V2], "another version is loaded meanwhile"
    await loaded.close()


async def test_once_a_load_that_hung_has_ended_its_model_is_closed_and_the_next_caller_loads_anew(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, loading_timeout_s=0.2)
    with pytest.raises(ModelTimeout):
        await loaded.get(V1)

    world.models.gates[V1].set()
    await until(lambda: V1 in world.models.made and world.models[V1].closed)
    late = world.models[V1]
    predictor = await loaded.get(V1)

    assert predictor is world.models[V1]
    assert predictor is not late
    assert (late.closed, world.models[V1].closed) == (1, 0)
    await loaded.close()


async def test_once_a_load_that_hung_has_failed_the_next_caller_loads_anew(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    world.models.refuses[V1] = ArtifactCorrupt("torn")
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, loading_timeout_s=0.2)
    with pytest.raises(ModelTimeout):
        await loaded.get(V1)

    world.models.gates[V1].set()
    await until(lambda: not loaded._hanging)

    with pytest.raises(ArtifactCorrupt):
        await loaded.get(V1)
    await loaded.close()


async def test_a_model_that_hangs_for_ever_costs_one_process_however_often_it_is_tried(world: World) -> None:
    package = models.pickled(models.Risk(loading=600.0))
    digest = await world.artifacts.put(package.data)
    draft = VersionDraft("risk", digest, len(package.data), package.format, package.signature)
    await world.real_store.register(draft, world.clock.now())
    nursery = Nursery(Room())
    loaded = LoadedModels(
        world.real_store,
        world.artifacts,
        RunnerPredictors(nursery, Allowed(allow_pickle=True)),
        loading_timeout_s=0.02,
    )
    for _ in range(5):
        with pytest.raises(ModelTimeout):
            await loaded.get(V1)
    await until(lambda: nursery._living)
    assert len(nursery._living) == 1

    await loaded.close()

    await until(lambda: not nursery._living)
    nursery.close()


async def test_closing_waits_for_no_load_that_hangs(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, loading_timeout_s=0.01)
    with pytest.raises(ModelTimeout):
        await loaded.get(V1)

    await asyncio.wait_for(loaded.close(), 30)

    assert loaded._hanging == {}
    assert V1 not in world.models.made


async def test_a_canary_is_prepared_next_to_its_baseline_and_differences_that_matter_are_told(world: World) -> None:
    nullable = Signature((Feature("x", Dtype.FLOAT, nullable=True), TURNED.features[0]), Output(OutputKind.NUMBER))
    await world.register(signature=nullable)
    await world.register(signature=TURNED)

    warnings = await world.loaded.prepare(V2, V1)

    assert warnings == ("x may be missing, but never was in the canary's training data",)
    assert set(world.loaded.refs()) == {V1, V2}


async def test_a_canary_of_another_contract_is_refused(world: World) -> None:
    await world.register()
    await world.register(signature=Signature(TURNED.features[:1], Output(OutputKind.NUMBER)))

    with pytest.raises(ContractBroken, match="lacks x"):
        await world.loaded.prepare(V2, V1)


async def test_what_nobody_needs_is_given_back_after_the_grace(world: World) -> None:
    await world.register(2)
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, grace_s=0.02)
    await asyncio.gather(loaded.get(V1), loaded.get(V2))

    loaded.retain([V1])

    assert loaded.refs() == [V1]
    assert world.models[V2].closed == 0, "requests may still wait for it"
    await until(lambda: world.models[V2].closed)
    await loaded.close()
    assert [world.models[ref].closed > 0 for ref in (V1, V2)] == [True, True]


async def test_what_is_held_is_not_given_back_until_it_is_let_go(world: World) -> None:
    await world.register(2)
    async with world.loaded.holding(V1, V2), world.loaded.holding(V2):
        await world.loaded.prepare(V2, V1)
        world.loaded.retain([])
        assert set(world.loaded.refs()) == {V1, V2}
        world.loaded.retain([V1])

    assert world.loaded.refs() == [V1]


async def test_what_is_held_twice_is_let_go_twice(world: World) -> None:
    await world.register()
    async with world.loaded.holding(V1):
        async with world.loaded.holding(V1):
            await world.loaded.get(V1)

        assert world.loaded.refs() == [V1]

    assert world.loaded.refs() == []


async def test_giving_back_passes_over_a_load_that_has_just_failed(world: World) -> None:
    await world.register()
    world.models.gates[V1] = asyncio.Event()
    world.models.refuses[V1] = ArtifactCorrupt("torn")
    asking = asyncio.ensure_future(world.loaded.get(V1))
    await until(lambda: world.models.starts[V1])
    load = world.loaded._loads[V1]

    world.models.gates[V1].set()
    while not load.done():  # noqa: ASYNC110 - to be there before what follows its end
        await asyncio.sleep(0)
    world.loaded.retain([])

    assert world.loaded.refs() == []
    with pytest.raises(ArtifactCorrupt):
        await asking


async def test_closing_ends_a_load_under_way_and_closes_what_is_there(world: World) -> None:
    await world.register(2, examples=EXAMPLES)
    await world.loaded.get(V1)
    world.models.gates[V2] = asyncio.Event()
    asking = asyncio.ensure_future(world.loaded.get(V2))
    await until(lambda: world.models.starts[V2])

    await world.loaded.close()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert world.models[V1].closed == 1
    assert world.loaded.refs() == []


async def test_closing_closes_a_model_that_is_being_warmed(world: World) -> None:
    await world.register(examples=EXAMPLES)
    real = world.models.start

    async def silent(version: object, artifact: bytes) -> object:
        puppet = await real(version, artifact)  # type: ignore[arg-type]
        puppet.is_silent()
        return puppet

    world.models.start = silent  # type: ignore[assignment, method-assign]
    asking = asyncio.ensure_future(world.loaded.get(V1))
    await until(lambda: V1 in world.models.made and world.models[V1].asked)

    await world.loaded.close()
    await asyncio.gather(asking, return_exceptions=True)

    assert world.models[V1].closed == 1


async def test_closing_closes_what_is_in_its_grace(world: World) -> None:
    await world.register()
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, grace_s=60.0)
    await loaded.get(V1)
    loaded.retain([])

    await loaded.close()

    assert world.models[V1].closed == 1


async def test_a_real_predictor_cannot_be_made_of_bytes_that_are_no_model(world: World) -> None:
    await world.register()
    nursery = Nursery(Room())
    loaded = LoadedModels(world.real_store, world.artifacts, RunnerPredictors(nursery))

    with pytest.raises(FormatRefused, match="own"):
        await loaded.get(V1)

    assert loaded.refs() == []
    nursery.close()


async def test_a_canary_slower_than_the_deadline_is_refused(world: World) -> None:
    await world.register(2, examples=EXAMPLES)
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, deadline_s=0.5)
    await loaded.get(V2)
    world.models[V2].does = ModelTimeout("too late")

    with pytest.raises(ContractBroken, match=r"needs more than the 0\.5 s"):
        await loaded.prepare(V2, V1)

    assert [timeout_s for _, timeout_s in world.models[V2].asked[-3:]] == [0.5] * 3
    await loaded.close()


async def test_a_baseline_is_served_however_slow_it_is(world: World) -> None:
    await world.register(2, examples=EXAMPLES)
    loaded = LoadedModels(world.real_store, world.artifacts, world.models, deadline_s=0.5)
    await loaded.get(V1)
    world.models[V1].does = ModelTimeout("too late")

    assert await loaded.prepare(V2, V1) == ()
    await loaded.close()
