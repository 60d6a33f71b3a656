"""Which requests a gateway counts as a comparison of both roles, and which aside."""

import asyncio
from typing import Any

import pytest
from tests.service_layer.doubles import until
from tests.service_layer.world import NAME, ROW, V1, V2, World

from serinus.core.commands import Promote, Rollback, SetWeight
from serinus.core.errors import InvalidFeatures, ModelError, Overloaded
from serinus.core.evidence import Counts, Evidence
from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.core.routing import Cut, Role, sticky_point

BASELINE, CANARY = Role.BASELINE, Role.CANARY
POLICY = SequentialPolicy()
ROLLOUT = f"{NAME}:1"


def compared(world: World, split_version: int = 1) -> list[int]:
    """Give how many requests of each role are a part of the comparison under a split."""
    return [world.counted(role, split_version=split_version).requests for role in Role]


def aside(world: World) -> list[int]:
    """Give how many requests of each role are counted and compared with nothing."""
    return compared(world, 0)


def entities(role: Role, rollout: str = ROLLOUT, share: float = 0.5, count: int = 5) -> list[str]:
    """Name entities that a share gives a role."""
    points = {name: sticky_point(b"k" * 32, rollout, name) for name in map(str, range(1000))}
    return [name for name, point in points.items() if (point < share) is (role is CANARY)][:count]


async def serving(world: World, weight: float = 50.0, **settings: Any) -> None:
    await world.rolling(weight, **{"policy": POLICY, **settings})
    await world.gateway.start()


async def settled(world: World) -> Evidence:
    """Give what the gateway has put up, when it has put up all there is."""
    await until(lambda: world.gateway._ledger.settled(world.clock.monotonic()) == world.gateway.evidence())
    return world.gateway._ledger.settled(world.clock.monotonic())


# --------------------------------------------------------------------------- what the split has not drawn


async def test_what_the_split_drew_is_compared(world: World) -> None:
    await serving(world)
    for role in (BASELINE, CANARY, CANARY):
        await world.ask(role)

    assert (compared(world), aside(world)) == ([1, 2], [0, 0])


async def test_while_the_canary_has_no_share_the_baseline_is_compared_with_nothing(world: World) -> None:
    await serving(world, 0.0)
    for role in Role:
        await world.ask(role)

    assert (compared(world), aside(world)) == ([0, 0], [2, 0])


async def test_while_nobody_judges_the_baseline_is_compared_with_nothing(world: World) -> None:
    await serving(world)
    world.clock.advance(7200.0)  # the lease has ended
    for role in Role:
        await world.ask(role)
    await world.judged()
    await world.ask(CANARY)

    assert (compared(world), aside(world)) == ([0, 1], [2, 0])


async def test_once_the_canary_is_cut_off_the_baseline_is_compared_with_nothing(world: World) -> None:
    await serving(world)
    await world.ask(CANARY)
    await world.board.cut(NAME, Cut(world.clock.now().isoformat(), "ada"))
    await world.caught_up()
    await world.ask(CANARY)

    assert (compared(world), aside(world)) == ([0, 1], [1, 0])


async def test_while_a_gateway_cannot_load_the_canary_its_baseline_is_compared_with_nothing(world: World) -> None:
    await serving(world)
    other = world.beside()
    other.models.refuses[V2] = ModelError("corrupt")
    await other.gateway.start()
    await other.caught_up()
    await other.ask(CANARY)

    assert compared(other) == [0, 0]
    assert sum(counts.requests for counts in other.gateway.evidence().values()) == 1


async def test_what_is_forced_is_counted_nowhere(world: World) -> None:
    await serving(world, allow_forced=True)
    for header in ("always", "never"):
        await world.ask(BASELINE, header=header)

    assert (compared(world), aside(world)) == ([0, 0], [0, 0])


async def test_after_a_change_of_the_split_requests_are_compared_under_the_new_one(world: World) -> None:
    await serving(world)
    await world.ask(CANARY)
    await world.do(SetWeight(weight=0.0))
    await world.ask(CANARY)
    await world.do(SetWeight(weight=20.0))
    await world.ask(CANARY)

    assert [compared(world, number) for number in (0, 1, 2, 3)] == [[1, 0], [0, 1], [0, 0], [0, 1]]


async def test_after_a_promotion_nothing_is_compared(world: World) -> None:
    await serving(world)
    await world.do(Promote())
    await world.caught_up()
    for role in Role:
        await world.ask(role)

    assert compared(world) == [0, 0]


# ------------------------------------------------------------------------------ how a request ended


@pytest.mark.parametrize("role", list(Role))
async def test_a_callers_error_is_counted_for_the_role_drawn_and_no_model_was_asked(world: World, role: Role) -> None:
    await serving(world)
    world.point = 0.0 if role is CANARY else 0.999

    with pytest.raises(InvalidFeatures):
        await world.gateway.predict(NAME, {"x": "no number"})

    counts = world.counted(role)
    assert (counts.client_errors, counts.requests, counts.latency) == (1, 0, {})
    assert compared(world) == [0, 0]


async def test_our_own_error_is_counted_and_is_no_request_to_a_model(world: World) -> None:
    await serving(world)
    world.canary().does = Overloaded("full")
    await world.ask(CANARY)

    assert (world.counted(CANARY).platform_errors, compared(world)) == (1, [0, 0])


async def test_a_failure_of_the_canary_is_compared_and_the_answer_of_its_stand_in_is_not(world: World) -> None:
    await serving(world)
    world.canary().does = ModelError("broken")
    await world.ask(CANARY)

    assert (compared(world), world.counted(CANARY).failed) == ([0, 1], 1)


async def test_a_request_whose_caller_went_away_is_counted_nowhere_and_holds_nothing_back(world: World) -> None:
    await serving(world)
    world.baseline().is_silent()
    asking = asyncio.ensure_future(world.ask(BASELINE))
    await until(lambda: world.baseline().asked)
    asking.cancel()
    await asyncio.wait({asking})
    world.clock.advance(1.0)
    await world.ask(CANARY)

    assert compared(world) == [0, 1]
    assert sum(counts.requests for counts in (await settled(world)).values()) == 1


async def test_what_is_put_up_waits_for_what_started_before_it(world: World) -> None:
    await serving(world)
    world.baseline().is_silent()
    slow = asyncio.ensure_future(world.ask(BASELINE))
    await until(lambda: world.baseline().asked)
    world.clock.advance(1.0)
    await world.ask(CANARY)

    held_back = world.gateway._ledger.settled(world.clock.monotonic())
    world.baseline().speak.set()
    await slow

    assert sum(counts.requests for counts in held_back.values()) == 0
    assert sum(counts.requests for counts in (await settled(world)).values()) == 2


async def test_a_request_that_takes_longer_than_the_patience_holds_nothing_back(world: World) -> None:
    await serving(world)
    world.baseline().is_silent()
    slow = asyncio.ensure_future(world.ask(BASELINE))
    await until(lambda: world.baseline().asked)
    world.clock.advance(1.0)
    await world.ask(CANARY)
    world.clock.advance(40.1)  # twice the deadline

    put_up = world.gateway._ledger.settled(world.clock.monotonic())
    world.baseline().speak.set()
    await slow

    assert sum(counts.requests for counts in put_up.values()) == 1
    assert sum(counts.requests for counts in (await settled(world)).values()) == 2


# ------------------------------------------------------------------------------------- sticky traffic


async def test_an_entity_is_compared_once(world: World) -> None:
    await serving(world, sticky=True)
    one, other = entities(CANARY)[0], entities(BASELINE)[0]
    for entity in (one, one, other, one):
        await world.ask(entity_id=entity)

    assert (compared(world), aside(world)) == ([1, 1], [0, 2])


async def test_an_entity_that_always_fails_speaks_against_the_canary_once(world: World) -> None:
    await serving(world, sticky=True)
    world.canary().does = ModelError("broken")
    for _ in range(5):
        await world.ask(entity_id=entities(CANARY)[0])

    assert world.counted(CANARY).failed == 1
    assert world.counted(CANARY, split_version=0).failed == 4


async def test_requests_without_an_entity_are_drawn_and_compared_each(world: World) -> None:
    await serving(world, sticky=True)
    for role in (CANARY, CANARY, BASELINE):
        await world.ask(role)

    assert (compared(world), aside(world)) == ([1, 2], [0, 0])


async def test_an_entity_that_is_named_is_of_no_account_where_traffic_is_not_sticky(world: World) -> None:
    await serving(world)
    for _ in range(3):
        await world.ask(CANARY, entity_id="ada")

    assert compared(world) == [0, 3]


async def test_the_rule_of_thresholds_counts_every_request_of_an_entity(world: World) -> None:
    await serving(world, sticky=True, policy=ThresholdPolicy())
    for _ in range(3):
        await world.ask(entity_id=entities(CANARY)[0])

    assert compared(world) == [0, 3]


async def test_after_a_change_of_the_split_an_entity_that_was_seen_is_not_compared_again(world: World) -> None:
    await serving(world, 20.0, sticky=True)
    moves = next(name for name in entities(BASELINE, share=0.2, count=50) if name in entities(CANARY, count=500))
    await world.ask(entity_id=moves)
    await world.do(SetWeight(weight=50.0))

    moved = await world.ask(entity_id=moves)

    assert moved.model_role is CANARY
    assert [compared(world, number) for number in (0, 1, 2)] == [[0, 1], [1, 0], [0, 0]]


async def test_an_entity_that_came_while_nothing_was_compared_is_new_when_something_is(world: World) -> None:
    await serving(world, 0.0, sticky=True)
    entity = entities(CANARY)[0]
    await world.ask(entity_id=entity)
    await world.do(SetWeight(weight=50.0))
    await world.ask(entity_id=entity)

    assert (compared(world, 2), aside(world)) == ([0, 1], [1, 0])


async def test_a_forced_request_does_not_make_an_entity_known(world: World) -> None:
    await serving(world, sticky=True, allow_forced=True)
    entity = entities(CANARY)[0]
    await world.ask(entity_id=entity, header="never")
    await world.ask(entity_id=entity)

    assert compared(world) == [0, 1]


async def test_an_entity_whose_first_request_was_no_request_is_compared_by_its_next(world: World) -> None:
    await serving(world, sticky=True)
    entity = entities(CANARY)[0]
    with pytest.raises(InvalidFeatures):
        await world.gateway.predict(NAME, {}, entity)
    await world.ask(entity_id=entity)

    assert compared(world) == [0, 1]


async def test_in_another_rollout_every_entity_is_new(world: World) -> None:
    await serving(world, sticky=True)
    for role in Role:
        await world.ask(entity_id=entities(role)[0])
    await world.do(Rollback())
    await world.start()
    await world.caught_up()
    for role in Role:
        await world.ask(entity_id=entities(role, f"{NAME}:2")[0])

    found = [world.counted(role, f"{NAME}:2").requests for role in Role]
    assert found == [1, 1]
    assert list(world.gateway._touched) == [f"{NAME}:2"]


async def test_each_deployment_has_entities_of_its_own(world: World) -> None:
    await serving(world, sticky=True)
    await world.deploy("other", policy=POLICY, sticky=True)
    await world.start(name="other")
    await world.caught_up()
    await world.gateway.predict(NAME, ROW, entities(CANARY)[0])
    await world.gateway.predict("other", ROW, entities(CANARY, "other:1")[0])
    await world.gateway.predict(NAME, ROW, entities(CANARY)[0])

    assert (compared(world), aside(world)) == ([0, 1], [0, 1])
    assert world.counted(CANARY, "other:1").requests == 1


async def test_aside_and_compared_are_together_what_was_served(world: World) -> None:
    await serving(world, sticky=True)
    for number in range(40):
        await world.ask(entity_id=str(number % 7))

    total = Counts()
    for key, counts in world.gateway.evidence().items():
        assert key.version in {str(V1), str(V2)}
        total += counts
    assert total.requests == 40
    assert sum(compared(world)) == 7
