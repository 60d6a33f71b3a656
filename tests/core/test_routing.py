"""The draw, the split that boards keep, and the place of an entity."""

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import CANARY, JSON, lived

from serinus.core.commands import Pause, Promote, SetWeight, StartCanary
from serinus.core.policy import Settings
from serinus.core.routing import LARGEST, Role, Split, assign, forced_role, split_of, sticky_point

DRAWS = 100_000
START = StartCanary(canary=CANARY, weight=10)
KEY = b"a key of the deployment"

WHOLE = st.integers(0, LARGEST)
NAMES = st.text(st.characters(), max_size=12)
WEIGHTS = st.floats(0, 100)
SPLITS = st.builds(
    Split,
    deployment=NAMES,
    generation=WHOLE,
    rollout=NAMES,
    split_version=WHOLE,
    weight=WEIGHTS,
    sticky=st.booleans(),
)
POINTS = st.floats(0, 1, exclude_max=True)


def split(weight: float) -> Split:
    return Split("churn-prod", generation=2, rollout="churn-prod:1", split_version=1, weight=weight)


def canaries(weight: float, points: list[float]) -> int:
    return sum(assign(split(weight), point) is Role.CANARY for point in points)


def within_four_standard_errors(hits: int, weight: float) -> bool:
    p = weight / 100
    return abs(hits - DRAWS * p) <= 4 * math.sqrt(DRAWS * p * (1 - p))


# ---------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("weight", [0, 0.01, 20, 50, 99.99, 100])
def test_the_canary_gets_its_share_of_many_draws(weight: float) -> None:
    draw = random.Random(20260301)
    assert within_four_standard_errors(canaries(weight, [draw.random() for _ in range(DRAWS)]), weight)


@given(POINTS)
def test_no_point_is_in_a_share_of_nothing(point: float) -> None:
    assert assign(split(0), point) is Role.BASELINE


@given(POINTS | st.just(1 - 2**-53))
def test_every_point_is_in_a_share_of_everything(point: float) -> None:
    assert assign(split(100), point) is Role.CANARY


@given(POINTS, WEIGHTS, WEIGHTS)
def test_raising_the_weight_never_moves_a_point_back_to_the_baseline(point: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert assign(split(low), point) is Role.BASELINE or assign(split(high), point) is Role.CANARY


def test_a_point_on_the_weight_is_the_baselines() -> None:
    assert assign(split(50), 0.5) is Role.BASELINE


def test_without_a_split_the_baseline_answers() -> None:
    assert assign(None, 0.0) is Role.BASELINE


def test_without_a_rollout_the_baseline_answers_whatever_the_weight_says() -> None:
    assert assign(replace(split(100), rollout=""), 0.0) is Role.BASELINE


# ------------------------------------------------------------------------------ the split of a state


def test_a_stable_deployment_has_no_share_to_give() -> None:
    assert split_of(lived()) == Split("churn-prod", generation=1, baseline="churn@1")


def test_a_running_canary_has_the_share_of_its_rollout() -> None:
    state = lived(START, SetWeight(weight=25), settings=Settings(sticky=True))
    assert split_of(state) == Split("churn-prod", 3, "churn-prod:1", 2, 25.0, sticky=True, baseline="churn@1")


def test_a_paused_canary_keeps_its_share() -> None:
    assert split_of(lived(START, Pause())).weight == 10.0


def test_an_ended_rollout_has_no_share() -> None:
    assert split_of(lived(START, Promote())) == Split("churn-prod", generation=3, baseline="churn@2")


# ------------------------------------------------------------------------------- what a board keeps


@given(SPLITS)
def test_a_split_comes_back_from_a_board_as_it_was(kept: Split) -> None:
    assert Split.decoded(json.loads(json.dumps(kept.encoded()))) == kept


@given(JSON)
def test_whatever_is_not_a_split_is_none(raw: object) -> None:
    assert Split.decoded(raw) is None


@given(SPLITS, st.sampled_from(["generation", "split_version"]), st.integers(LARGEST + 1, 2**63))
def test_a_number_beyond_the_greatest_makes_the_split_none(kept: Split, name: str, value: int) -> None:
    assert Split.decoded(kept.encoded() | {name: value}) is None


@given(
    SPLITS,
    st.sampled_from(["deployment", "generation", "rollout", "split_version", "weight", "sticky", "baseline"]),
    JSON,
)
def test_a_member_of_another_kind_makes_the_split_none_or_a_proper_one(kept: Split, name: str, value: object) -> None:
    decoded = Split.decoded(kept.encoded() | {name: value})
    assert decoded is None or (type(value) in {str, int, float, bool} and decoded.encoded()[name] == value)


@given(
    SPLITS, st.sampled_from(["deployment", "generation", "rollout", "split_version", "weight", "sticky", "baseline"])
)
def test_a_split_that_lacks_a_member_is_none(kept: Split, name: str) -> None:
    assert Split.decoded({k: v for k, v in kept.encoded().items() if k != name}) is None


@given(SPLITS, st.text(max_size=5).map(lambda name: f"x{name}"), JSON)
def test_a_split_with_a_member_too_many_is_none(kept: Split, name: str, value: object) -> None:
    assert Split.decoded(kept.encoded() | {name: value}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", math.nan),
        ("weight", math.inf),
        ("weight", -1),
        ("weight", 100.01),
        ("weight", True),
        ("weight", "50"),
        ("weight", None),
        ("weight", 10**400),
        ("generation", -1),
        ("generation", 2.0),
        ("generation", True),
        ("split_version", "1"),
        ("rollout", None),
        ("rollout", 7),
        ("deployment", ["churn-prod"]),
        ("sticky", 1),
        ("sticky", "false"),
    ],
)
def test_a_split_that_makes_no_sense_is_none(name: str, value: object) -> None:
    assert Split.decoded(split(50).encoded() | {name: value}) is None


@pytest.mark.parametrize("raw", [None, "", b"{}", 0, [], {}, [["weight", 50]], {1: 2}, {("a",): None}])
def test_an_empty_or_foreign_value_is_none(raw: object) -> None:
    assert Split.decoded(raw) is None


@given(SPLITS, POINTS)
def test_every_split_that_can_be_read_can_be_drawn_from(kept: Split, point: float) -> None:
    assert assign(kept, point) in Role


# -------------------------------------------------------------------------------------------- sticky


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20), st.binary(max_size=80))
def test_every_entity_has_a_place_from_0_to_below_1(entity: str, rollout: str, key: bytes) -> None:
    assert 0 <= sticky_point(key, rollout, entity) < 1


def test_an_entity_has_the_same_place_at_every_gateway() -> None:
    # A change of this number would move every entity of every sticky rollout at the next upgrade.
    assert sticky_point(KEY, "churn-prod:1", "customer-7") == 0.2896975891897756


def test_half_a_surrogate_pair_has_a_place_too() -> None:
    assert sticky_point(KEY, "churn-prod:1", "\ud800") != sticky_point(KEY, "churn-prod:1", "\udfff")


def test_a_rollout_named_by_half_a_surrogate_pair_breaks_nothing() -> None:
    assert 0 <= sticky_point(KEY, "\ud800", "customer-7") < 1


@given(st.text(max_size=10), WEIGHTS, WEIGHTS)
def test_an_entity_in_the_canary_stays_there_while_the_weight_rises(entity: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    point = sticky_point(KEY, "churn-prod:1", entity)
    assert assign(split(low), point) is Role.BASELINE or assign(split(high), point) is Role.CANARY


@pytest.mark.parametrize("weight", [1, 20, 50])
def test_entities_are_spread_evenly(weight: float) -> None:
    points = [sticky_point(KEY, "churn-prod:1", f"customer-{n}") for n in range(DRAWS)]
    assert within_four_standard_errors(canaries(weight, points), weight)


def test_entities_fill_a_hundred_equal_parts_evenly() -> None:
    parts = [0] * 100
    for n in range(DRAWS):
        parts[int(sticky_point(KEY, "churn-prod:1", f"customer-{n}") * 100)] += 1
    chi_square = sum((count - DRAWS / 100) ** 2 / (DRAWS / 100) for count in parts)
    assert chi_square < 99 + 4 * math.sqrt(2 * 99)


def both_in_the_canary(one: tuple[bytes, str], other: tuple[bytes, str]) -> int:
    """Count the entities that a share of 20 % puts into the canary under both keys and rollouts."""
    return sum(
        sticky_point(*one, f"customer-{n}") < 0.2 and sticky_point(*other, f"customer-{n}") < 0.2 for n in range(DRAWS)
    )


def test_the_next_rollout_draws_other_entities() -> None:
    assert within_four_standard_errors(both_in_the_canary((KEY, "churn-prod:1"), (KEY, "churn-prod:2")), 4)


def test_another_key_draws_other_entities() -> None:
    assert within_four_standard_errors(both_in_the_canary((KEY, "churn-prod:1"), (b"another", "churn-prod:1")), 4)


def test_rollout_and_entity_are_not_run_together() -> None:
    assert sticky_point(KEY, "a:1", "2x") != sticky_point(KEY, "a:12", "x")


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=1, max_size=8))
def test_a_key_counts_up_to_64_bytes(key: bytes, more: bytes) -> None:
    assert sticky_point(key + more, "churn-prod:1", "x") == sticky_point(key, "churn-prod:1", "x")


# ------------------------------------------------------------------------------------- forced header


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("always", Role.CANARY),
        (" Always\t", Role.CANARY),
        ("never", Role.BASELINE),
        ("NEVER", Role.BASELINE),
        ("", None),
        ("true", None),
        ("canary", None),
        (None, None),
    ],
)
def test_a_header_forces_a_role_by_always_and_never_alone(header: str | None, role: Role | None) -> None:
    assert forced_role(header, allowed=True) is role


@pytest.mark.parametrize("header", ["always", "never"])
def test_a_header_forces_nothing_where_it_is_not_allowed(header: str) -> None:
    assert forced_role(header, allowed=False) is None
