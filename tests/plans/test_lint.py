"""What is advised about a plan."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from serinus.core.freeze import Freeze
from serinus.core.plan import Plan, Step, StepKind
from serinus.core.presets import PRESETS
from serinus.plans import Finding, lint

APPROVAL, PROMOTE = Step(StepKind.APPROVAL), Step(StepKind.PROMOTE)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def weight(percent: float) -> Step:
    return Step(StepKind.SET_WEIGHT, weight=percent)


def pause(duration_s: float | None = None, min_samples: int | None = None) -> Step:
    return Step(StepKind.PAUSE, duration_s=duration_s, min_samples=min_samples)


GOOD = Plan("good", (weight(5.0), pause(60.0), weight(50.0), PROMOTE))


def fields(plan: Plan, now: datetime | None = None) -> list[str]:
    return [finding.field for finding in lint(plan, now)]


@pytest.mark.parametrize("plan", [*PRESETS.values(), GOOD], ids=lambda plan: plan.name)
def test_nothing_is_advised_about_a_good_plan(plan: Plan) -> None:
    assert lint(plan, NOW) == ()


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ((weight(60.0), PROMOTE), ["spec.steps[0].setWeight"]),
        ((weight(5.0), pause(0.5), weight(50.0), PROMOTE), ["spec.steps[1].pause.duration"]),
        ((weight(5.0), APPROVAL, APPROVAL, weight(50.0), PROMOTE), ["spec.steps[2].approval"]),
        ((weight(5.0), weight(50.0)), ["spec.steps"]),
        ((weight(5.0), weight(50.0), APPROVAL), ["spec.steps[2].approval", "spec.steps"]),
        ((weight(5.0), pause(60.0), PROMOTE), ["spec.steps"]),
        ((weight(5.0), pause(0.5, 100), weight(50.0), PROMOTE), []),
    ],
)
def test_steps_that_are_hardly_meant_are_found(steps: tuple[Step, ...], found: list[str]) -> None:
    assert fields(replace(GOOD, steps=steps)) == found


def test_a_rule_without_odds_needs_something_between_two_shares() -> None:
    plan = replace(GOOD, steps=(weight(5.0), weight(50.0), PROMOTE))
    assert fields(plan) == []
    assert fields(replace(plan, policy={"name": "threshold"})) == ["spec.steps[1].setWeight"]


def test_how_long_a_look_takes_is_the_policys_to_say() -> None:
    assert fields(replace(GOOD, policy={"interval_s": 120.0})) == ["spec.steps[1].pause.duration"]


def test_a_plan_in_which_nothing_bakes_is_found() -> None:
    hasty = replace(GOOD, steps=(weight(20.0), PROMOTE), holdback_weight=0.0)
    assert fields(hasty) == []  # the policy's own bake time
    assert fields(replace(hasty, policy={"bake_s": 0.0})) == ["spec"]
    assert fields(replace(hasty, policy={"name": "threshold"})) == ["spec"]
    assert fields(replace(hasty, policy={"name": "threshold"}, holdback_weight=5.0)) == []


def test_a_duration_of_no_holdback_is_found() -> None:
    assert fields(replace(GOOD, holdback_weight=0.0, holdback_s=60.0)) == ["spec.holdback.duration"]


@pytest.mark.parametrize(
    ("days", "instead"),
    [
        (("Fri", "Sat", "Sun"), "from: Fri 16:00 and to: Mon 08:00"),
        (("Sun", "Fri", "Mon", "Sat"), "from: Fri 16:00 and to: Tue 08:00"),
    ],
)
def test_nights_in_a_row_may_be_meant_as_one_window(days: tuple[str, ...], instead: str) -> None:
    (finding,) = lint(replace(GOOD, freeze=(Freeze("UTC", "16:00", "08:00", days),)))
    assert finding.field == "spec.freeze[0]"
    assert instead in finding.message


@pytest.mark.parametrize(
    "freeze",
    [
        Freeze("UTC", "16:00", "08:00", ("Fri", "Sun")),
        Freeze("UTC", "16:00", "24:00", ("Fri", "Sat")),
        Freeze("UTC", "08:00", "16:00", ("Fri", "Sat")),
        Freeze("UTC", "22:00", "06:00", ("Mon", "Tue", "Wed", "Thu")),
        Freeze("UTC", "22:00", "06:00", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
        Freeze("UTC", "Fri 16:00", "Mon 08:00"),
    ],
    ids=str,
)
def test_other_windows_are_as_they_are(freeze: Freeze) -> None:
    assert fields(replace(GOOD, freeze=(freeze,)), NOW) == []


def test_a_window_that_is_over_is_found_by_those_who_know_the_time() -> None:
    plan = replace(GOOD, freeze=(Freeze("UTC", "2026-10-20T00:00", "2026-11-01T00:00"),))
    assert lint(plan, NOW) == (Finding("spec.freeze[0]", "It is over since 2026-11-01T00:00; it can be removed."),)
    assert lint(plan, datetime(2026, 10, 31, tzinfo=UTC)) == ()
    assert lint(plan) == ()
