import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline, rows_of, signature_of, values_of
from xgboost import XGBClassifier

from serinus.core.errors import FormatRefused, InvalidInput, NotConverted
from serinus.core.records import Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats
from serinus.formats.conversion import TOLERANCE
from serinus.formats.packing import pack, pack_file


class Doubled(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A step of one's own, which no converter knows."""

    def fit(self, X: Any, y: Any = None) -> "Doubled":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X) * 2.0


def filled() -> tuple[pd.DataFrame, Any]:
    X, y = heart()
    return X.fillna(0.0), y


def texts() -> tuple[pd.DataFrame, Any]:
    """Features of which one is text, and none of the texts is missing."""
    X, y = heart_with_strings()
    return X.assign(cp=X["cp"].fillna("unknown")), y


def proof(package: Package) -> Mapping[str, Any]:
    told: Any = package.parameters["onnx"]
    assert isinstance(told, Mapping)
    return told


def inputs(package: Package) -> list[str]:
    return [port.name for port in onnx.load_from_string(package.data).graph.input]


def answers(package: Package, X: pd.DataFrame) -> list[Any]:
    return values_of(Formats().load(package.data, package.format, package.signature).predict(rows_of(X)))


def refused(model: Any, data: Any, **given: Any) -> NotConverted:
    with pytest.raises(NotConverted) as caught:
        pack(model, data, onnx=True, **given)
    return caught.value


# -------------------------------------------------------------------------------------- what is converted


def test_a_pipeline_fitted_on_a_frame_takes_one_matrix_and_answers_every_row_as_before() -> None:
    X, y = heart()
    model = make_pipeline(SimpleImputer(), StandardScaler(), GradientBoostingClassifier(n_estimators=20)).fit(X, y)

    package = pack(model, X.assign(num=y), target="num", onnx=True)

    assert package.format == "onnx"
    assert inputs(package) == ["input"]
    assert package.signature == signature_of(X, model)
    assert len(package.examples) == 8
    assert answers(package, X) == model.predict(X).tolist()


def test_what_was_proved_is_told_with_the_model() -> None:
    X, y = heart()
    model = make_pipeline(SimpleImputer(), LogisticRegression(max_iter=5000)).fit(X, y)

    told = dict(proof(pack(model, X, onnx=True)))

    assert 0 < told.pop("max_difference") < TOLERANCE
    assert told.pop("converter").startswith("skl2onnx ")
    assert told.pop("opset") >= 9
    assert told == {"rows": 303, "class_flips": 0, "tolerance": TOLERANCE, "converted_from": "scikit-learn"}


def test_a_file_is_converted_too_and_its_code_stays_here(tmp_path: Path) -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)
    skops.io.dump(model, tmp_path / "model.skops")
    joblib.dump(model, tmp_path / "model.joblib")

    of_skops = pack_file(tmp_path / "model.skops", X, onnx=True)
    of_joblib = pack_file(tmp_path / "model.joblib", X, onnx=True, allow_pickle=True)

    assert [proof(each)["converted_from"] for each in (of_skops, of_joblib)] == ["skops", "joblib"]
    assert answers(of_joblib, X) == model.predict(X).tolist()


@pytest.mark.parametrize(
    "model", [HistGradientBoostingClassifier(max_iter=10), HistGradientBoostingRegressor(max_iter=10)]
)
def test_histogram_boosting_keeps_its_own_way_with_missing_values(model: Any) -> None:
    X, y = heart()

    package = pack(model.fit(X, y), X, onnx=True)

    assert any(feature.nullable for feature in package.signature.features)
    assert np.allclose(answers(package, X), model.predict(X), rtol=1e-4)


@pytest.mark.parametrize(
    "model",
    [LinearRegression(), RandomForestRegressor(5), GradientBoostingRegressor(n_estimators=5)],
    ids=lambda model: type(model).__name__,
)
def test_a_regressors_numbers_are_compared_relative_to_their_size(model: Any) -> None:
    X, y = filled()
    fitted = model.fit(X, y * 1e6 + X["chol"])

    told = proof(pack(fitted, X, onnx=True))

    assert told["max_relative_difference"] < TOLERANCE
    assert "class_flips" not in told


@pytest.mark.parametrize("whole", [OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()], ids=["onehot", "ordinal"])
def test_text_and_categories_are_inputs_by_their_names(whole: Any) -> None:
    X, y = texts()
    columns = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["cp"]),
            ("codes", whole, ["slope"]),
            ("numbers", StandardScaler(), ["age", "oldpeak", "sex"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=3000)).fit(X, y)

    package = pack(model, X, onnx=True)

    assert inputs(package) == list(X.columns)
    assert answers(package, X) == model.predict(X).tolist()


@pytest.mark.parametrize(
    "names", [["größe cm", "a/b", "a b", "a_b"], ["variable", "label", "probabilities", "input"]], ids=["odd", "taken"]
)
def test_features_keep_their_names_whatever_they_are(names: list[str]) -> None:
    X, y = filled()
    X = X[["age", "chol", "thalach", "oldpeak"]].set_axis(names, axis=1)
    columns = ColumnTransformer([("some", StandardScaler(), names[:2])], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression(max_iter=3000)).fit(X, y)

    package = pack(model, X, onnx=True)

    assert inputs(package) == names
    assert answers(package, X) == model.predict(X).tolist()


def test_a_model_fitted_on_an_array_takes_a_matrix() -> None:
    X, y = filled()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X.to_numpy(), y)

    package = pack(model, X.to_numpy(), onnx=True)

    assert inputs(package) == ["input"]
    assert answers(package, X) == model.predict(X.to_numpy()).tolist()


@pytest.mark.parametrize("labels", [["well", "ill"], [False, True], [1.0, 2.0]], ids=["texts", "bools", "floats"])
def test_classes_stay_what_they_were(labels: list[Any]) -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, np.array(labels)[y])

    assert answers(pack(model, X, onnx=True), X) == model.predict(X).tolist()


@pytest.mark.parametrize(
    "model", [LinearSVC(), KMeans(3, random_state=0), IsolationForest(n_estimators=10, random_state=0)]
)
def test_scores_are_not_taken_for_probabilities(model: Any) -> None:
    X, y = filled()
    model.fit(X, y)

    package = pack(model, X, onnx=True)

    assert Formats().load(package.data, "onnx", package.signature).predict(rows_of(X)).probabilities is None
    assert answers(package, X) == model.predict(X).tolist()
    assert "max_difference" not in proof(package)


def test_rows_that_no_request_can_send_prove_nothing_and_stop_nothing() -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)
    X.loc[5, "oldpeak"] = np.inf

    assert proof(pack(model, X, onnx=True))["rows"] == 302


def test_more_rows_than_are_asked_for_at_once_are_all_compared() -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)

    assert proof(pack(model, pd.concat([X] * 20, ignore_index=True), onnx=True))["rows"] == 6060


# ---------------------------------------------------------------------------------------- what is refused


def seconds() -> tuple[pd.DataFrame, Any]:
    """Times of ten minutes in seconds since 1970, which a float of 32 bits tells apart by two minutes."""
    at = 1.7e9 + np.arange(600.0)
    return pd.DataFrame({"at": at}), (np.arange(600) // 60) % 2


def test_a_threshold_too_fine_for_floats_of_32_bits_is_refused_with_the_rows_that_change_class() -> None:
    X, y = seconds()
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(X, y)

    refusal = refused(model, X)

    flips: Any = refusal.details["class_flips"]
    assert flips > 100
    assert f"{flips} of 600 rows" in refusal.message
    assert refusal.field == "onnx"
    assert "32 bits" in refusal.remedy


def test_no_tolerance_excuses_another_class() -> None:
    X, y = seconds()
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(X, y)

    assert refused(model, X, onnx_tolerance=10.0).details["class_flips"]


def test_a_number_further_away_than_tolerated_is_refused_and_named() -> None:
    X, _ = seconds()
    model = LinearRegression().fit(X, X["at"] - 1.7e9)

    refusal = refused(model, X)

    assert "relative to its size" in refusal.message
    assert "0.0001 is tolerated" in refusal.message
    far: Any = refusal.details["max_relative_difference"]
    assert proof(pack(model, X, onnx=True, onnx_tolerance=far))["tolerance"] == far


def test_a_converter_that_forgets_missing_values_is_found_out() -> None:
    draws = np.random.default_rng(5)
    X = pd.DataFrame({"a": draws.normal(size=400), "b": draws.normal(size=400)})
    X.loc[::3, "a"] = np.nan
    y = (X["a"].isna() | (X["a"] < 0)).astype(int)

    refusal = refused(RandomForestClassifier(5, random_state=0).fit(X, y), X)

    assert refusal.details["class_flips"]
    assert "SimpleImputer" in refusal.remedy


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (FunctionTransformer(lambda X: X + 1.0), "FunctionTransformer"),
        (FunctionTransformer(np.log1p), "FunctionTransformer"),
        (Doubled(), "Doubled"),
    ],
    ids=["lambda", "function", "own-class"],
)
def test_a_step_without_a_converter_is_refused_by_its_name(step: Any, kind: str) -> None:
    X, y = filled()
    inner = ColumnTransformer([("squeeze", step, ["chol"])], remainder="passthrough")
    model = Pipeline([("columns", inner), ("model", LogisticRegression(max_iter=5000))]).fit(X, y)

    refusal = refused(model, X)

    assert f"no converter for columns/squeeze ({kind})" in refusal.message
    assert refusal.details["steps"] == ["columns/squeeze"]


def test_a_step_whose_converter_gives_up_is_named_as_well() -> None:
    X, y = texts()

    refusal = refused(mixed_pipeline().fit(X, y), X)

    assert refusal.details["steps"] == ["columntransformer/strings/simpleimputer"]


def test_a_library_with_a_format_of_its_own_is_told_so() -> None:
    X, y = filled()
    model = XGBClassifier(n_estimators=2).fit(X, y)

    with pytest.raises(FormatRefused, match="xgboost is no scikit-learn estimator"):
        pack(model, X, onnx=True)
    assert refused(make_pipeline(StandardScaler(), model).fit(X, y), X).details["steps"] == ["xgbclassifier"]


def test_without_rows_nothing_can_be_proved() -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)

    refusal = refused(model, None, signature=signature_of(X, model))

    assert "nothing can be proved" in refusal.message
    assert "example rows" in refusal.remedy


def test_a_feature_that_may_be_missing_has_to_be_missing_in_a_row() -> None:
    X, y = filled()
    model = make_pipeline(SimpleImputer(), LogisticRegression(max_iter=5000)).fit(X, y)
    known = signature_of(X, model)
    told = Signature((Feature("age", Dtype.INT, nullable=True), *known.features[1:]), known.output)

    refusal = refused(model, X, signature=told)

    assert "age may be missing, and is in none of the 303 rows" in refusal.message


def test_text_that_may_be_missing_is_refused() -> None:
    X, y = heart_with_strings()

    refusal = refused(mixed_pipeline().fit(X, y), X)

    assert refusal.field == "signature.features.cp"


def test_a_model_of_several_outputs_is_refused() -> None:
    X, y = filled()

    assert "shape (303, 2)" in refused(LinearRegression().fit(X, np.c_[y, y]), X).message


def test_data_that_the_model_itself_does_not_answer_is_the_callers_error() -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)
    X.loc[3, "age"] = np.nan

    assert refused(model, X).field == "data"


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    X, y = filled()

    with pytest.raises(InvalidInput) as caught:
        pack(LogisticRegression(max_iter=5000).fit(X, y), X, onnx=True, onnx_tolerance=tolerance)
    assert caught.value.field == "onnx_tolerance"


def test_without_its_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.setattr("serinus.formats.conversion.find_spec", lambda name: None if name == "skl2onnx" else object())

    with pytest.raises(FormatRefused, match=r"serinus\[convert\]"):
        pack(model, X, onnx=True)


def test_a_signature_that_names_other_classes_is_refused() -> None:
    X, y = filled()
    model = LogisticRegression(max_iter=5000).fit(X, y)
    told = Signature(signature_of(X, model).features, Output(OutputKind.CLASS, ("a", "b")))

    assert "none of its classes" in refused(model, X, signature=told).message
