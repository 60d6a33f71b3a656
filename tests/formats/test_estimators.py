import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.formats.samples import heart, rows_of, signature_of
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from serinus.core.answers import RawOutput, read_answers
from serinus.formats.estimators import EstimatorModel


class Counting(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Always says the less probable class, and counts what it is asked."""

    def fit(self, X: Any, y: Any) -> "Counting":
        self.classes_ = np.unique(y)
        self.asked_: list[str] = []
        return self

    def predict(self, X: Any) -> Any:
        self.asked_.append("predict")
        return np.full(len(X), self.classes_[1])

    def predict_proba(self, X: Any) -> Any:
        self.asked_.append("predict_proba")
        return np.tile([0.75, 0.25], (len(X), 1))


def prediction(model: Any, X: Any) -> RawOutput:
    """Predict with a model as it is loaded: it is a copy, which may be changed to predict sooner."""
    return EstimatorModel(deepcopy(model), signature_of(X, model)).predict(rows_of(X))


def numbers() -> tuple[Any, Any]:
    X, y = heart()
    return X.fillna(0.0), y


@pytest.mark.parametrize(
    "labels",
    [np.array([0, 1]), np.array(["well", "ill"]), np.array([False, True]), np.array([0.0, 1.0])],
    ids=["int", "str", "bool", "float"],
)
def test_predictions_are_the_models_own_labels(labels: Any) -> None:
    X, y = numbers()
    model = RandomForestClassifier(5).fit(X, labels[y])

    answers = read_answers(prediction(model, X), signature_of(X, model).output, len(X))

    assert [answer.prediction for answer in answers] == model.predict(X).tolist()
    assert {type(answer.prediction) for answer in answers} == {type(labels.tolist()[0])}


def test_predictions_are_predicts_not_the_most_probable_class() -> None:
    X, y = numbers()
    raw = prediction(make_pipeline(StandardScaler(), Counting()).fit(X, y), X)

    assert set(raw.values.tolist()) == {1}
    assert raw.probabilities is not None
    assert raw.probabilities.argmax(axis=1).tolist() == [0] * len(X)


def test_a_threshold_of_its_own_is_kept() -> None:
    X, y = numbers()
    model = FixedThresholdClassifier(GaussianNB(), threshold=0.01).fit(X, y)

    assert (prediction(model, X).values == model.predict(X)).all()


def test_the_steps_before_the_last_are_run_once() -> None:
    X, y = numbers()
    seen: list[int] = []

    def noted(table: Any) -> Any:
        seen.append(len(table))
        return table

    watch = FunctionTransformer(noted)
    model = make_pipeline(watch, make_pipeline(StandardScaler(), Counting())).fit(X, y)
    seen.clear()

    EstimatorModel(model, signature_of(X, model)).predict(rows_of(X))

    assert seen == [len(X)]
    assert sorted(model[-1][-1].asked_) == ["predict", "predict_proba"]


def test_a_search_answers_with_its_best_estimator() -> None:
    X, y = numbers()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    model = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, y)

    raw = prediction(model, X)

    assert (raw.values == model.predict(X)).all()
    assert raw.probabilities is not None
    assert np.allclose(raw.probabilities, model.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("model", [LinearRegression(), PLSRegression()])
def test_numbers_in_a_column_become_one_number_per_row(model: Any) -> None:
    X, _ = numbers()
    model = model.fit(X, X[["chol"]])

    raw = prediction(model, X)

    assert raw.values.shape == (len(X),)
    assert raw.probabilities is None


def test_a_model_is_run_on_one_thread() -> None:
    X, y = numbers()
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, n_jobs=-1)).fit(X, y)

    EstimatorModel(model, signature_of(X, model))

    assert model[-1].n_jobs == 1


def test_openmp_is_as_it_was_after_a_prediction() -> None:
    X, y = numbers()
    openmp = ThreadpoolController().select(user_api="openmp")
    during: list[int] = []

    class Watching(Counting):
        def predict(self, X: Any) -> Any:
            during.extend(library["num_threads"] for library in openmp.info())
            return super().predict(X)

    model = Watching().fit(X, y)
    with openmp.limit(limits=3):
        prediction(model, X)

        assert set(during) == {1}
        assert {library["num_threads"] for library in openmp.info()} == {3}


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_while_predicting_is_no_error() -> None:
    X, y = numbers()

    class Anxious(Counting):
        def predict(self, X: Any) -> Any:
            warnings.warn("be careful", UserWarning, stacklevel=1)
            return super().predict(X)

    model = Anxious().fit(X, y)

    with pytest.warns(UserWarning, match="be careful"):
        assert set(prediction(model, X).values.tolist()) == {1}
