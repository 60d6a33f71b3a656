"""The plans that are there from the start."""

import pytest

from serinus.core.plan import Plan, StepKind, own_policy
from serinus.core.policy import ThresholdPolicy
from serinus.core.presets import ABOUT, PRESETS


def weights(plan: Plan) -> list[float | None]:
    return [step.weight for step in plan.steps if step.kind is StepKind.SET_WEIGHT]


@pytest.mark.parametrize("name", PRESETS)
def test_each_has_its_name_ends_with_all_the_traffic_and_promotes(name: str) -> None:
    plan = PRESETS[name]
    assert plan.name == name
    assert weights(plan)[-1] == 100.0
    assert plan.promotes


def test_each_is_explained() -> None:
    assert list(ABOUT) == list(PRESETS)


def test_the_standard_one_ramps_in_five_steps_without_a_person() -> None:
    assert weights(PRESETS["standard"]) == [1.0, 5.0, 20.0, 50.0, 100.0]
    assert StepKind.APPROVAL not in {step.kind for step in PRESETS["standard"].steps}


def test_the_fast_one_waits_for_evidence_alone() -> None:
    assert {step.kind for step in PRESETS["fast"].steps} == {StepKind.SET_WEIGHT, StepKind.PROMOTE}


def test_the_careful_one_asks_a_person_before_it_gives_all_the_traffic() -> None:
    kinds = [step.kind for step in PRESETS["careful"].steps]
    assert kinds[-3:] == [StepKind.APPROVAL, StepKind.SET_WEIGHT, StepKind.PROMOTE]


def test_the_articles_goes_on_by_hand_and_is_judged_by_its_rule_alone() -> None:
    plan = PRESETS["article"]
    kinds = [step.kind for step in plan.steps]
    assert weights(plan) == [20.0, 50.0, 100.0]
    assert kinds[1::2][:2] == [StepKind.APPROVAL, StepKind.APPROVAL]
    assert own_policy(plan) == ThresholdPolicy()
    assert plan.holdback_weight == 0.0
