from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score, mean_absolute_error, r2_score, roc_auc_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.formats.samples import heart

from serinus.core.errors import InvalidInput
from serinus.sklearn import evaluate_model


def iris() -> tuple[Any, Any, Any]:
    X, y = load_iris(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(X, y), X, y


def test_a_classifier_of_two_classes_has_five_metrics() -> None:
    X, y = heart()
    X = X.drop(columns=["ca", "thal"])
    labels = y.map({0: "healthy", 1: "ill"})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, labels)

    metrics = evaluate_model(model, X, labels)

    assert set(metrics) == {"accuracy", "f1", "precision", "recall", "roc_auc"}
    assert metrics["f1"] == pytest.approx(f1_score(labels, model.predict(X), average="weighted"))
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(labels, model.predict_proba(X)[:, 1]))
    assert metrics.left_out == {}


def test_of_several_classes_the_area_is_the_mean_of_each_against_the_others() -> None:
    model, X, y = iris()

    assert evaluate_model(model, X, y)["roc_auc"] == pytest.approx(
        roc_auc_score(y, model.predict_proba(X), multi_class="ovr")
    )


def test_the_area_is_left_out_with_the_reason_where_a_class_is_missing() -> None:
    model, X, y = iris()

    metrics = evaluate_model(model, X[y < 2], y[y < 2])

    assert "roc_auc" not in metrics
    assert "[2]" in metrics.left_out["roc_auc"]


def test_the_area_is_left_out_with_the_reason_where_there_are_no_probabilities() -> None:
    X, y = load_iris(return_X_y=True)

    metrics = evaluate_model(LinearSVC().fit(X, y), X, y)

    assert metrics.left_out == {"roc_auc": "the model gives no probabilities"}


def test_a_class_that_the_model_does_not_know_counts_as_wrong() -> None:
    model, X, y = iris()

    metrics = evaluate_model(model, X, np.where(y == 2, 7, y))

    assert metrics["accuracy"] < 0.7
    assert "7" in metrics.left_out["roc_auc"]


def test_a_class_that_was_never_predicted_is_no_warning() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = LogisticRegression().fit(X, [0, 0, 0, 1])

    assert evaluate_model(model, X[:2], [1, 0])["precision"] == 0.25


def test_a_regressor_has_three_metrics() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(X, y)
    predicted = model.predict(X)

    assert evaluate_model(model, X, y.reshape(-1, 1)) == pytest.approx(
        {
            "mae": mean_absolute_error(y, predicted),
            "rmse": root_mean_squared_error(y, predicted),
            "r2": r2_score(y, predicted),
        }
    )


@pytest.mark.parametrize("rows", [1, 3])
def test_a_truth_that_never_changes_explains_nothing(rows: int) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])

    metrics = evaluate_model(model, np.ones((rows, 1)), np.ones(rows))

    assert metrics["mae"] == pytest.approx(0.0)
    assert "r2" in metrics.left_out


@pytest.mark.parametrize(
    ("X", "y"), [(np.zeros((0, 1)), []), (np.zeros((2, 1)), [1.0]), (np.zeros((2, 1)), np.zeros((2, 2)))]
)
def test_what_cannot_be_measured_on_is_refused(X: Any, y: Any) -> None:
    class Zero:
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    with pytest.raises(InvalidInput):
        evaluate_model(Zero(), X, y)


@pytest.mark.parametrize(
    "y",
    [["a", "b", "c"] * 50, [0.0, np.nan, 1.0] * 50, [0, None, 1] * 50, pd.array([0, 1, None] * 50, dtype="Int64")],
    ids=["names", "nan", "none", "na"],
)
def test_a_truth_of_another_kind_or_with_gaps_is_refused(y: Any) -> None:
    model, X, _ = iris()
    for each in (model, LinearRegression().fit(X, X[:, 0])):
        with pytest.raises(InvalidInput) as refused:
            evaluate_model(each, X, y)
        assert refused.value.field == "y"


def test_what_holds_the_truth_does_not_matter() -> None:
    model, X, y = iris()

    metrics = [evaluate_model(model, X, each) for each in (y, y.tolist(), y.astype(object), pd.Series(y), y[:, None])]

    assert metrics == [metrics[0]] * 5
