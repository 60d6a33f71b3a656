"""Rows in training order, signatures as JSON, and the examples kept from training."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import JSON, attempted

from serinus.core.errors import InvalidFeatures, InvalidInput
from serinus.core.signature import (
    Dtype,
    Feature,
    Output,
    OutputKind,
    Scalar,
    Signature,
    examples_as_rows,
)

NUMBER = Output(OutputKind.NUMBER)
HEART = Signature(
    (
        Feature("age", Dtype.INT),
        Feature("chol", Dtype.FLOAT, nullable=True),
        Feature("sex", Dtype.STR),
        Feature("smoker", Dtype.BOOL),
    ),
    Output(OutputKind.CLASS, (0, 1), ("healthy", "ill")),
)
PATIENT: dict[str, object] = {"age": 51, "chol": 240.5, "sex": "f", "smoker": False}
TYPES = {Dtype.INT: int, Dtype.FLOAT: float, Dtype.STR: str, Dtype.BOOL: bool}

NAMES = st.text(max_size=6)
FEATURES = st.lists(
    st.builds(Feature, NAMES, st.sampled_from(Dtype), st.booleans()),
    min_size=1,
    max_size=5,
    unique_by=lambda feature: feature.name,
)
CLASSES = st.lists(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES, max_size=4, unique=True
).map(tuple)
OUTPUTS = st.builds(Output, st.sampled_from(OutputKind), CLASSES)
SIGNATURES = st.builds(Signature, FEATURES.map(tuple), OUTPUTS)


def refused_by(act: Callable[[], object]) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        act()
    return refused.value


# ----------------------------------------------------------------------------------------------- rows


def test_a_row_is_in_training_order_whatever_the_order_of_the_request() -> None:
    assert HEART.row(dict(reversed(PATIENT.items()))) == [51, 240.5, "f", False]


def test_a_missing_value_is_none_where_it_may_be_missing() -> None:
    assert HEART.row(PATIENT | {"chol": None}) == [51, None, "f", False]


def test_a_nullable_feature_must_still_be_named() -> None:
    features = {name: value for name, value in PATIENT.items() if name != "chol"}
    refused = refused_by(lambda: HEART.row(features))
    assert (refused.field, refused.details["missing"]) == ("features.chol", ["chol"])


def test_an_unknown_feature_is_refused_by_name() -> None:
    refused = refused_by(lambda: HEART.row(PATIENT | {"Age": 51}))
    assert (refused.field, refused.details["unknown"]) == ("features.Age", ["Age"])


def test_a_misspelt_feature_is_both_missing_and_unknown() -> None:
    features = {("ages" if name == "age" else name): value for name, value in PATIENT.items()}
    assert refused_by(lambda: HEART.row(features)).message == (
        "The features do not match the model's signature (missing: age; unknown: ages)."
    )


def test_the_remedy_for_wrong_names_is_the_list_of_right_ones() -> None:
    assert refused_by(lambda: HEART.row({})).remedy == "Send exactly: age, chol, sex, smoker."


def test_a_flood_of_unknown_features_makes_a_short_error() -> None:
    refused = refused_by(lambda: HEART.row(PATIENT | {f"{n}" * 500: n for n in range(1, 1000)}))
    assert len(refused.message) < 2000


def test_an_unknown_name_of_half_a_surrogate_pair_can_be_answered() -> None:
    refused = refused_by(lambda: HEART.row(PATIENT | {"\ud800": 1}))
    assert (refused.message + refused.field).encode()


def test_a_value_of_a_wrong_type_is_refused_by_name() -> None:
    refused = refused_by(lambda: HEART.row(PATIENT | {"age": True}))
    assert (type(refused), refused.field) == (InvalidFeatures, "features.age")


@pytest.mark.parametrize("features", [None, [], "age", 1, [["age", 51]]])
def test_features_are_an_object(features: object) -> None:
    refused = refused_by(lambda: HEART.row(features))
    assert (type(refused), refused.field) == (InvalidFeatures, "features")


@given(SIGNATURES, JSON)
def test_any_json_is_either_a_row_or_refused(signature: Signature, features: object) -> None:
    row = attempted(lambda: signature.row(features))
    if isinstance(row, InvalidInput):
        assert type(row) is InvalidFeatures
        assert row.field.startswith("features")
        assert row.remedy
        return
    assert len(row) == len(signature.features)


@given(SIGNATURES.flatmap(lambda s: st.tuples(st.just(s), st.fixed_dictionaries(dict.fromkeys(s.names, JSON)))))
def test_any_values_under_the_right_names_are_a_row_of_the_right_types_or_refused(
    both: tuple[Signature, dict[str, object]],
) -> None:
    signature, features = both
    row = attempted(lambda: signature.row(features))
    if isinstance(row, InvalidInput):
        return
    for feature, value in zip(signature.features, row, strict=True):
        assert type(value) is TYPES[feature.dtype] or (value is None and feature.nullable)
        given = features[feature.name]
        # A whole number beyond 2**53 is the nearest float where a float is wanted.
        assert value == (float(given) if isinstance(value, float) and isinstance(given, int) else given)


# ----------------------------------------------------------------------------------------- as a value


def test_a_signature_needs_a_feature() -> None:
    assert refused_by(lambda: Signature((), NUMBER)).field == "signature.features"


def test_a_feature_is_named_once() -> None:
    twice = (Feature("age", Dtype.INT), Feature("sex", Dtype.STR), Feature("age", Dtype.FLOAT))
    refused = refused_by(lambda: Signature(twice, NUMBER))
    assert (refused.field, refused.remedy) == ("signature.features", "Name each feature once.")
    assert refused.message == "The signature names ['age'] twice."


def test_class_names_go_with_classes_one_to_one() -> None:
    refused = refused_by(lambda: Output(OutputKind.CLASS, (0, 1), ("healthy",)))
    assert (refused.field, refused.message) == ("signature.output.class_names", "1 class_names for 2 classes.")


@pytest.mark.parametrize(
    "classes", [(0, 0), (1, True), (0, False), (1, 1.0), ("a", "a"), (float("nan"),), (float("inf"),), ("\ud800",)]
)
def test_classes_can_be_told_apart(classes: tuple[Scalar, ...]) -> None:
    assert refused_by(lambda: Output(OutputKind.CLASS, classes)).field == "signature.output.classes"


# -------------------------------------------------------------------------------------------- as JSON


@given(SIGNATURES)
def test_a_signature_comes_back_from_json_as_it_was(signature: Signature) -> None:
    assert repr(Signature.decoded(json.loads(json.dumps(signature.encoded())))) == repr(signature)


@given(SIGNATURES)
def test_a_signature_comes_back_from_its_plain_values_as_it_was(signature: Signature) -> None:
    assert Signature.decoded(signature.encoded()) == signature


def test_nullable_classes_and_their_names_may_be_left_out() -> None:
    raw = {"features": [{"name": "age", "dtype": "int"}], "output": {"kind": "number"}}
    assert Signature.decoded(raw) == Signature((Feature("age", Dtype.INT),), NUMBER)


def test_classes_may_be_null() -> None:
    raw = {
        "features": [{"name": "age", "dtype": "int"}],
        "output": {"kind": "class", "classes": None, "class_names": None},
    }
    assert Signature.decoded(raw).output == Output(OutputKind.CLASS)


def changed(path: str, value: object) -> object:
    """Give HEART as JSON with one member, named by its path, replaced."""
    raw = json.loads(json.dumps(HEART.encoded()))
    *way, last = path.split(".")
    place = raw
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return raw


PATHS = st.sampled_from(
    [
        "features",
        "features.0",
        "features.0.name",
        "features.1.dtype",
        "features.2.nullable",
        "output",
        "output.kind",
        "output.classes",
        "output.classes.0",
        "output.class_names",
        "output.class_names.1",
    ]
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("features", None),
        ("features", "age"),
        ("features", {"name": "age", "dtype": "int"}),
        ("features", []),
        ("features.0", "age"),
        ("features.0", None),
        ("features.0.name", None),
        ("features.0.name", 5),
        ("features.0.name", {}),
        ("features.0.name", "\ud800"),
        ("features.0.name", "sex"),
        ("features.0.dtype", "integer"),
        ("features.0.dtype", ["int"]),
        ("features.0.nullable", "false"),
        ("features.0.nullable", 0),
        ("output", None),
        ("output", "class"),
        ("output", []),
        ("output.kind", "classes"),
        ("output.kind", None),
        ("output.classes", "ab"),
        ("output.classes", {"0": "a", "1": "b"}),
        ("output.classes", 2),
        ("output.classes", [[0], [1]]),
        ("output.classes", [None, 1]),
        ("output.classes", [1, 1]),
        ("output.class_names", "ab"),
        ("output.class_names", [1, 2]),
        ("output.class_names", ["a"]),
    ],
)
def test_what_is_no_signature_is_refused_as_one(path: str, value: object) -> None:
    refused = refused_by(lambda: Signature.decoded(changed(path, value)))
    assert refused.field.startswith("signature")
    assert refused.remedy


def test_a_member_that_lacks_is_named() -> None:
    assert refused_by(lambda: Signature.decoded({"features": []})).message == (
        "The signature cannot be read: 'output' is missing."
    )


@given(JSON)
def test_any_json_that_is_no_signature_is_refused(raw: object) -> None:
    assert refused_by(lambda: Signature.decoded(raw)).code == "SERINUS-INVALID"


@given(PATHS, JSON | st.lists(JSON, min_size=2, max_size=2))
def test_any_json_in_a_signature_is_read_or_refused(path: str, value: object) -> None:
    signature = attempted(lambda: Signature.decoded(changed(path, value)))
    if isinstance(signature, InvalidInput):
        assert signature.field.startswith("signature")
        return
    assert Signature.decoded(signature.encoded()) == signature


@given(PATHS, JSON)
def test_whatever_was_read_can_be_hashed_and_written_down(path: str, value: object) -> None:
    signature = attempted(lambda: Signature.decoded(changed(path, value)))
    if isinstance(signature, InvalidInput):
        return
    hash(signature)
    json.dumps(signature.encoded(), allow_nan=False, ensure_ascii=False).encode()


# ---------------------------------------------------------------------------------------- reordering


def test_the_same_order_needs_no_reordering() -> None:
    assert HEART.reordering(HEART) is None


def test_a_row_is_put_into_the_order_of_another_model() -> None:
    other = Signature(tuple(reversed(HEART.features)), HEART.output)
    order = HEART.reordering(other)
    row = HEART.row(PATIENT)
    assert order is not None
    assert [row[index] for index in order] == other.row(PATIENT)


@given(SIGNATURES.flatmap(lambda s: st.tuples(st.just(s), st.permutations(s.features))))
def test_any_order_can_be_reached(both: tuple[Signature, list[Feature]]) -> None:
    signature, features = both
    other = Signature(tuple(features), signature.output)
    order = signature.reordering(other) or range(len(features))
    assert tuple(signature.names[index] for index in order) == other.names


# ------------------------------------------------------------------------------------------ examples


def test_examples_are_checked_and_given_their_types() -> None:
    rows = examples_as_rows(HEART, [[51.0, 240, "f", False], (60, None, "m", True)])
    assert repr(rows) == "((51, 240.0, 'f', False), (60, None, 'm', True))"


@pytest.mark.parametrize("example", [[51, 240.5, "f"], [51, 240.5, "f", False, 1], "fxyz", None, 7, {"age": 51}])
def test_an_example_of_another_shape_is_refused_by_its_place(example: object) -> None:
    refused = refused_by(lambda: examples_as_rows(HEART, [[51, 240.5, "f", False], example]))
    assert (refused.message, refused.field, refused.remedy) == (
        "Example 1 does not have 4 values.",
        "examples.1",
        "Give values in this order: age, chol, sex, smoker.",
    )


def test_a_wrong_value_in_an_example_is_refused_by_its_place_and_feature() -> None:
    refused = refused_by(lambda: examples_as_rows(HEART, [[51, 240.5, "f", False], ["old", 240.5, "f", False]]))
    assert (refused.code, refused.field, refused.message, refused.remedy) == (
        "SERINUS-INVALID",
        "examples.1",
        "Example 1: age should be a whole number; it is 'old'.",
        "Send a whole number.",
    )


@given(st.lists(JSON | st.lists(JSON, min_size=4, max_size=4), max_size=3))
def test_any_examples_are_rows_or_refused(examples: list[object]) -> None:
    rows = attempted(lambda: examples_as_rows(HEART, examples))
    if isinstance(rows, InvalidInput):
        assert rows.field.startswith("examples.")
        return
    assert len(rows) == len(examples)
