"""One value against one feature."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import JSON, attempted

from serinus.core.errors import InvalidFeatures, InvalidInput
from serinus.core.features import Dtype, Feature, checked_value, is_text, shown

TYPES = {Dtype.INT: int, Dtype.FLOAT: float, Dtype.STR: str, Dtype.BOOL: bool}


def feature(dtype: Dtype, *, nullable: bool = False) -> Feature:
    return Feature("age", dtype, nullable)


@pytest.mark.parametrize(
    ("dtype", "value", "checked"),
    [
        (Dtype.FLOAT, 1, "1.0"),
        (Dtype.FLOAT, -0.5, "-0.5"),
        (Dtype.FLOAT, 2**64, "1.8446744073709552e+19"),
        (Dtype.INT, 3, "3"),
        (Dtype.INT, 3.0, "3"),
        (Dtype.INT, 2**63 - 1, "9223372036854775807"),
        (Dtype.INT, -(2**63), "-9223372036854775808"),
        (Dtype.STR, "Żółć 🐤", "'Żółć 🐤'"),
        (Dtype.STR, "", "''"),
        (Dtype.BOOL, True, "True"),
    ],
)
def test_a_fitting_value_gets_the_type_of_its_feature(dtype: Dtype, value: object, checked: str) -> None:
    assert repr(checked_value(feature(dtype), value)) == checked


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (Dtype.FLOAT, True, "age should be a number; it is True."),
        (Dtype.FLOAT, "1.5", "age should be a number; it is '1.5'."),
        (Dtype.FLOAT, math.nan, "age is not finite; it is nan."),
        (Dtype.FLOAT, -math.inf, "age is not finite; it is -inf."),
        (Dtype.FLOAT, [1.0], "age should be a number; it is [1.0]."),
        (Dtype.INT, False, "age should be a whole number; it is False."),
        (Dtype.INT, 1.5, "age is not a whole number; it is 1.5."),
        (Dtype.INT, math.nan, "age is not a whole number of 64 bits; it is nan."),
        (Dtype.INT, math.inf, "age is not a whole number of 64 bits; it is inf."),
        (Dtype.INT, 2**63, "age is not a whole number of 64 bits; it is 9223372036854775808."),
        (Dtype.INT, 1e300, "age is not a whole number of 64 bits; it is 1e+300."),
        (Dtype.INT, "7", "age should be a whole number; it is '7'."),
        (Dtype.STR, 7, "age should be a string; it is 7."),
        (Dtype.STR, "\ud800", "age is not Unicode text; it is '\\ud800'."),
        (Dtype.STR, {"a": 1}, "age should be a string; it is {'a': 1}."),
        (Dtype.BOOL, 1, "age should be true or false; it is 1."),
        (Dtype.BOOL, "true", "age should be true or false; it is 'true'."),
        (Dtype.BOOL, None, "age may not be null: it was never missing in training; it is null."),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(dtype: Dtype, value: object, message: str) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        checked_value(feature(dtype), value)
    assert refused.value.message == message


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000], ids=["10^400", "-10^400", "10^5000"])
@pytest.mark.parametrize("dtype", Dtype)
def test_an_enormous_integer_is_refused_and_never_raises_anything_else(dtype: Dtype, value: int) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        checked_value(feature(dtype), value)
    assert len(refused.value.message) < 200


def test_a_refusal_names_the_field_and_what_to_send() -> None:
    with pytest.raises(InvalidFeatures) as refused:
        checked_value(feature(Dtype.FLOAT, nullable=True), "old")
    assert (refused.value.field, refused.value.remedy) == ("features.age", "Send a number or null.")


@pytest.mark.parametrize("dtype", Dtype)
def test_null_stands_for_a_missing_value_where_one_may_be_missing(dtype: Dtype) -> None:
    assert checked_value(feature(dtype, nullable=True), None) is None


@given(st.sampled_from(Dtype), st.booleans(), JSON)
def test_any_value_either_fits_or_is_refused(dtype: Dtype, nullable: bool, value: object) -> None:  # noqa: FBT001
    checked = attempted(lambda: checked_value(feature(dtype, nullable=nullable), value))
    if isinstance(checked, InvalidInput):
        assert (type(checked), checked.field) == (InvalidFeatures, "features.age")
        return
    expected = float(value) if dtype is Dtype.FLOAT and isinstance(value, int) else value  # a large int is rounded
    assert (nullable and checked is None) or (type(checked) is TYPES[dtype] and checked == expected)


@given(st.sampled_from(Dtype), JSON)
def test_what_fits_can_be_written_down(dtype: Dtype, value: object) -> None:
    checked = attempted(lambda: checked_value(feature(dtype), value))
    if isinstance(checked, InvalidInput):
        return
    assert json.loads(json.dumps(checked, allow_nan=False, ensure_ascii=False).encode()) == checked


@given(JSON)
def test_anything_can_be_shown_in_eighty_characters(value: object) -> None:
    assert len(shown(value)) <= 80


def test_what_is_too_deep_to_show_is_said_to_be() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "nested too deeply"


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", 1, None, b"a"])
def test_what_cannot_be_written_down_is_no_text(value: object) -> None:
    assert not is_text(value)
