"""Which outputs of a model are answers, and which are the model's error."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.answers import Answer, RawOutput, read_answers
from serinus.core.errors import BadOutput
from serinus.core.signature import Output, OutputKind, Scalar

NUMBER = Output(OutputKind.NUMBER)
ANY_CLASS = Output(OutputKind.CLASS)
ILL = Output(OutputKind.CLASS, (0, 1), ("healthy", "ill"))


def answers(values: Any, output: Output, probabilities: Any = None, rows: int = 1) -> list[Answer]:
    return read_answers(RawOutput(values, probabilities), output, rows)


def answer(value: object, output: Output) -> Answer:
    """Read the one answer of an array of objects."""
    values = np.empty(1, dtype=object)
    values[0] = value
    return answers(values, output)[0]


def objection(values: Any, output: Output, probabilities: Any = None, rows: int = 1) -> str:
    with pytest.raises(BadOutput) as bad:
        answers(values, output, probabilities, rows)
    return bad.value.message


# -------------------------------------------------------------------------------------------- answers


def test_each_row_has_its_answer_in_order() -> None:
    assert answers(np.array([1.5, -2.0]), NUMBER, rows=2) == [Answer(1.5), Answer(-2.0)]


def test_a_class_has_its_name_and_its_probability() -> None:
    table = np.array([[0.2, 0.8], [0.9, 0.1]])
    assert answers(np.array([1, 0]), ILL, table, rows=2) == [Answer(1, "ill", 0.8), Answer(0, "healthy", 0.9)]


def test_a_class_without_a_name_goes_by_itself() -> None:
    assert answers(np.array(["spam"]), ANY_CLASS) == [Answer("spam", "spam")]


def test_a_number_has_neither_class_nor_probability() -> None:
    assert answers(np.array([3]), NUMBER, np.array([[1.0]])) == [Answer(3.0)]


@pytest.mark.parametrize(
    ("values", "output", "kind"),
    [
        (np.array([1], dtype=np.int8), NUMBER, float),
        (np.array([1], dtype=np.uint64), NUMBER, float),
        (np.array([1], dtype=np.float16), NUMBER, float),
        (np.array([1], dtype=np.float32), NUMBER, float),
        (np.array([1], dtype=np.int64), ANY_CLASS, int),
        (np.array([1.0], dtype=np.float32), ANY_CLASS, float),
        (np.array(["a"]), ANY_CLASS, str),
        (np.array(["a"], dtype=object), ANY_CLASS, str),
        (np.array(["a"], dtype=np.dtypes.StringDType()), ANY_CLASS, str),
        (np.array([True]), ANY_CLASS, bool),
    ],
)
def test_an_answer_is_plain_python(values: Any, output: Output, kind: type) -> None:
    assert type(answers(values, output)[0].prediction) is kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.float64(1.5), float),
        (np.float32(1.5), float),
        (np.int32(1), int),
        (np.str_("a"), str),
        (np.bool_(True), bool),  # noqa: FBT003 numpy's, not a flag
    ],
)
def test_a_numpy_scalar_among_objects_becomes_plain_python_too(value: object, kind: type) -> None:
    assert type(answer(value, ANY_CLASS).prediction) is kind


def test_the_confidence_is_plain_python_and_never_above_one() -> None:
    confidence = answers(np.array([1]), ILL, np.array([[-0.0005, 1.0005]], dtype=np.float32))[0].confidence
    assert (type(confidence), confidence) == (float, 1.0)


@pytest.mark.parametrize(
    ("value", "classes", "known"),
    [
        (np.array([True]), (0, 1), "1"),
        (np.array([1]), (False, True), "True"),
        (np.array([1.0], dtype=np.float32), (0, 1), "1"),
        (np.array([1]), (0.0, 1.0), "1.0"),
    ],
)
def test_a_class_is_given_as_the_signature_has_it(value: Any, classes: tuple[Scalar, ...], known: str) -> None:
    given_answer = answers(value, Output(OutputKind.CLASS, classes))[0]
    assert (repr(given_answer.prediction), given_answer.prediction_class) == (known, known)


def test_no_rows_have_no_answers() -> None:
    assert answers(np.empty(0), ANY_CLASS, np.empty((0, 2)), rows=0) == []


# ---------------------------------------------------------------------------------- the model's errors


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("output", [NUMBER, ANY_CLASS, Output(OutputKind.CLASS, (0.0, 1.0))])
def test_nan_and_infinity_are_no_answers(value: float, output: Output) -> None:
    assert objection(np.array([value]), output) == f"The model answered {value}, which is not a finite number."


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000], ids=["10^400", "-10^400", "10^5000"])
@pytest.mark.parametrize("output", [NUMBER, ANY_CLASS, ILL])
def test_an_enormous_integer_is_no_answer(value: int, output: Output) -> None:
    assert "not a finite number" in objection(np.array([value], dtype=object), output)


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (np.zeros(2), 1),
        (np.zeros(1), 2),
        (np.zeros(0), 1),
        (np.zeros((1, 1)), 1),
        (np.zeros((1, 2)), 1),
        (np.float64(0), 1),
    ],
)
def test_another_number_of_values_than_rows_is_no_answer(values: Any, rows: int) -> None:
    assert objection(values, NUMBER, rows=rows) == f"The model answered with shape {values.shape} for {rows} row(s)."


@pytest.mark.parametrize("value", ["3", "high", True])
def test_a_number_is_no_string_and_no_bool(value: object) -> None:
    assert objection(np.array([value]), NUMBER) == f"The model answered {value!r} where a number is expected."


@pytest.mark.parametrize("value", [2, -1, 0.5, "1", "healthy"])
def test_an_unknown_class_is_no_answer(value: object) -> None:
    assert objection(np.array([value]), ILL) == f"The model answered {value!r}, which is none of its classes."


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "NoneType"), ([1], "list"), ({}, "dict"), (b"a", "bytes"), (1j, "complex"), (np.zeros(1), "ndarray")],
)
@pytest.mark.parametrize("output", [NUMBER, ANY_CLASS, ILL])
def test_an_object_of_another_kind_is_no_answer(value: object, name: str, output: Output) -> None:
    with pytest.raises(BadOutput, match=f"The model answered with a {name}"):
        answer(value, output)


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "timedelta64[ns]", "complex64", "S1", "V1"])
@pytest.mark.parametrize("output", [NUMBER, ANY_CLASS])
def test_an_array_of_times_or_bytes_is_no_answer(dtype: str, output: Output) -> None:
    assert "values of type" in objection(np.zeros(1, dtype=dtype), output)


@pytest.mark.parametrize(
    "probabilities",
    [
        [[math.nan, 1.0]],
        [[math.inf, 0.0]],
        [[-math.inf, 1.0]],
        [[0.5, 0.4]],
        [[0.5, 0.6]],
        [[0.0, 0.0]],
        [[-0.5, 1.5]],
        [[1e308, 1e308]],
        [[0.9985, 0.0]],
        [[1.003, -0.001, -0.001, -0.001]],
    ],
)
@pytest.mark.parametrize("others", [0, 100])
def test_probabilities_that_are_none_are_no_answer(probabilities: list[list[float]], others: int) -> None:
    good = np.eye(1, len(probabilities[0])).repeat(others, axis=0)
    table = np.vstack([good, probabilities])

    said = objection(np.array([1] * len(table)), ILL, table, rows=len(table))
    assert said.startswith("The model's probabilities ")


def test_one_bad_row_of_probabilities_spoils_the_batch() -> None:
    assert objection(np.array([0, 1]), ILL, np.array([[1.0, 0.0], [0.7, 0.7]]), rows=2) == (
        "The model's probabilities do not add up to 1."
    )


@pytest.mark.parametrize("shape", [(2,), (2, 2), (1, 0), (0, 2), (1, 1, 2), ()])
def test_probabilities_of_another_shape_are_no_answer(shape: tuple[int, ...]) -> None:
    assert objection(np.array([1]), ILL, np.full(shape, 0.5)) == (
        f"The model's probabilities have shape {shape} for 1 row(s)."
    )


@pytest.mark.parametrize("dtype", [object, np.int64, bool, np.complex64, "U3"])
def test_probabilities_of_another_type_are_no_answer(dtype: Any) -> None:
    assert objection(np.array([1]), ILL, np.array([[0, 1]]).astype(dtype)) == (
        "The model's probabilities are not all numbers from 0 to 1."
    )


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=3),
    st.floats(width=32).map(np.float32),
    st.just(10**400),
)


@given(ANYTHING, st.sampled_from([NUMBER, ANY_CLASS, ILL]))
def test_any_object_is_an_answer_or_the_models_error(value: object, output: Output) -> None:
    try:
        prediction = answer(value, output).prediction
    except BadOutput:
        return
    assert type(prediction) in {bool, int, float, str}
    assert isinstance(prediction, str) or math.isfinite(prediction)


@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=3))
def test_any_probabilities_are_confidences_or_the_models_error(table: list[list[float]]) -> None:
    try:
        read = answers(np.zeros(len(table), dtype=int), ILL, np.array(table, dtype=np.float32), rows=len(table))
    except BadOutput:
        return
    assert all(a.confidence is not None and 0 <= a.confidence <= 1 for a in read)


def test_the_confidence_is_the_probability_of_the_class_that_was_answered() -> None:
    tuned_threshold = answers(np.array([1]), ILL, np.array([[0.7, 0.3]]))[0]
    assert tuned_threshold.confidence == pytest.approx(0.3)


def test_a_table_without_a_column_for_each_class_gives_the_greatest_probability() -> None:
    assert answers(np.array([1]), ANY_CLASS, np.array([[0.2, 0.5, 0.3]]))[0].confidence == pytest.approx(0.5)


# ------------------------------------------------------------------------------------ quick and slow


@given(
    st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=20),
    st.sampled_from([(0, 1, 2), (2, 1, 0), (False, True), (0.0, 1.0, 2.0), tuple(range(30)), ("0", "1")]),
    st.sampled_from([np.int64, np.int8, np.float64, np.float32, np.str_]),
    st.booleans(),
)
def test_values_of_one_type_are_read_as_each_of_them_alone(
    values: list[int],
    classes: tuple[Scalar, ...],
    dtype: type[Any],
    with_table: bool,  # noqa: FBT001 - hypothesis'
) -> None:
    """A column of objects is looked at value by value, and any other one at once."""
    output = Output(OutputKind.CLASS, classes)
    column = np.array(values).astype(dtype)
    objects = np.array([*column.tolist(), None], dtype=object)[:-1]
    table = np.full((len(values), len(classes)), 1 / len(classes)) if with_table else None

    def read(column: Any) -> object:
        try:
            return answers(column, output, table, rows=len(values))
        except BadOutput as bad:
            return bad.message

    assert read(column) == read(objects)


def test_a_number_stays_one_where_the_signature_has_classes_besides() -> None:
    output = Output(OutputKind.NUMBER, (0, 1))
    assert answers(np.array([1.0, 0.0]), output, rows=2) == [Answer(1.0), Answer(0.0)]
    assert "True" in objection(np.array([True]), output)


def test_what_is_equal_to_a_class_and_no_value_of_json_is_no_answer() -> None:
    for strange in (Decimal(1), Fraction(1), 1 + 0j):
        with pytest.raises(BadOutput):
            answer(strange, ILL)
