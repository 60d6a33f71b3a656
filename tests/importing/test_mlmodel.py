import json

import pytest

from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.signature import Dtype, Feature
from serinus.importing.mlmodel import examples_of, features_of, read_card

CARD = """
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.skops, serialization_format: skops}
model_id: m-9
run_id: run-7
saved_input_example_info: {artifact_path: input_example.json, type: dataframe, pandas_orient: split}
signature:
  inputs: '[{"type": "long", "name": "age", "required": true}]'
  outputs: null
"""
AGE, THAL = Feature("age", Dtype.INT), Feature("thal", Dtype.FLOAT, nullable=True)


def test_a_card_says_the_flavors_the_inputs_and_where_the_example_is() -> None:
    card = read_card(CARD)

    assert card.servable_names == ["sklearn"]
    assert features_of(card.inputs) == (AGE,)
    assert (card.example, card.run_id, card.model_id) == ("input_example.json", "run-7", "m-9")


def test_a_card_may_lack_signature_and_example() -> None:
    card = read_card("flavors: {onnx: {data: model.onnx}}")

    assert (card.inputs, card.example) == ("", "")


@pytest.mark.parametrize("text", ["", "a: [", "flavors: 3", "flavors: {onnx: 3}", "- 1"])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(FormatRefused):
        read_card(text)


def test_columns_become_features_and_what_is_not_required_may_be_null() -> None:
    inputs = [
        {"type": "long", "name": "age", "required": True},
        {"type": "integer", "name": "ca"},
        {"type": "double", "name": "thal", "required": False},
        {"type": "float", "name": "chol", "required": True},
        {"type": "boolean", "name": "smoker", "required": True},
        {"type": "string", "name": "sex", "required": False},
    ]

    assert features_of(json.dumps(inputs)) == (
        AGE,
        Feature("ca", Dtype.INT),
        THAL,
        Feature("chol", Dtype.FLOAT),
        Feature("smoker", Dtype.BOOL),
        Feature("sex", Dtype.STR, nullable=True),
    )


def test_one_tensor_of_rows_becomes_a_feature_per_column() -> None:
    inputs = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]

    assert features_of(json.dumps(inputs)) == (Feature("x0", Dtype.FLOAT), Feature("x1", Dtype.FLOAT))


def test_several_tensors_become_a_feature_each() -> None:
    inputs = [
        {"type": "tensor", "name": "age", "tensor-spec": {"dtype": "int64", "shape": [-1, 1]}},
        {"type": "tensor", "name": "sex", "tensor-spec": {"dtype": "str", "shape": [-1]}},
    ]

    assert features_of(json.dumps(inputs)) == (AGE, Feature("sex", Dtype.STR))


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ('[{"type": "datetime", "name": "at"}]', "at"),
        ('[{"type": "array", "name": "pixels", "items": {"type": "double"}}]', "pixels"),
        (
            '[{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}]',
            "[-1, 28, 28]",
        ),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1, 2]}}]', "complex64"),
        ("3", ""),
        ("not json", ""),
        ('[{"name": "age"}]', ""),
    ],
)
def test_what_is_no_row_of_plain_values_is_refused_and_named(inputs: str, named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        features_of(inputs)

    assert refused.value.field == "signature"
    assert named in refused.value.message


def test_example_rows_are_put_into_the_order_of_the_features() -> None:
    example = {"columns": ["thal", "other", "age"], "data": [[3.0, "x", 63], [None, "y", 41]]}

    assert examples_of(json.dumps(example), (AGE, THAL), 8) == [[63, 3.0], [41, None]]


def test_a_row_that_does_not_go_with_the_features_is_passed_over() -> None:
    example = {"columns": ["age", "thal"], "data": [[None, 3.0], ["old", 3.0], [63, 3.0], [41, 6.0]]}

    assert examples_of(json.dumps(example), (AGE, THAL), 1) == [[63, 3.0]]


@pytest.mark.parametrize("text", ["", "3", "[]", '{"columns": ["age"]}', '{"columns": ["age"], "data": [[1]]}'])
def test_an_example_of_another_shape_is_no_example(text: str) -> None:
    assert examples_of(text, (AGE, THAL), 8) == []
