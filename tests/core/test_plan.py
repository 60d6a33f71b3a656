"""What a plan may be."""

import math
from typing import Any

import msgspec
import pytest

from serinus.core.errors import InvalidInput
from serinus.core.freeze import DAYS, Freeze
from serinus.core.plan import MOST_STEPS, Plan, Step, StepKind, own_policy, span
from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.core.presets import PRESETS

APPROVAL, PROMOTE = Step(StepKind.APPROVAL), Step(StepKind.PROMOTE)


def weight(percent: float) -> Step:
    return Step(StepKind.SET_WEIGHT, weight=percent)


def pause(duration_s: float | None = None, min_samples: int | None = None) -> Step:
    return Step(StepKind.PAUSE, duration_s=duration_s, min_samples=min_samples)


def plan(*steps: Step, **more: Any) -> Plan:
    return Plan("mine", steps or (weight(5.0), PROMOTE), **more)


@pytest.mark.parametrize(
    ("steps", "field", "told"),
    [
        ((pause(5.0), weight(5.0)), "spec.steps", "begin with a weight"),
        ((PROMOTE,), "spec.steps", "begin with a weight"),
        ((weight(0.0),), "spec.steps[0].setWeight", "is 0."),
        ((weight(0.005),), "spec.steps[0].setWeight", "is 0.005."),
        ((weight(100.01),), "spec.steps[0].setWeight", "is 100.01."),
        ((weight(0.015),), "spec.steps[0].setWeight", "is 0.015."),
        ((weight(math.nan),), "spec.steps[0].setWeight", "is nan."),
        ((Step(StepKind.SET_WEIGHT),), "spec.steps[0].setWeight", "is None."),
        ((weight(5.0), APPROVAL, weight(5.0)), "spec.steps[2].setWeight", "is 5."),
        ((weight(20.0), weight(5.0)), "spec.steps[1].setWeight", "is 5."),
        ((weight(5.0), pause()), "spec.steps[1].pause", "has no end"),
        ((weight(5.0), pause(0.0)), "spec.steps[1].pause.duration", "is 0."),
        ((weight(5.0), pause(math.inf)), "spec.steps[1].pause.duration", "is inf."),
        ((weight(5.0), pause(None, 0)), "spec.steps[1].pause.minSamples", "is 0."),
        ((weight(5.0), PROMOTE, PROMOTE), "spec.steps[1].promote", "not the last step"),
        ((weight(5.0), PROMOTE, weight(20.0)), "spec.steps[1].promote", "not the last step"),
    ],
)
def test_steps_that_cannot_be_followed_are_refused_by_place_and_value(
    steps: tuple[Step, ...], field: str, told: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan(*steps)
    assert refused.value.field == field
    assert told in refused.value.message
    assert refused.value.message.startswith(field)
    assert refused.value.remedy


def test_a_plan_without_steps_is_none() -> None:
    with pytest.raises(InvalidInput) as refused:
        Plan("mine", ())
    assert refused.value.field == "spec.steps"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"progress_deadline_s": 0.0}, "spec.progressDeadline"),
        ({"hold_alert_s": math.nan}, "spec.holdAlert"),
        ({"hold_alert_s": 1e9}, "spec.holdAlert"),
        ({"holdback_s": -1.0}, "spec.holdback.duration"),
        ({"holdback_weight": -1.0}, "spec.holdback.weight"),
        ({"holdback_weight": 50.01}, "spec.holdback.weight"),
        ({"holdback_weight": math.nan}, "spec.holdback.weight"),
        ({"freeze": (Freeze("UTC", days=DAYS),)}, "spec.freeze"),
        ({"freeze": (Freeze("UTC", days=("Sun",)),) * 21}, "spec.freeze"),
        ({"policy": {"name": "bayes"}}, "spec.policy.name"),
        ({"policy": {"error_margin": 2.0}}, "spec.policy.errorMargin"),
        ({"policy": {"error_margin": "much"}}, "spec.policy.errorMargin"),
        ({"policy": {"name": "threshold", "error_margin": 0.1}}, "spec.policy.errorMargin"),
        ({"policy": {"p95_delta_ms": 10.0}}, "spec.policy.p95DeltaMs"),
    ],
)
def test_other_values_that_cannot_be_are_refused_by_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan(**values)
    assert refused.value.field == field
    assert refused.value.remedy


def test_a_name_is_one_that_can_stand_in_an_url() -> None:
    with pytest.raises(InvalidInput) as refused:
        Plan("My plan", (weight(5.0),))
    assert refused.value.field == "metadata.name"


def test_no_plan_has_more_steps_than_a_person_reads() -> None:
    rising = tuple(weight(0.01 * (number + 1)) for number in range(MOST_STEPS + 1))
    assert len(plan(*rising[:-1]).steps) == MOST_STEPS
    with pytest.raises(InvalidInput) as refused:
        plan(*rising)
    assert refused.value.field == "spec.steps"


def test_a_pause_that_would_always_miss_the_deadline_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        plan(weight(5.0), pause(600.0), progress_deadline_s=600.0)
    assert refused.value.field == "spec.steps[1].pause.duration"
    assert plan(weight(5.0), pause(599.0), progress_deadline_s=600.0).progress_deadline_s == 600.0


def test_a_plan_without_a_policy_leaves_that_of_the_deployment() -> None:
    assert own_policy(plan()) is None


def test_a_plans_policy_begins_at_the_defaults_of_its_kind() -> None:
    assert own_policy(plan(policy={"error_margin": 0.1})) == SequentialPolicy(error_margin=0.1)
    assert own_policy(plan(policy={"name": "threshold", "min_requests": 10})) == ThresholdPolicy(min_requests=10)


def test_a_plan_knows_its_first_share_and_whether_it_promotes() -> None:
    mine = plan(weight(0.5), pause(1.0), weight(20.0))
    assert (mine.first_weight, mine.promotes) == (0.5, False)
    assert plan(weight(0.5), PROMOTE).promotes


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (weight(0.5), "0.5 % of the traffic"),
        (pause(300.0), "pause for 5 min"),
        (pause(None, 200), "pause for 200 canary requests"),
        (pause(90.0, 200), "pause for 90 s and 200 canary requests"),
        (APPROVAL, "wait for a person's approval"),
        (PROMOTE, "promote"),
    ],
)
def test_a_step_is_said_in_words(step: Step, said: str) -> None:
    assert str(step) == said


def test_spans_of_time_are_said_in_the_largest_whole_unit() -> None:
    assert [span(seconds) for seconds in (0.5, 90, 120, 5400, 7200, 86_400)] == [
        "0.5 s", "90 s", "2 min", "90 min", "2 h", "1 d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        *PRESETS.values(),
        plan(
            policy={"name": "sequential", "error_tolerance": None, "bake_s": 30, "p95_role": "signal"},
            progress_deadline_s=1800.0,
            freeze=(Freeze("Europe/Berlin", "Fri 16:00", "Mon 08:00"), Freeze("UTC", days=("Sun",))),
        ),
    ],
    ids=lambda each: each.name,
)
def test_a_plan_that_was_stored_is_read_again_as_it_was(written: Plan) -> None:
    assert msgspec.json.decode(msgspec.json.encode(written), type=Plan) == written


def test_a_stored_plan_in_a_zone_that_is_not_known_here_can_still_be_read() -> None:
    written = plan(freeze=(Freeze("Europe/Atlantis", days=("Sun",)),))
    assert msgspec.json.decode(msgspec.json.encode(written), type=Plan) == written
