"""Tensors mean what Triton's own client means by them, in JSON and in bytes; anything else is refused by name."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tritonclient.http import InferInput, InferResult
from tritonclient.utils import np_to_triton_dtype

from serinus.core.errors import InvalidFeatures
from serinus.core.features import Dtype, Feature
from serinus.core.signature import Output, OutputKind, Row, Signature
from serinus.http.oip_tensors import (
    DATATYPES,
    Tensor,
    as_rows,
    check_shapes,
    datatype_of,
    fitting,
    from_bytes,
    from_json,
    to_bytes,
    to_json,
)

Array = np.ndarray[Any, Any]

NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
SHAPES = array_shapes(max_dims=3, max_side=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)
NUMBER = Output(OutputKind.NUMBER)
SIGNATURE = Signature(
    (Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT, nullable=True), Feature("smokes", Dtype.BOOL)), NUMBER
)


def tensors() -> st.SearchStrategy[tuple[str, Array]]:
    """Draw a datatype and an array of it, NaN and infinity included."""
    numbers = [
        st.tuples(st.just(name), arrays(kind, SHAPES, elements={"allow_subnormal": False} if "FP" in name else None))
        for name, kind in NUMPY.items()
    ]
    texts = st.tuples(st.just("BYTES"), arrays(np.object_, SHAPES, elements=TEXT))
    return st.one_of(*numbers, texts)


def missing_for_nan(array: Array) -> list[Any]:
    return [None if isinstance(each, float) and math.isnan(each) else each for each in array.ravel().tolist()]


def sent(datatype: str, array: Array, *, binary: bool) -> InferInput:
    return InferInput("x", list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


@given(tensors())
def test_bytes_of_tritons_client_are_read_as_the_values_they_were(drawn: tuple[str, Array]) -> None:
    datatype, array = drawn

    read = from_bytes("x", datatype, array.shape, sent(datatype, array, binary=True)._get_binary_data())

    assert read == Tensor("x", datatype, array.shape, missing_for_nan(array))


@given(drawn=tensors(), nested=st.booleans())
def test_json_of_tritons_client_is_read_as_the_values_it_was_flat_or_nested(
    *, drawn: tuple[str, Array], nested: bool
) -> None:
    datatype, array = drawn
    data = array.tolist() if nested else sent(datatype, array, binary=False)._get_tensor()["data"]

    assert from_json("x", datatype, array.shape, data) == Tensor("x", datatype, array.shape, missing_for_nan(array))


@given(drawn=tensors(), binary=st.booleans())
def test_what_is_written_is_read_by_tritons_client_as_the_values_it_was(
    *, drawn: tuple[str, Array], binary: bool
) -> None:
    datatype, array = drawn
    values = array.ravel().tolist()
    raw = to_bytes(datatype, values) if binary else b""
    about = {"parameters": {"binary_data_size": len(raw)}} if binary else {"data": to_json(datatype, values)}
    text = json.dumps({"outputs": [{"name": "y", "datatype": datatype, "shape": list(array.shape)} | about]}).encode()

    found = InferResult.from_response_body(text + raw, header_length=len(text) if binary else None).as_numpy("y")

    if datatype == "BYTES":
        assert [each.decode() if binary else each for each in found.ravel()] == values
    else:
        np.testing.assert_array_equal(found, array)
        assert np_to_triton_dtype(found.dtype) == datatype


@given(st.lists(st.floats(width=16, allow_nan=False), min_size=1))
def test_half_precision_of_the_other_kind_keeps_the_upper_half_of_a_number(values: list[float]) -> None:
    read = from_bytes("x", "BF16", [len(values)], to_bytes("BF16", values))

    assert read.values == from_json("x", "BF16", [len(values)], values).values
    for was, is_ in zip(values, read.values, strict=True):
        assert was == pytest.approx(is_, rel=2**-7)


@pytest.mark.parametrize(("datatype", "expected"), [("FP64", 0.1), ("FP32", float(np.float32(0.1)))])
def test_a_number_in_json_is_rounded_as_its_datatype_would_have_it(datatype: str, expected: float) -> None:
    assert from_json("x", datatype, [1], [0.1]).values == [expected]


def test_null_and_nan_are_values_that_are_missing() -> None:
    assert from_json("x", "FP32", [3], [1, None, math.nan]).values == [1.0, None, None]
    assert from_json("x", "INT8", [1], [None]).values == [None]
    assert from_json("x", "BYTES", [1], [None]).values == [None]


def test_text_may_come_in_base64() -> None:
    assert from_json("x", "BYTES", [2], ["w6Q=", ""], base64_coded=True).values == ["ä", ""]


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT64", [2], [1]),
        ("INT64", [1], [1, 2]),
        ("INT64", [2, 2], [[1, 2], [3]]),
        ("INT64", [2, 3], [[1, 2], [3, 4], [5, 6]]),
        ("INT64", [2], [[1], [2]]),
        ("INT64", [-1], [1]),
        ("INT64", [-1, -2], [1, 2]),
        ("INT64", [], [1]),
        ("INT64", [1] * 9, [1]),
        ("INT64", [10**30, 10**30], [1]),
        ("INT64", [1], "1"),
        ("INT64", [1], None),
        ("INT64", [1], {"0": 1}),
        ("INT64", [1], [1.0]),
        ("INT64", [1], [True]),
        ("INT64", [1], ["1"]),
        ("INT8", [1], [128]),
        ("UINT8", [1], [-1]),
        ("UINT64", [1], [2**64]),
        ("BOOL", [1], [1]),
        ("FP32", [1], ["1.0"]),
        ("FP32", [1], [True]),
        ("FP64", [1], [10**400]),
        ("BYTES", [1], [1]),
        ("INT63", [1], [1]),
        ("int64", [1], [1]),
    ],
)
def test_data_that_is_no_such_tensor_is_refused_by_the_tensors_name(datatype: str, shape: list[int], data: Any) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        from_json("age", datatype, shape, data)

    assert refused.value.field == "inputs.age"
    assert "'age'" in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["w6", "=", "ä", "/w=="])
def test_what_is_no_text_in_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidFeatures, match="base64"):
        from_json("x", "BYTES", [1], [text], base64_coded=True)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("INT64", [1], b"1234567"),
        ("INT64", [1], b"123456789"),
        ("FP32", [10**18], b"1234"),
        ("BYTES", [1], b"\x01\x00\x00"),
        ("BYTES", [1], b"\x02\x00\x00\x00a"),
        ("BYTES", [1], b"\xff\xff\xff\xffa"),
        ("BYTES", [1], b"\x01\x00\x00\x00\xff"),
        ("BYTES", [2], b"\x01\x00\x00\x00a"),
        ("BYTES", [0], b"\x01\x00\x00\x00a"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused_by_its_name(datatype: str, shape: list[int], raw: bytes) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        from_bytes("x", datatype, shape, raw)

    assert refused.value.field == "inputs.x"


@given(
    datatype=st.sampled_from([*DATATYPES, "FP8"]),
    shape=st.lists(st.integers(-1, 5), max_size=3),
    data=ANYTHING,
    coded=st.booleans(),
)
def test_any_json_is_a_tensor_or_refused(*, datatype: str, shape: list[int], data: object, coded: bool) -> None:
    try:
        read = from_json("x", datatype, shape, data, base64_coded=coded)
    except InvalidFeatures:
        return
    assert len(read.values) == math.prod(shape)


@given(st.sampled_from(DATATYPES), st.lists(st.integers(-1, 5), max_size=3), st.binary(max_size=40))
def test_any_bytes_are_a_tensor_or_refused(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        read = from_bytes("x", datatype, shape, raw)
    except InvalidFeatures:
        return
    assert len(read.values) == math.prod(shape)


# --------------------------------------------------------------------------------------------- rows


def column(name: str, datatype: str, values: list[Any], shape: tuple[int, ...] | None = None) -> Tensor:
    return Tensor(name, datatype, shape or (len(values),), values)


AGE, CHOL, SMOKES = (
    column("age", "INT32", [63, 41]),
    column("chol", "FP32", [2.5, None], (2, 1)),
    column("smokes", "BOOL", [True, False]),
)


def rows_of(tensors: list[Tensor], *, only_columns: bool = False) -> list[Row]:
    check_shapes(tensors, SIGNATURE, only_columns=only_columns)
    return list(as_rows(tensors, SIGNATURE, only_columns=only_columns))


def test_columns_become_rows_whatever_their_order() -> None:
    assert rows_of([SMOKES, CHOL, AGE]) == [[63, 2.5, True], [41, None, False]]


def test_a_matrix_is_in_training_order_and_has_0_and_1_for_flags() -> None:
    matrix = Tensor("input-0", "FP64", (2, 3), [63.0, 2.5, 1.0, 41.0, None, 0.0])

    assert rows_of([matrix]) == [[63, 2.5, True], [41, None, False]]


def test_a_matrix_of_text_is_read_too() -> None:
    signature = Signature((Feature("city", Dtype.STR), Feature("job", Dtype.STR)), NUMBER)

    assert list(as_rows([Tensor("x", "BYTES", (1, 2), ["Bern", "cook"])], signature)) == [["Bern", "cook"]]


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ([], "features.age"),
        ([AGE, CHOL], "features.smokes"),
        ([AGE, CHOL, SMOKES, column("size", "INT8", [1, 2])], "features.size"),
        ([AGE, AGE, CHOL, SMOKES], "inputs.age"),
        ([AGE, CHOL, column("smokes", "BOOL", [True])], "features.smokes"),
        ([AGE, CHOL, column("smokes", "INT8", [1, 0])], "features.smokes"),
        ([AGE, CHOL, column("smokes", "BYTES", ["true", "false"])], "features.smokes"),
        ([column("age", "FP32", [63.5, 41.0]), CHOL, SMOKES], "features.age"),
        ([column("age", "INT8", [63, None]), CHOL, SMOKES], "features.age"),
        ([AGE, column("chol", "FP32", [math.inf, 1.0]), SMOKES], "features.chol"),
        ([column("age", "INT8", [1, 2, 3, 4], (2, 2)), CHOL, SMOKES], "inputs.age"),
        ([column("age", "INT8", [1, 2], (2, 1, 1)), CHOL, SMOKES], "inputs.age"),
        ([column("age", "INT8", [1, 2, 3], (1, 3))], "features.chol"),
        ([Tensor("x", "INT8", (), [])], "inputs.x"),
        ([AGE, CHOL, Tensor("smokes", "BOOL", (), [])], "inputs.smokes"),
        ([column("x", "INT8", [1, 2, 3])], "inputs.x"),
        ([column("x", "INT8", [1, 2], (1, 2))], "inputs.x"),
        ([column("x", "FP32", [1.5, 2.0, 1.0], (1, 3))], "features.age"),
        ([column("x", "FP32", [1.0, 2.0, 2.0], (1, 3))], "features.smokes"),
        ([column("x", "BYTES", ["1", "2", "3"], (1, 3))], "features.age"),
    ],
)
def test_tensors_that_do_not_fit_the_signature_are_refused_by_name(given_: list[Tensor], field: str) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        rows_of(given_)

    assert refused.value.field == field
    assert refused.value.remedy


def test_a_caller_of_columns_gets_no_matrix_read_for_one() -> None:
    with pytest.raises(InvalidFeatures) as refused:
        rows_of([Tensor("x", "FP64", (1, 3), [63.0, 2.5, 1.0])], only_columns=True)

    assert refused.value.field == "features.age"


def test_a_value_that_does_not_fit_is_told_by_its_row() -> None:
    with pytest.raises(InvalidFeatures, match=r"^Row 1: age may not be null"):
        rows_of([column("age", "INT8", [63, None]), CHOL, SMOKES])


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [
        ((0, 1), "INT64"),
        ((False, True), "BOOL"),
        ((0.5, 1.5), "FP64"),
        (("ill", "well"), "BYTES"),
        ((), "BYTES"),
        ((0, "ill"), "BYTES"),
        ((0, 2**63), "BYTES"),
    ],
)
def test_predictions_have_the_datatype_of_their_classes(classes: tuple[Any, ...], datatype: str) -> None:
    assert datatype_of(Output(OutputKind.CLASS, classes)) == datatype


def test_predictions_of_numbers_are_doubles() -> None:
    assert datatype_of(NUMBER) == "FP64"


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        ("INT64", [0, 1], "INT64"),
        ("INT64", [0, "unsure"], "BYTES"),
        ("INT64", [0, 1.5], "BYTES"),
        ("INT64", [0, True], "BYTES"),
        ("INT64", [0, 2**63], "BYTES"),
        ("BOOL", [True], "BOOL"),
        ("BOOL", [1], "BYTES"),
        ("FP64", [0.5, 1], "FP64"),
        ("FP64", ["ill"], "BYTES"),
        ("BYTES", ["ill"], "BYTES"),
    ],
)
def test_predictions_that_do_not_fit_their_datatype_are_text(datatype: str, values: list[Any], expected: str) -> None:
    assert fitting(datatype, values) == expected
