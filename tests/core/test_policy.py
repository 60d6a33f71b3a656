"""What a deployment's settings may be, and how a change of them is told."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.policy import Settings, ThresholdPolicy

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
    assert new.changes_from(Settings()) == {
        "auto_promote": {"from": True, "to": False},
        "policy.window_s": {"from": 300.0, "to": 600},
    }
