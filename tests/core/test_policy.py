"""What a deployment's settings may be, and how a change of them is told."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.policy import (
    POLICIES,
    ROLES,
    Policy,
    SequentialPolicy,
    Settings,
    ThresholdPolicy,
    policy_over,
    policy_values,
)

OUT_OF_RANGE = [
    ("error_delta", -0.01, "Give a number from 0 to 1."),
    ("error_delta", 1.01, "Give a number from 0 to 1."),
    ("p95_delta_ms", -1, "Give a number from 0 to 600000."),
    ("p95_delta_ms", 600_001, "Give a number from 0 to 600000."),
    ("min_requests", 0, "Give a number from 1 to 1e+09."),
    ("window_s", 0.9, "Give a number from 1 to 86400."),
    ("window_s", 86_401, "Give a number from 1 to 86400."),
    ("interval_s", 0.05, "Give a number from 0.1 to 86400."),
]


def test_the_default_policy_is_the_articles() -> None:
    policy = ThresholdPolicy()
    assert (policy.error_delta, policy.p95_delta_ms, policy.min_requests, policy.window_s, policy.interval_s) == (
        0.05,
        100.0,
        100,
        300.0,
        30.0,
    )


@pytest.mark.parametrize(("name", "value", "remedy"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float, remedy: str) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(InvalidInput) as refused:
        ThresholdPolicy(**changes)
    assert (refused.value.field, refused.value.message, refused.value.remedy) == (
        f"settings.policy.{name}",
        f"settings.policy.{name} is {value!r}.",
        remedy,
    )


@pytest.mark.parametrize("name", ["error_delta", "p95_delta_ms", "min_requests", "window_s", "interval_s"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400], ids=["nan", "inf", "-inf", "huge"])
def test_what_is_no_number_of_this_world_is_refused(name: str, value: float) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(InvalidInput) as refused:
        ThresholdPolicy(**changes)
    assert refused.value.field == f"settings.policy.{name}"


def test_the_bounds_themselves_are_allowed() -> None:
    policy = ThresholdPolicy(error_delta=0, p95_delta_ms=0, min_requests=1, window_s=1, interval_s=0.1)
    widest = replace(policy, error_delta=1, p95_delta_ms=600_000, window_s=86_400, interval_s=86_400)
    assert widest.window_s == 86_400


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        ThresholdPolicy(name="bayes")
    assert (refused.value.field, refused.value.message) == ("settings.policy.name", "There is no policy 'bayes'.")


@pytest.mark.parametrize("share", [-0.01, 100.01, math.nan, math.inf])
def test_a_share_to_promote_from_is_a_share(share: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        Settings(promote_from_weight=share)
    assert (refused.value.field, refused.value.remedy) == (
        "settings.promote_from_weight",
        "Give a number from 0 to 100.",
    )


def test_the_article_promotes_at_any_share() -> None:
    assert Settings().promote_from_weight == 0.0


SETTINGS = st.builds(
    Settings,
    sticky=st.booleans(),
    dry_run=st.booleans(),
    promote_from_weight=st.floats(0, 100),
    policy=st.builds(ThresholdPolicy, error_delta=st.floats(0, 1), min_requests=st.integers(1, 1000)),
)


@given(SETTINGS)
def test_the_same_settings_have_no_changes(settings: Settings) -> None:
    assert settings.changes_from(settings) == {}


@given(SETTINGS, SETTINGS)
def test_what_changed_one_way_changed_back_the_other(new: Settings, old: Settings) -> None:
    there, back = new.changes_from(old), old.changes_from(new)
    assert there == {name: {"from": c["to"], "to": c["from"]} for name, c in back.items() if isinstance(c, dict)}


@given(SETTINGS, SETTINGS)
def test_changes_can_be_written_down(new: Settings, old: Settings) -> None:
    changes = new.changes_from(old)
    assert json.loads(json.dumps(changes)) == changes


def test_a_change_of_the_policy_is_told_by_its_member() -> None:
    new = Settings(auto_promote=False, policy=ThresholdPolicy(window_s=600))
    assert new.changes_from(Settings(policy=ThresholdPolicy())) == {
        "auto_promote": {"from": True, "to": False},
        "policy.window_s": {"from": 300.0, "to": 600},
    }


# ------------------------------------------------------------------------------- the sequential policy

SEQUENTIAL_OUT_OF_RANGE = [
    ("error_margin", 0.0009, "Give a number from 0.001 to 0.9."),
    ("error_margin", 0.91, "Give a number from 0.001 to 0.9."),
    ("error_tolerance", -0.001, "Give a number from 0 to 0.025."),
    ("error_tolerance", 0.026, "Give a number from 0 to 0.025."),
    ("p95_margin_ms", 0.9, "Give a number from 1 to 600000."),
    ("p95_tolerance_ms", 50.1, "Give a number from 0 to 50."),
    ("alpha", 0.0, "Give a number from 1e-06 to 0.2."),
    ("beta", 0.21, "Give a number from 1e-06 to 0.2."),
    ("horizon_s", 59, "Give a number from 60 to 3.1536e+07."),
    ("bake_s", -1, "Give a number from 0 to 86400."),
    ("interval_s", 0.05, "Give a number from 0.1 to 3600."),
]
NUMBERS = [name for name in policy_values(SequentialPolicy()) if name not in ("name", "error_role", "p95_role")]


def test_a_deployment_is_judged_by_the_sequential_policy_unless_it_chooses_another() -> None:
    assert Settings().policy == SequentialPolicy()
    assert next(iter(POLICIES)) == "sequential"


def test_a_tolerance_that_is_not_chosen_is_a_tenth_of_its_margin() -> None:
    policy = SequentialPolicy(error_margin=0.2, p95_margin_ms=50.0)
    chosen = replace(policy, error_tolerance=0.0, p95_tolerance_ms=25.0)

    assert (policy.tolerated_errors, policy.tolerated_p95_ms) == (0.02, 5.0)
    assert (chosen.tolerated_errors, chosen.tolerated_p95_ms) == (0.0, 25.0)


@pytest.mark.parametrize(("name", "value", "remedy"), SEQUENTIAL_OUT_OF_RANGE)
def test_a_value_of_the_sequential_policy_out_of_range_is_refused_by_name(name: str, value: float, remedy: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(SequentialPolicy(), {name: value})
    assert (refused.value.field, refused.value.remedy) == (f"settings.policy.{name}", remedy)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 10**400, "5", True, [1]], ids=["nan", "inf", "huge", "text", "truth", "list"]
)
def test_what_is_no_number_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(SequentialPolicy(), {name: value})
    assert refused.value.field == f"settings.policy.{name}"


@pytest.mark.parametrize("name", ["error_role", "p95_role"])
@pytest.mark.parametrize("value", ["guard", "", None, ["signal"], 1])
def test_a_role_that_is_none_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(SequentialPolicy(), {name: value})
    assert (refused.value.field, refused.value.remedy) == (
        f"settings.policy.{name}",
        "Choose one of guardrail, signal, dry-run.",
    )


def test_a_smaller_margin_does_not_fit_a_tolerance_that_was_chosen_for_a_greater_one() -> None:
    with pytest.raises(InvalidInput, match="error_tolerance"):
        policy_over(SequentialPolicy(error_tolerance=0.02), {"error_margin": 0.03})


# ------------------------------------------------------------------------------ one policy over another


def test_values_that_are_given_go_over_those_that_are() -> None:
    present = SequentialPolicy(alpha=0.05, bake_s=600.0)

    assert policy_over(present, {"bake_s": 30}) == replace(present, bake_s=30)
    assert policy_over(present, {"name": "sequential", "bake_s": 30}) == replace(present, bake_s=30)
    assert policy_over(present, {}) == present


@pytest.mark.parametrize(
    ("present", "name", "other"),
    [
        (SequentialPolicy(interval_s=9.0), "threshold", ThresholdPolicy()),
        (ThresholdPolicy(interval_s=9.0), "sequential", SequentialPolicy()),
    ],
)
def test_another_policy_begins_at_its_own_values(present: Policy, name: str, other: Policy) -> None:
    assert policy_over(present, {"name": name}) == other


@pytest.mark.parametrize("name", ["bayes", "", None, 7, ["sequential"], {}])
def test_a_policy_that_there_is_not_is_refused_by_name(name: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(SequentialPolicy(), {"name": name})
    assert (refused.value.field, refused.value.remedy) == (
        "settings.policy.name",
        "Use 'sequential' or 'threshold'.",
    )


@pytest.mark.parametrize(
    ("present", "key", "remedy"),
    [
        (SequentialPolicy(), "window_s", "Choose the policy 'threshold' as well (name), or leave it out."),
        (ThresholdPolicy(), "alpha", "Choose the policy 'sequential' as well (name), or leave it out."),
    ],
)
def test_a_value_of_the_other_policy_is_refused_and_the_other_named(present: Policy, key: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(present, {key: 1.0})
    assert (refused.value.field, refused.value.remedy) == (f"settings.policy.{key}", remedy)


def test_a_value_that_no_policy_has_is_refused_and_those_there_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_over(SequentialPolicy(), {"gamma": 1.0})
    assert refused.value.field == "settings.policy.gamma"
    assert "error_margin" in refused.value.remedy


CHOSEN: st.SearchStrategy[Policy] = st.one_of(
    st.builds(ThresholdPolicy, error_delta=st.floats(0, 1), window_s=st.floats(1, 86_400)),
    st.builds(
        SequentialPolicy,
        error_margin=st.floats(0.001, 0.9),
        alpha=st.floats(1e-6, 0.2),
        p95_tolerance_ms=st.one_of(st.none(), st.floats(0, 50)),
        error_role=st.sampled_from(ROLES),
    ),
)


@given(CHOSEN, CHOSEN)
def test_a_policy_over_any_other_is_itself(policy: Policy, other: Policy) -> None:
    assert policy_over(other, policy_values(policy)) == policy
    assert json.loads(json.dumps(policy_values(policy))) == policy_values(policy)


def test_a_change_to_another_policy_is_told_by_the_members_of_both() -> None:
    changes = Settings().changes_from(Settings(policy=ThresholdPolicy()))

    assert changes["policy.name"] == {"from": "threshold", "to": "sequential"}
    assert changes["policy.window_s"] == {"from": 300.0, "to": None}
    assert changes["policy.alpha"] == {"from": None, "to": 0.01}
