"""The page about plans is true."""

import re
from pathlib import Path

import pytest

from serinus.core.plan import HOLD_ALERT_S, HOLDBACK, MOST_STEPS
from serinus.plans import lint, read_plan
from serinus.plans.durations import write_duration
from serinus.plans.shape import Spec

TEXT = (Path(__file__).parents[2] / "docs" / "plans.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=["weekday-ramp", "calm"])
def test_each_example_can_be_followed_and_needs_no_advice(example: str) -> None:
    assert lint(read_plan(example)) == ()


def test_every_field_is_explained() -> None:
    for field in Spec.model_fields.values():
        assert f"`{field.alias}" in TEXT or f"{field.alias}:" in TEXT


def test_the_defaults_are_those_of_a_plan() -> None:
    assert f"| `holdAlert` | `{write_duration(HOLD_ALERT_S)}` |" in TEXT
    assert f"| `holdback.weight` | `{HOLDBACK:g}` |" in TEXT
    assert f"There are {MOST_STEPS} steps at most." in TEXT
