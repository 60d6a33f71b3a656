from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.formats.samples import CHEST_PAINS, heart, heart_with_strings, rows_of, signature_of, values_of

from serinus.core.answers import read_answers
from serinus.core.errors import FormatRefused
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats


def numbers() -> tuple[pd.DataFrame, Any]:
    X, y = heart()
    return X.fillna(0.0), y


def as_floats(X: pd.DataFrame) -> Any:
    return X.to_numpy(dtype=np.float32)


def load(graph: Any, signature: Signature) -> Any:
    return Formats().load(graph.SerializeToString(), "onnx", signature)


def refusal(graph: Any, signature: Signature) -> str:
    with pytest.raises(FormatRefused) as refused:
        load(graph, signature)
    return refused.value.message


def graph_of(
    node: str,
    inputs: "list[tuple[str, int, list[int | str | None]]]",
    outputs: "list[tuple[str, int, list[int | str | None]]]",
    **attributes: Any,
) -> Any:
    """Make a graph of one node."""
    made = helper.make_node(node, [i[0] for i in inputs], [o[0] for o in outputs], **attributes)
    graph = helper.make_graph(
        [made],
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def signature(output: Output, *features: Feature) -> Signature:
    return Signature(features, output)


NUMBER = Output(OutputKind.NUMBER)
X_FLOAT = Feature("x", Dtype.FLOAT)


@pytest.mark.parametrize("zipmap", [True, False], ids=["dictionaries", "table"])
@pytest.mark.parametrize("labels", [[0, 1], ["well", "ill"]], ids=["ints", "strings"])
def test_a_classifier_answers_as_in_scikit_learn_on_every_row(zipmap: object, labels: list[Any]) -> None:
    X, y = numbers()
    model = GradientBoostingClassifier(n_estimators=20).fit(as_floats(X), np.array(labels)[y])
    graph = to_onnx(model, as_floats(X)[:1], options={"zipmap": zipmap})

    raw = load(graph, signature_of(X, model)).predict(rows_of(X))

    assert values_of(raw) == model.predict(as_floats(X)).tolist()
    assert np.allclose(raw.probabilities, model.predict_proba(as_floats(X)), atol=1e-5)


@pytest.mark.parametrize("labels", [[False, True], [0.0, 1.0]], ids=["bools", "floats"])
def test_labels_that_onnx_does_not_have_become_the_signatures_own(labels: list[Any]) -> None:
    X, y = numbers()
    model = LogisticRegression(max_iter=5000).fit(as_floats(X), np.array(labels)[y])
    graph = convert_sklearn(
        LogisticRegression(max_iter=5000).fit(as_floats(X), y),
        initial_types=[("input", FloatTensorType([None, 13]))],
        options={"zipmap": False},
    )
    described = signature_of(X, model)

    answers = read_answers(load(graph, described).predict(rows_of(X)), described.output, len(X))

    assert {type(answer.prediction) for answer in answers} == {type(labels[0])}
    assert [answer.prediction for answer in answers] == model.predict(as_floats(X)).tolist()


@pytest.mark.parametrize("model", [LinearRegression(), RandomForestRegressor(5)])
def test_a_regressor_gives_one_number_per_row(model: Any) -> None:
    X, _ = numbers()
    fitted = model.fit(as_floats(X), X["chol"])

    raw = load(to_onnx(fitted, as_floats(X)[:1]), signature_of(X, fitted)).predict(rows_of(X))

    assert raw.probabilities is None
    assert np.shape(values_of(raw)) == (len(X),)
    assert np.allclose(values_of(raw), fitted.predict(as_floats(X)), rtol=1e-4)


@pytest.mark.parametrize("tensor", [DoubleTensorType, Int64TensorType])
def test_a_matrix_may_be_of_doubles_or_of_ints(tensor: Any) -> None:
    X, y = numbers()
    X = X[["cp", "slope", "age"]]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X.to_numpy(), y)
    graph = convert_sklearn(model, initial_types=[("input", tensor([None, 3]))], options={"zipmap": False})

    raw = load(graph, signature_of(X, model)).predict(rows_of(X))

    assert values_of(raw) == model.predict(X.to_numpy()).tolist()


def test_a_missing_number_is_nan() -> None:
    graph = graph_of("IsNaN", [("input", TensorProto.FLOAT, [None, 1])], [("output", TensorProto.BOOL, [None, 1])])
    described = signature(Output(OutputKind.CLASS, (False, True)), Feature("x", Dtype.FLOAT, nullable=True))

    assert values_of(load(graph, described).predict([[None], [1.0]])) == [True, False]


def per_feature_graph() -> tuple[Any, pd.DataFrame, Any]:
    X, y = heart_with_strings()
    X = X[["age", "oldpeak", "cp", "sex"]].assign(cp=X["cp"].fillna("unknown"))
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "oldpeak", "sex"]),
            ("strings", OneHotEncoder(handle_unknown="ignore"), ["cp"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(X, y)
    types = [
        ("age", Int64TensorType([None, 1])),
        ("oldpeak", FloatTensorType([None, 1])),
        ("cp", StringTensorType([None, 1])),
        ("sex", Int64TensorType([None, 1])),
    ]
    return convert_sklearn(model, initial_types=types, options={"zipmap": False}), X, model


def test_one_input_per_feature_is_fed_by_name() -> None:
    graph, X, model = per_feature_graph()

    raw = load(graph, signature_of(X, model)).predict(rows_of(X))

    assert values_of(raw) == model.predict(X).tolist()
    assert np.allclose(raw.probabilities, model.predict_proba(X), atol=1e-5)
    assert set(CHEST_PAINS.values()) < set(X["cp"])


def test_a_column_may_have_one_dimension() -> None:
    graph = graph_of("Neg", [("x", TensorProto.FLOAT, [None])], [("y", TensorProto.FLOAT, [None])])

    assert values_of(load(graph, signature(NUMBER, X_FLOAT)).predict([[1.0], [2.0]])) == [-1.0, -2.0]


def test_probabilities_alone_are_read_as_the_most_probable_class() -> None:
    graph = graph_of("Softmax", [("input", TensorProto.FLOAT, [None, 2])], [("p", TensorProto.FLOAT, [None, 2])])
    described = signature(Output(OutputKind.CLASS, ("no", "yes")), X_FLOAT, Feature("z", Dtype.FLOAT))

    raw = load(graph, described).predict([[0.0, 1.0], [3.0, 1.0]])

    assert values_of(raw) == ["yes", "no"]
    assert raw.probabilities.shape == (2, 2)


NEGATE = graph_of("Neg", [("input", TensorProto.FLOAT, [None, 2])], [("y", TensorProto.FLOAT, [None, 2])])
INTS = graph_of("Neg", [("x", TensorProto.INT64, [None, 1])], [("y", TensorProto.INT64, [None, 1])])
STRINGS = graph_of("Identity", [("x", TensorProto.STRING, [None, 1])], [("y", TensorProto.STRING, [None, 1])])
CUBE = graph_of("Neg", [("x", TensorProto.FLOAT, [None, 3])], [("y", TensorProto.FLOAT, [None, 3])])
CLASS = Output(OutputKind.CLASS, (0, 1))


@pytest.mark.parametrize(
    ("graph", "described", "reason"),
    [
        (NEGATE, signature(NUMBER, X_FLOAT), "2 columns, the signature 1 features"),
        (INTS, signature(CLASS, Feature("z", Dtype.INT), Feature("x", Dtype.INT)), "its inputs are x"),
        (INTS, signature(CLASS, X_FLOAT), "tensor(int64), the feature x is float"),
        (INTS, signature(CLASS, Feature("x", Dtype.INT, nullable=True)), "cannot hold that"),
        (STRINGS, signature(CLASS, Feature("x", Dtype.STR, nullable=True)), "cannot hold that"),
        (STRINGS, signature(CLASS, Feature("x", Dtype.BOOL)), "tensor(string), the feature x is bool"),
        (CUBE, signature(NUMBER, X_FLOAT), "has shape"),
        (INTS, signature(NUMBER, Feature("x", Dtype.INT)), "has 0 outputs of floats"),
        (
            NEGATE,
            signature(Output(OutputKind.CLASS, (0, 1, 2)), *(Feature(n, Dtype.FLOAT) for n in "ab")),
            "should predict a class",
        ),
    ],
)
def test_a_graph_that_does_not_go_with_its_signature_is_refused(graph: Any, described: Signature, reason: str) -> None:
    assert reason in refusal(graph, described)


def test_a_column_of_probabilities_per_class_is_refused() -> None:
    X, y = numbers()
    model = LogisticRegression(max_iter=5000).fit(as_floats(X), y)
    graph = to_onnx(model, as_floats(X)[:1], options={"zipmap": "columns"})

    assert "should predict a class" in refusal(graph, signature_of(X, model))


def test_a_bool_goes_into_an_input_of_bools() -> None:
    graph = graph_of("Not", [("x", TensorProto.BOOL, [None, 1])], [("y", TensorProto.BOOL, [None, 1])])
    described = signature(Output(OutputKind.CLASS, (False, True)), Feature("x", Dtype.BOOL))

    assert values_of(load(graph, described).predict([[True], [False]])) == [False, True]


def test_a_graph_that_would_read_another_file_is_refused() -> None:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "4")):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        initializer=[weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)

    assert "not a usable ONNX model" in refusal(model, signature(NUMBER, X_FLOAT))
