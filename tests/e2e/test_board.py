"""A board that says nothing, or nonsense, sends all traffic to the baseline; the next look at it mends it."""

from collections import Counter
from typing import Any

import pytest
from tests.models import KNOWN, STABLE

from serinus.assembly import System
from serinus.boards.memory import MemoryBoard
from serinus.core.commands import Create, SetWeight, StartCanary
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.core.routing import Split, split_of

SPLIT = Split("prod", 2, "prod:1", 1, 100.0, baseline=str(STABLE)).encoded()
"""What is on the board for a canary with all of the traffic."""
ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)
GARBAGE: dict[str, Any] = {
    "nothing": None,
    "no mapping": "weight=100",
    "empty": {},
    "bytes": b"\x00\xff",
    "endless": ENDLESS,
    **{f"no {field}": {key: value for key, value in SPLIT.items() if key != field} for field in SPLIT},
    "a field too many": SPLIT | {"note": "hi"},
    "a stable deployment": SPLIT | {"rollout": ""},
    **{
        f"{key} {value!r}": SPLIT | {key: value}
        for key, values in {
            "weight": ("100", None, -1, 101, float("nan"), float("inf"), True, [100]),
            "generation": ("2", -1, 2.0, None),
            "rollout": (1, None, "other:1", "prod:0"),
            "split_version": ("1", -1),
            "sticky": ("yes", None),
            "deployment": (7, None),
            "baseline": (2, None),
            "cut": (True, {}, {"at": "now", "actor": "", "reason": "", "facts": {}, "key": "", "fingerprint": ""}),
        }.items()
        for value in values
    },
}


async def roles(system: System, times: int = 40) -> Counter[str]:
    assert system.gateway is not None
    return Counter([(await system.gateway.predict("prod", KNOWN)).model_role for _ in range(times)])


@pytest.fixture
async def board(system: System) -> MemoryBoard:
    """The board of a system whose canary has all of the traffic."""
    await system.engine.create(Create(name="prod", baseline=STABLE, settings=Settings()))
    await system.engine.execute("prod", StartCanary(canary=VersionRef("risk", 2), weight=100))
    assert isinstance(system.board, MemoryBoard)
    assert await system.board.split("prod") == SPLIT
    assert await roles(system) == {"canary": 40}
    return system.board


async def test_whatever_stands_on_the_board_the_baseline_answers_and_the_next_look_mends_it(
    system: System, board: MemoryBoard, subtests: pytest.Subtests
) -> None:
    for what, raw in GARBAGE.items():
        with subtests.test(what):
            board.put("prod", raw)
            assert await roles(system) == {"baseline": 40}

            await system.engine.reconcile()

            assert await board.split("prod") == SPLIT
            assert await roles(system) == {"canary": 40}


@pytest.mark.parametrize("raw", [None, "nonsense"])
async def test_a_command_mends_the_board_at_once(system: System, board: MemoryBoard, raw: object) -> None:
    board.put("prod", raw)

    done = await system.engine.execute("prod", SetWeight(weight=99.99))

    assert done.unacknowledged == ()
    assert (await roles(system))["canary"] > 0


async def test_a_wrong_share_of_the_right_generation_lasts_until_the_next_look(
    system: System, board: MemoryBoard
) -> None:
    board.put("prod", SPLIT | {"weight": 0})

    await system.engine.reconcile()

    assert await board.split("prod") == SPLIT
    assert await roles(system) == {"canary": 40}


async def test_a_promotion_that_never_was_is_no_promotion(system: System, board: MemoryBoard) -> None:
    board.put("prod", SPLIT | {"rollout": "", "baseline": "risk@2"})
    assert system.gateway is not None
    answers = {(await system.gateway.predict("prod", KNOWN)).model_version for _ in range(10)}

    await system.engine.reconcile()

    assert answers == {"risk@1"}
    assert await roles(system) == {"canary": 40}


async def test_a_split_of_an_older_generation_is_overlooked(system: System, board: MemoryBoard) -> None:
    board.put("prod", SPLIT | {"generation": 1, "weight": 0})
    assert await roles(system) == {"canary": 40}

    await system.engine.reconcile()

    assert await board.split("prod") == SPLIT


async def test_a_split_of_a_rollout_that_never_was_sends_nothing_to_the_canary(
    system: System, board: MemoryBoard
) -> None:
    board.put("prod", SPLIT | {"generation": 3, "rollout": "prod:2"})

    assert await roles(system) == {"baseline": 40}


async def test_an_entry_for_a_deployment_that_does_not_exist_harms_nobody(system: System, board: MemoryBoard) -> None:
    board.put("ghost", Split("ghost", 1, "ghost:1", 1, 100.0).encoded())

    await system.engine.reconcile()

    assert await roles(system) == {"canary": 40}
    assert system.gateway is not None
    assert [served.state.name for served in system.gateway.served()] == ["prod"]


async def test_the_board_says_what_the_state_says_after_a_look(system: System, board: MemoryBoard) -> None:
    board.put("prod", None)

    await system.engine.reconcile()

    assert Split.decoded(await board.split("prod")) == split_of(await system.engine.deployment("prod"))
