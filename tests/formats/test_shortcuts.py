"""What is spared changes nothing but the time it takes: the same answers, the same errors."""

from collections.abc import Callable
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from sklearn import get_config
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tests.formats.samples import signature_of

from serinus.formats import shortcuts
from serinus.formats.estimators import EstimatorModel

_RANDOM = np.random.default_rng(7)
X = _RANDOM.normal(size=(80, 4))
X[:, 3] *= 1e-30  # a scaler makes much of a little in it
CLASSES, NUMBERS = (X[:, 0] + X[:, 1] > 0).astype(int), X[:, 0] - 2.0 * X[:, 2]
PIPELINES = [
    make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=5, random_state=0)),
    make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    make_pipeline(RobustScaler(), PCA(3), RandomForestClassifier(5, random_state=0)),
    make_pipeline(MinMaxScaler(), DecisionTreeClassifier(random_state=0)),
    make_pipeline(StandardScaler().set_output(transform="pandas"), DecisionTreeClassifier(random_state=0)),
    make_pipeline(StandardScaler(copy=False), LogisticRegression()),
    make_pipeline(
        MinMaxScaler(copy=False),
        SimpleImputer(strategy="constant", missing_values=0.0, fill_value=np.nan, copy=False, keep_empty_features=True),
        DecisionTreeClassifier(random_state=0),
    ),
    make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
    make_pipeline(
        StandardScaler(),
        GradientBoostingClassifier(
            n_estimators=3, random_state=0, init=make_pipeline(FunctionTransformer(np.exp), LogisticRegression())
        ),
    ),
    make_pipeline(StandardScaler(), Ridge()),
    GradientBoostingRegressor(n_estimators=5, random_state=0),
]
ODD = [0.0, -0.0, 1e-300, 5e37, 1e38, -1e38, 3.5e38, 1e39, -1e300, 1.7e308, np.inf, -np.inf, np.nan]


def outcome(call: Callable[[Any], Any], row: Any) -> Any:
    """Give what came of it: the answer, or the kind of the error and what it says."""
    try:
        return call(row.copy()).tolist()
    except Exception as failure:  # noqa: BLE001 - whatever it is, it has to be the same
        return type(failure).__name__, str(failure)


@pytest.mark.filterwarnings("ignore")  # overflows, and names of columns that lack
@pytest.mark.parametrize("model", PIPELINES, ids=str)
def test_whatever_the_row_the_outcome_is_that_of_the_model_itself(model: Any) -> None:
    classifies = hasattr(model, "predict_proba")
    fitted = model.fit(np.abs(X), CLASSES if classifies else NUMBERS)
    loaded = EstimatorModel(fitted, signature_of(pd.DataFrame(X, columns=list("abcd")), fitted))

    def predicted(row: Any) -> Any:
        raw = loaded.predict(row)
        return raw.values  # noqa: PD011 - it is no data frame

    rows = [X[place : place + 1] for place in range(5)]
    for odd in ODD:
        for place in range(4):
            row = X[:1].copy()
            row[0, place] = odd
            rows.append(row)
    rows.append(np.vstack([X[:3], [[1e39, 0.0, 0.0, 0.0]]]))

    for row in rows:
        own, ours = outcome(fitted.predict, row), outcome(predicted, row)
        if isinstance(own, tuple) and own[0] == ours[0]:
            own = ours  # predict or predict_proba: which of them complains differs
        assert ours == own, row


def test_an_ordinary_row_is_not_looked_through_and_any_other_is() -> None:
    seen: list[bool] = []

    class Seeing(StandardScaler):  # type: ignore[misc]  # scikit-learn has no types
        def transform(self, X: Any, copy: Any = None) -> Any:
            seen.append(get_config()["assume_finite"])
            return super().transform(X, copy)

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, CLASSES)
    loaded = EstimatorModel(model, signature_of(pd.DataFrame(X, columns=list("abcd")), model))
    watching = Seeing().fit(X)
    loaded._transformers = [watching]  # as is known of the scaler that it is

    loaded.predict(X[:1])
    assert seen == [True]
    assert not get_config()["assume_finite"]
    with pytest.raises(ValueError, match="NaN"):
        loaded.predict(np.full((1, 4), np.nan))
    assert seen == [True, False]


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
        make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
        make_pipeline(make_pipeline(FunctionTransformer(), StandardScaler()), LogisticRegression()),
    ],
)
def test_steps_of_which_it_is_not_known_look_for_themselves(model: Pipeline) -> None:
    fitted = model.fit(np.abs(X), CLASSES)
    *before, final = [step for _, step in fitted.steps]

    assert not shortcuts.look_only_at_what_they_are_given(before, final)


def test_what_is_a_data_frame_is_found_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("is_into_dataframe", "is_into_series")
    for name in names:  # to be as they were afterwards
        monkeypatch.setattr(nw.dependencies, name, getattr(nw.dependencies, name))

    class Framelike(np.ndarray[Any, Any]):
        __narwhals_dataframe__ = None

    frame, series, array = pd.DataFrame({"a": [1]}), pd.Series([1]), np.zeros((1, 1))
    things = [frame, series, array, array.view(Framelike), [1], None]
    before = [[getattr(nw.dependencies, name)(each) for each in things] for name in names]

    shortcuts.take_arrays_for_arrays()
    shortcuts.take_arrays_for_arrays()

    assert [[getattr(nw.dependencies, name)(each) for each in things] for name in names] == before
    assert before == [[True, False, False, True, False, False], [False, True, False, False, False, False]]
    assert not hasattr(vars(nw.dependencies.is_into_dataframe)["__wrapped__"], "__wrapped__"), "once is enough"
    assert nw.dependencies.is_into_dataframe(native_dataframe=frame)
