"""Documents become plans, and what is wrong with one is said with its field, value and line."""

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from tests.plans.documents import plans, problems

from serinus.core.errors import InvalidInput
from serinus.core.freeze import Freeze
from serinus.core.plan import Plan, Step, StepKind
from serinus.core.presets import PRESETS
from serinus.plans import line_of, plan_of, read_plan, to_document

WHOLE = """\
apiVersion: serinus/v1
kind: RolloutPlan
metadata: {name: mine}
spec:
  policy: {errorMargin: 0.02, bakeS: 600}
  progressDeadline: 2h
  holdAlert: 30m
  holdback: {weight: 10, duration: 1h}
  steps:
    - setWeight: 1
    - pause: {duration: 5m, minSamples: 200}
    - setWeight: 20
    - approval: {}
    - setWeight: 100
    - promote: {}
  freeze:
    - {from: Fri 16:00, to: Mon 08:00, timeZone: Europe/Berlin}
    - {days: [Mon, Tue], from: "22:00", to: "06:00", timeZone: UTC}
    - {days: [Sun], timeZone: UTC}
    - {from: 2026-12-20T00:00, to: 2027-01-02T00:00, timeZone: Europe/Berlin}
"""

HEAD = "apiVersion: serinus/v1\nkind: RolloutPlan\nmetadata: {name: mine}\nspec:\n"


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as wrong:
        read_plan(text)
    return wrong.value


def test_a_plan_is_read_whole() -> None:
    weights = {weight: Step(StepKind.SET_WEIGHT, weight=weight) for weight in (1.0, 20.0, 100.0)}
    assert read_plan(WHOLE) == Plan(
        "mine",
        (
            weights[1.0],
            Step(StepKind.PAUSE, duration_s=300.0, min_samples=200),
            weights[20.0],
            Step(StepKind.APPROVAL),
            weights[100.0],
            Step(StepKind.PROMOTE),
        ),
        policy={"error_margin": 0.02, "bake_s": 600},
        progress_deadline_s=7200.0,
        hold_alert_s=1800.0,
        holdback_weight=10.0,
        holdback_s=3600.0,
        freeze=(
            Freeze("Europe/Berlin", "Fri 16:00", "Mon 08:00"),
            Freeze("UTC", "22:00", "06:00", ("Mon", "Tue")),
            Freeze("UTC", days=("Sun",)),
            Freeze("Europe/Berlin", "2026-12-20T00:00", "2027-01-02T00:00"),
        ),
    )


def test_what_is_left_out_has_its_default() -> None:
    plan = read_plan(HEAD + "  steps: [{setWeight: 5}]\n")
    assert plan == Plan("mine", (Step(StepKind.SET_WEIGHT, weight=5.0),))
    assert (plan.hold_alert_s, plan.holdback_weight, plan.holdback_s, plan.policy) == (3600.0, 5.0, None, {})


@given(plans())
def test_a_plan_that_was_written_is_read_as_the_same(plan: Plan) -> None:
    document = to_document(plan)
    assert read_plan(yaml.safe_dump(document, sort_keys=False)) == plan
    assert read_plan(json.dumps(document)) == plan
    assert plan_of(document) == plan


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_can_be_written_down(name: str) -> None:
    assert read_plan(yaml.safe_dump(to_document(PRESETS[name]))) == PRESETS[name]


@pytest.mark.parametrize(
    ("steps", "field", "line", "told"),
    [
        ("    - setWieght: 5\n", "spec.steps[0].setWieght", 6, "Did you mean setWeight?"),
        ('    - setWeight: "5"\n', "spec.steps[0].setWeight", 6, "is '5'. Give a number, without quotes."),
        ("    - setWeight: 500\n", "spec.steps[0].setWeight", 6, "is 500. Give 100 at most."),
        ("    - setWeight: true\n", "spec.steps[0].setWeight", 6, "is True. Give a number"),
        ("    - setWeight: 5\n    - pause: {}\n", "spec.steps[1].pause", 7, "duration, minSamples or both"),
        ("    - setWeight: 5\n    - pause:\n        duration: 5\n", "spec.steps[1].pause.duration", 8, "its unit"),
        ("    - setWeight: 5\n    - approval:\n", "spec.steps[1].approval", 7, "is empty. Give it a value, {} for"),
        ("    - setWeight: 5\n      promote: {}\n", "spec.steps[0]", 6, "each step is an entry of its own"),
        ("    - 5\n", "spec.steps[0]", 6, "is 5. Give a mapping"),
        ("    - pause: {duration: 5m}\n", "spec.steps", 5, "Begin with a step like setWeight: 5."),
        ("    - setWeight: 5\n    - setWeight: 1\n", "spec.steps[1].setWeight", 7, "is 1. Weights rise"),
        (
            "    - setWeight: 5\n    - promote: {}\n    - approval: {}\n",
            "spec.steps[1].promote",
            7,
            "not the last step",
        ),
        ("    - setWeight: 5\n" * 51, "spec.steps", 5, "has 51 entries. Give 50 entries at most."),
    ],
)
def test_a_step_that_is_wrong_is_named_with_its_value_line_and_remedy(
    steps: str, field: str, line: int, told: str
) -> None:
    wrong = refused(f"{HEAD}  steps:\n{steps}")
    assert (wrong.field, problems(wrong)) == (field, [(field, line)])
    assert f"Line {line}: " in str(wrong)
    assert field in str(wrong)
    assert told in str(wrong)


@pytest.mark.parametrize(
    ("more", "field", "told"),
    [
        ("policy: {name: bayes}", "spec.policy.name", "Give sequential or threshold."),
        ("policy: {errorMargn: 1}", "spec.policy.errorMargn", "Did you mean errorMargin?"),
        ("policy: {error_margin: 1}", "spec.policy.error_margin", "Did you mean errorMargin?"),
        ("policy: {errorMargin: 5}", "spec.policy.errorMargin", "Give a number from 0.001 to 0.9."),
        ("policy: {name: threshold, errorMargin: 0.1}", "spec.policy.errorMargin", "another policy"),
        ("policy: {name: threshold, minRequests: 1.5}", "spec.policy.minRequests", "1.5"),
        ("holdback: {weight: 60}", "spec.holdback.weight", "Give 50 at most."),
        ("progressDeadline: 30", "spec.progressDeadline", "30s, 5m"),
        ("progressDeadline: 0s", "spec.progressDeadline", "0.1 s to 30 d"),
        ("freeze: [{days: [Fr], timeZone: UTC}]", "spec.freeze[0].days[0]", "'Fri'"),
        ("freeze: [{days: [Fri, Fri], timeZone: UTC}]", "spec.freeze[0].days", "Name each day once."),
        ("freeze: [{days: [Fri]}]", "spec.freeze[0].timeZone", "is missing"),
        ("freeze: [{days: [Fri], from: Fri 16:00, timeZone: UTC}]", "spec.freeze[0].from", '"16:00"'),
        ("freeze: [{from: Fri 16:00, timeZone: UTC}]", "spec.freeze[0].to", "is missing"),
        ("freeze: [{days: [Fri], timeZone: Berlin}]", "spec.freeze[0].timeZone", "Europe/Berlin"),
        ("freeze: [{days: [Fri], timeZone: Europe/Berln}]", "spec.freeze[0].timeZone", "not known here"),
        ("freeze: [{from: 2026-02-30T00:00, to: 2026-03-01T00:00, timeZone: UTC}]", "spec.freeze[0].from", "such day"),
        ("freeze: [{from: 2026-03-01T00:00, to: 2026-02-01T00:00, timeZone: UTC}]", "spec.freeze[0].to", "after"),
        ("freez: []", "spec.freez", "Did you mean freeze?"),
    ],
)
def test_another_field_that_is_wrong_is_named_with_its_remedy(more: str, field: str, told: str) -> None:
    wrong = refused(f"{HEAD}  steps: [{{setWeight: 5}}]\n  {more}\n")
    assert (wrong.field, problems(wrong)) == (field, [(field, 6)])
    assert told in str(wrong)


def test_all_that_is_wrong_with_the_shape_is_said_at_once() -> None:
    wrong = refused(WHOLE.replace("setWeight: 1\n", "setWeight: a\n").replace("30m", "soon").replace("[Sun]", "[]"))
    assert problems(wrong) == [("spec.steps[0].setWeight", 10), ("spec.holdAlert", 7), ("spec.freeze[2].days", 19)]
    assert "3 mistakes" in wrong.message


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("serinus/v1", "serinus/v2", "apiVersion"),
        ("RolloutPlan", "Deployment", "kind"),
        ("name: mine", "name: My plan", "metadata.name"),
        ("metadata: {name: mine}\n", "", "metadata"),
        ("spec:\n", "spec:\n  mode: quick\n", "spec.mode"),
    ],
)
def test_a_document_of_another_kind_is_no_plan(old: str, new: str, field: str) -> None:
    assert refused(WHOLE.replace(old, new)).field == field


@pytest.mark.parametrize("text", ["", "5", "[]", "a: [", "on: 5"])
def test_text_that_is_no_plan_has_a_problem_too(text: str) -> None:
    assert len(problems(refused(text))) == 1


@pytest.mark.parametrize("document", [None, 5, [], {}, {"spec": {"steps": []}}])
def test_a_document_without_text_has_no_lines(document: Any) -> None:
    with pytest.raises(InvalidInput) as wrong:
        plan_of(document)
    assert {line for _, line in problems(wrong.value)} == {None}


@pytest.mark.parametrize(
    "number",
    [10**400, -(10**400), math.inf, math.nan, 1e308, 2**64],
    ids=["huge", "-huge", "inf", "nan", "1e308", "2^64"],
)
@pytest.mark.parametrize(
    "spec",
    [
        '{"steps": [{"setWeight": NUMBER}]}',
        '{"steps": [{"setWeight": 5}, {"pause": {"minSamples": NUMBER}}]}',
        '{"steps": [{"setWeight": 5}], "policy": {"errorMargin": NUMBER}}',
        '{"steps": [{"setWeight": 5}], "policy": {"name": "threshold", "minRequests": NUMBER}}',
        '{"steps": [{"setWeight": 5}], "holdback": {"weight": NUMBER}}',
    ],
)
def test_a_number_of_another_world_is_refused(spec: str, number: float) -> None:
    document = json.loads(spec.replace("NUMBER", json.dumps(number)))
    document = {"apiVersion": "serinus/v1", "kind": "RolloutPlan", "metadata": {"name": "mine"}, "spec": document}
    with pytest.raises(InvalidInput) as wrong:
        plan_of(document)
    assert wrong.value.field.startswith("spec.")


def test_a_field_has_its_line() -> None:
    assert line_of(WHOLE, "spec.steps[1].pause.minSamples") == 11
    assert line_of(WHOLE, "spec.freeze[3]") == 20
