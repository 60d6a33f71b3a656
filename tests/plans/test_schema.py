"""The JSON Schema is true: what it lets through is what is read."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.plans.documents import changed, plans
from tests.plans.schema_file import PLACE, text

from serinus.core.errors import InvalidInput
from serinus.core.presets import PRESETS
from serinus.plans import plan_of, shipped_schema, to_document
from serinus.plans.shape import PlanShape

VALIDATOR = jsonschema_rs.Draft202012Validator(shipped_schema())


def has_the_shape(document: Any) -> bool:
    try:
        PlanShape.model_validate(document)
    except ValidationError:
        return False
    return True


def test_the_file_is_what_is_made_of_the_shape() -> None:
    assert PLACE.read_text(encoding="utf-8") == text(), "write it anew: python -m tests.plans.schema_file"


def test_it_is_a_schema_of_its_draft(tmp_path: Path) -> None:
    instance = tmp_path / "plan.json"
    instance.write_text("{}")
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--check-metaschema", str(PLACE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_valid(name: str) -> None:
    assert VALIDATOR.is_valid(to_document(PRESETS[name]))


@given(plans())
def test_what_is_written_is_valid(plan: Any) -> None:
    assert VALIDATOR.is_valid(to_document(plan))


@given(st.data())
def test_what_is_valid_has_the_shape_that_is_read_and_nothing_else_is_read(data: st.DataObject) -> None:
    document = data.draw(changed(data.draw(changed(to_document(data.draw(plans()))))))
    valid = VALIDATOR.is_valid(document)
    assert valid == has_the_shape(document)
    try:
        plan_of(document)
    except InvalidInput:
        return
    assert valid
