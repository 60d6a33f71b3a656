from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline

from serinus.core.errors import InvalidInput
from serinus.core.signature import Dtype, Feature, Output, OutputKind
from serinus.formats.signatures import example_places, example_rows, features_of, infer_signature

NUMBER = Output(OutputKind.NUMBER)


def feature(column: Any) -> Feature:
    return infer_signature(pd.DataFrame({"x": column}), output=NUMBER).features[0]


@pytest.mark.parametrize(
    ("column", "dtype", "nullable"),
    [
        (pd.Series([1, 2]), Dtype.INT, False),
        (pd.Series([1, 2], dtype="uint8"), Dtype.INT, False),
        (pd.Series([1, None], dtype="Int64"), Dtype.INT, True),
        (pd.Series([1, None]), Dtype.FLOAT, True),
        (pd.Series([0.5, 1.0], dtype="float32"), Dtype.FLOAT, False),
        (pd.Series([0.5, None], dtype="Float64"), Dtype.FLOAT, True),
        (pd.Series([True, False]), Dtype.BOOL, False),
        (pd.Series([True, None], dtype="boolean"), Dtype.BOOL, True),
        (pd.Series([True, None], dtype=object), Dtype.BOOL, True),
        (pd.Series(["a", "b"]), Dtype.STR, False),
        (pd.Series(["a", None]), Dtype.STR, True),
        (pd.Series(["a", None], dtype="string"), Dtype.STR, True),
        (pd.Series(["a", None], dtype=object), Dtype.STR, True),
        (pd.Series(["a", None], dtype="category"), Dtype.STR, True),
        (pd.Series([3, 4], dtype="category"), Dtype.INT, False),
        (pd.Series([3, 4.5, None], dtype=object), Dtype.FLOAT, True),
        (pd.Series([None, None], dtype=object), Dtype.FLOAT, True),
    ],
)
def test_a_columns_kind_is_its_dtype_and_whether_a_value_is_missing(
    column: Any, dtype: Dtype, nullable: object
) -> None:
    assert feature(column) == Feature("x", dtype, nullable=bool(nullable))


@pytest.mark.parametrize(
    "column", [pd.to_datetime(["2026-01-01"]), pd.Series([[1]]), pd.Series([1, "a"], dtype=object)]
)
def test_a_column_of_another_kind_is_refused_by_name(column: Any) -> None:
    with pytest.raises(InvalidInput, match="The column x holds"):
        feature(column)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([[1, 2]]), Dtype.INT),
        (np.array([[1.0, 2.0]]), Dtype.FLOAT),
        (np.array([[True, False]]), Dtype.BOOL),
        (np.array([["a", "b"]]), Dtype.STR),
        (np.array([["a", "b"]], dtype=object), Dtype.STR),
    ],
)
def test_the_columns_of_an_array_are_named_by_their_place(array: Any, dtype: Dtype) -> None:
    assert infer_signature(array, output=NUMBER).features == (Feature("x0", dtype), Feature("x1", dtype))


def test_the_columns_of_an_array_can_be_given_names() -> None:
    assert infer_signature(np.zeros((2, 2)), output=NUMBER, feature_names=["a", "b"]).names == ("a", "b")


def test_features_come_in_the_models_order_without_the_target() -> None:
    X, y = heart()
    model = RandomForestClassifier(2).fit(X[["thalach", "age"]], y)

    described = infer_signature(X.assign(num=y), model)

    assert described.names == ("thalach", "age")


def test_the_target_is_left_out_where_a_model_knows_no_names() -> None:
    X, y = heart()
    X = X.fillna(0.0)
    model = RandomForestClassifier(2).fit(X.to_numpy(), y)

    assert infer_signature(X.assign(num=y), model, target="num").names == tuple(X.columns)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([0, 1], (0, 1)),
        ([0.0, 1.0], (0.0, 1.0)),
        ([False, True], (False, True)),
        (["ill", "well"], ("ill", "well")),
    ],
)
def test_classes_are_plain_values_of_the_labels_own_kind(labels: list[Any], classes: tuple[Any, ...]) -> None:
    X, y = heart()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[["age"]], np.array(labels)[y])

    found = infer_signature(X, model, class_names=["A", "B"]).output

    assert found == Output(OutputKind.CLASS, classes, ("A", "B"))
    assert [type(label) for label in found.classes] == [type(label) for label in classes]


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (LinearRegression(), NUMBER),
        (IsolationForest(n_estimators=2), Output(OutputKind.CLASS, (-1, 1))),
        (KMeans(2), Output(OutputKind.CLASS)),
    ],
)
def test_models_without_classes_are_known_by_their_kind(model: Any, output: Output) -> None:
    X, y = heart()

    assert infer_signature(X, model.fit(X[["age"]], y)).output == output


def test_several_outputs_are_refused() -> None:
    X, y = heart()
    model = RandomForestClassifier(2).fit(X[["age"]], np.column_stack([y, y]))

    with pytest.raises(InvalidInput, match="classes"):
        infer_signature(X, model)


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ([[1, 2]], {"output": NUMBER}, "is a list"),
        (np.zeros(3), {"output": NUMBER}, "is a ndarray"),
        (np.zeros((1, 2)), {"output": NUMBER, "feature_names": ["a"]}, "1 feature names for 2 columns"),
        (np.zeros((1, 2)), {}, "does not say what the model predicts"),
    ],
)
def test_data_that_cannot_be_read_is_refused(data: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        infer_signature(data, **options)


def test_data_without_a_column_of_the_model_is_refused_by_name() -> None:
    X, y = heart()
    model = RandomForestClassifier(2).fit(X[["age", "chol"]], y)

    with pytest.raises(InvalidInput, match="fitted on: chol"):
        infer_signature(X.drop(columns="chol"), model)


def test_data_of_another_width_is_refused() -> None:
    with pytest.raises(InvalidInput, match="3 columns, the model was fitted on 2"):
        infer_signature(np.zeros((2, 3)), LinearRegression().fit(np.zeros((2, 2)), [0, 1]))


def test_examples_are_spread_over_the_data_and_show_what_may_be_missing() -> None:
    X, y = heart_with_strings()
    model = mixed_pipeline().fit(X, y)
    described = infer_signature(X, model)

    places = example_places(features_of(X, model), 8)
    rows = example_rows(X, places, described)

    assert len(places) == len(set(places)) == 8
    assert max(places) - min(places) > 250
    missing = {described.names[place] for row in rows for place, value in enumerate(row) if value is None}
    assert missing == {"ca", "thal", "cp"}
    assert all(value is None or type(value) in {bool, int, float, str} for row in rows for value in row)


@pytest.mark.parametrize("count", [0, 1, 3, 8, 1000])
def test_there_are_never_more_examples_than_asked_for_or_rows(count: int) -> None:
    X, _ = heart()

    assert len(example_places(X, count)) == min(count, len(X))


def test_a_row_that_no_request_can_send_is_no_example() -> None:
    assert example_places(pd.DataFrame({"x": [1.0, np.inf, 2.0, -np.inf]}), 8) == [0, 2]


def test_a_target_that_is_no_column_is_named_with_the_columns_there_are() -> None:
    with pytest.raises(InvalidInput) as refused:
        infer_signature(pd.DataFrame({"age": [1, 2], "ill": [0, 1]}), target="il", output=Output(OutputKind.NUMBER))
    assert refused.value.field == "target"
    assert "age, ill" in refused.value.remedy


def test_data_without_rows_has_no_signature() -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        infer_signature(pd.DataFrame({"age": []}), output=Output(OutputKind.NUMBER))
