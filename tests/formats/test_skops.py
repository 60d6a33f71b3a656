import importlib
import io
import json
import warnings
import zipfile
from typing import Any, cast

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes IterativeImputer importable
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tests.formats.samples import heart, heart_with_strings, rows_of, signature_of

from serinus.core.errors import FormatRefused
from serinus.formats import Formats
from serinus.formats.trust import TRUSTED_TYPES

CLASSIFIERS: dict[str, Any] = {
    "ada_boost": AdaBoostClassifier(n_estimators=5),
    "bagging": BaggingClassifier(n_estimators=3, max_features=0.5),
    "calibrated_isotonic": CalibratedClassifierCV(RandomForestClassifier(5), method="isotonic", cv=2),
    "calibrated_sigmoid": CalibratedClassifierCV(GaussianNB(), cv=2),
    "calibrated_temperature": CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2),
    "decision_tree": DecisionTreeClassifier(ccp_alpha=0.005),
    "extra_trees": ExtraTreesClassifier(5),
    "fixed_threshold": FixedThresholdClassifier(GaussianNB(), threshold=0.2),
    "gaussian_process": GaussianProcessClassifier(),
    "gradient_boosting": GradientBoostingClassifier(n_estimators=5),
    "grid_search": GridSearchCV(RandomForestClassifier(5), {"max_depth": [2, 3]}, cv=2),
    "hist_gradient_boosting": HistGradientBoostingClassifier(max_iter=5),
    "neighbours": KNeighborsClassifier(),
    "neighbours_ball_tree": KNeighborsClassifier(algorithm="ball_tree", p=1),
    "neighbours_brute": KNeighborsClassifier(algorithm="brute"),
    "neural_network": MLPClassifier((4,), max_iter=800, tol=0.05, random_state=0),
    "one_sided": SGDClassifier(random_state=0),
    "random_forest": RandomForestClassifier(5, max_leaf_nodes=8),
    "stacking": StackingClassifier([("a", GaussianNB()), ("b", RandomForestClassifier(5))], cv=2),
    "support_vectors": SVC(),
    "tuned_threshold": TunedThresholdClassifierCV(GaussianNB(), cv=2),
    "voting": VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())], voting="soft"),
}
REGRESSORS: dict[str, Any] = {
    "hist_gradient_boosting": HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
    "linear": LinearRegression(),
    "poisson": PoissonRegressor(max_iter=1000),
    "random_forest": RandomForestRegressor(5, n_jobs=-1),
    "ridge_of_log": TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    "tweedie": TweedieRegressor(power=1.5, link="log", max_iter=1000),
}
PREPROCESSING: dict[str, Any] = {
    "bins": make_pipeline(SimpleImputer(), KBinsDiscretizer(3, strategy="uniform")),
    "indicator": SimpleImputer(add_indicator=True),
    "iterative": IterativeImputer(max_iter=3, tol=1e9),
    "nearest": KNNImputer(),
    "selected": make_pipeline(SimpleImputer(), SelectKBest(k=5)),
    "ufunc": make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)),
}


class Doubler(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A transformer of one's own."""

    def fit(self, X: Any, y: Any = None) -> "Doubler":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X * 2


def own_function(X: Any) -> Any:
    return X


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def load(model: Any, X: Any, formats: Formats | None = None) -> Any:
    return (formats or Formats()).load(skops.io.dumps(model), "skops", signature_of(X, model))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scikit_learns_classifiers_load_and_answer_as_they_did(name: str) -> None:
    X, y = heart()
    X = X.drop(columns=["ca", "thal"])
    model = scaled(CLASSIFIERS[name]).fit(X, y)

    raw = load(model, X).predict(rows_of(X))

    assert (raw.values == model.predict(X)).all()
    if hasattr(model, "predict_proba"):
        assert np.allclose(raw.probabilities, model.predict_proba(X), rtol=1e-9)
    else:
        assert raw.probabilities is None


@pytest.mark.parametrize("name", REGRESSORS)
def test_scikit_learns_regressors_load_and_answer_as_they_did(name: str) -> None:
    X, _ = heart()
    X = X.drop(columns=["ca", "thal"])
    model = scaled(REGRESSORS[name]).fit(X, X["chol"])

    raw = load(model, X).predict(rows_of(X))

    assert raw.probabilities is None
    assert np.allclose(raw.values, model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("name", PREPROCESSING)
def test_scikit_learns_preprocessing_loads_and_answers_as_it_did(name: str) -> None:
    X, y = heart()
    model = make_pipeline(PREPROCESSING[name], DecisionTreeClassifier(max_depth=4)).fit(X, y)

    raw = load(model, X).predict(rows_of(X))

    assert np.array_equal(raw.probabilities, model.predict_proba(X))


def test_columns_selected_by_type_load() -> None:
    X, y = heart_with_strings()
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), make_column_selector(dtype_include=["number", "bool"])),
            ("strings", OneHotEncoder(), make_column_selector(dtype_exclude=["number", "bool"])),
        ]
    )
    model = make_pipeline(columns, DecisionTreeClassifier(max_depth=4)).fit(X, y)

    assert np.array_equal(load(model, X).predict(rows_of(X)).probabilities, model.predict_proba(X))


def test_an_outlier_detector_loads() -> None:
    X, _ = heart()
    X = X.drop(columns=["ca", "thal"])
    model = IsolationForest(n_estimators=5).fit(X)

    assert (load(model, X).predict(rows_of(X)).values == model.predict(X)).all()


@pytest.mark.parametrize("transformer", [Doubler(), FunctionTransformer(own_function)], ids=["type", "function"])
def test_types_and_functions_of_ones_own_are_refused_by_name_with_the_setting(transformer: Any) -> None:
    X, y = heart()
    model = make_pipeline(SimpleImputer(), transformer, GaussianNB()).fit(X, y)

    with pytest.raises(FormatRefused) as refused:
        load(model, X)

    [name] = cast("list[str]", refused.value.details["untrusted"])
    assert name.endswith(("test_skops.Doubler", "test_skops.own_function"))
    assert f"SERINUS_TRUSTED_TYPES={name}" in refused.value.remedy


@pytest.mark.parametrize("name", sorted(TRUSTED_TYPES))
def test_every_type_that_is_trusted_is_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")

    assert hasattr(importlib.import_module(module), attribute)


def test_a_numpy_function_that_is_no_ufunc_is_not_trusted_blindly() -> None:
    X, y = heart()
    model = make_pipeline(FunctionTransformer(np.nan_to_num), GaussianNB()).fit(X, y)

    with pytest.raises(FormatRefused, match=r"numpy\.nan_to_num"):
        load(model, X)


def test_a_type_that_the_operator_trusts_loads() -> None:
    X, y = heart()
    model = make_pipeline(SimpleImputer(), Doubler(), GaussianNB()).fit(X, y)
    trusting = Formats(trusted_types={f"{Doubler.__module__}.Doubler"})

    assert (load(model, X, trusting).predict(rows_of(X)).values == model.predict(X)).all()


def test_a_model_loads_without_a_warning() -> None:
    X, y = heart()
    model = make_pipeline(SimpleImputer(), RandomForestClassifier(5)).fit(X, y)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        load(model, X).predict(rows_of(X))

    assert seen == []


def with_first_tree_edited(data: bytes, field: str, value: int) -> bytes:
    """Give a skops file in which the first array of tree nodes has ``value`` in the ``field`` of its first node."""
    edited = io.BytesIO()
    todo = True
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".npy") and todo:
                array = np.load(io.BytesIO(content))
                if field in (array.dtype.names or ()):
                    array[field][0] = value
                    file = io.BytesIO()
                    np.save(file, array)
                    content, todo = file.getvalue(), False
            new.writestr(name, content)
    assert not todo
    return edited.getvalue()


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (DecisionTreeClassifier(), "left_child", 10**6),
        (DecisionTreeClassifier(), "right_child", -7),
        (DecisionTreeClassifier(), "left_child", 0),
        (RandomForestClassifier(3), "feature", 13),
        (GradientBoostingClassifier(n_estimators=2), "feature", -1),
        (HistGradientBoostingClassifier(max_iter=2), "left", 10**6),
        (HistGradientBoostingClassifier(max_iter=2), "feature_idx", 13),
        (KNeighborsClassifier(algorithm="kd_tree", leaf_size=5), "idx_end", 10**6),
        (KNeighborsClassifier(algorithm="ball_tree", leaf_size=5), "idx_start", -1),
    ],
)
def test_a_tree_that_points_outside_its_arrays_is_refused(model: Any, field: str, value: int) -> None:
    X, y = heart()
    X = X.fillna(0.0)
    fitted = model.fit(X, y)
    data = with_first_tree_edited(skops.io.dumps(fitted), field, value)

    with pytest.raises(FormatRefused, match="out of bounds"):
        Formats().load(data, "skops", signature_of(X, fitted))


def test_a_forest_whose_trees_take_more_features_than_it_checks_is_refused() -> None:
    X, y = heart()
    X = X.fillna(0.0)
    forest = RandomForestClassifier(3).fit(X, y)
    forest.estimators_[1] = RandomForestClassifier(1).fit(X.assign(more=1.0), y).estimators_[0]

    with pytest.raises(FormatRefused, match="number of features"):
        load(forest, X)


def test_a_schema_that_names_a_function_of_the_system_is_refused() -> None:
    X, y = heart()
    model = make_pipeline(FunctionTransformer(np.log1p), GaussianNB()).fit(X.fillna(0.0), y)
    edited = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "schema.json":
                schema = json.loads(text)
                text = json.dumps(schema).replace('"log1p"', '"system"').encode()
                text = text.replace(
                    b'"__class__": "system", "__module__": "numpy"', b'"__class__": "system", "__module__": "os"'
                )
                assert b'"__module__": "os"' in text
            new.writestr(name, text)

    with pytest.raises(FormatRefused, match=r"os\.system"):
        Formats().load(edited.getvalue(), "skops", signature_of(X, model))
