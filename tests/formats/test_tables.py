from copy import deepcopy
from typing import Any, cast

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline, rows_of, signature_of, values_of

from serinus.core.errors import FormatRefused
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats.estimators import EstimatorModel
from serinus.formats.tables import table_for


def encoder_pipeline(encoder: Any) -> Any:
    columns = ColumnTransformer([("strings", encoder, ["cp"])], remainder=SimpleImputer())
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5))


def assert_parity(model: Any, X: Any) -> None:
    """All at once, and each of some rows alone, the model answers as on its training data."""
    loaded = EstimatorModel(deepcopy(model), signature_of(X, model))
    rows, expected = rows_of(X), model.predict_proba(X)
    some = [place for place, row in enumerate(rows) if None in row or place % 30 == 0]

    together = loaded.predict(rows)
    alone = [loaded.predict([rows[place]]) for place in some]

    assert values_of(together) == model.predict(X).tolist()
    assert [values_of(raw)[0] for raw in alone] == model.predict(X)[some].tolist()
    # The layout of a table in memory changes the order of a sum, and so its last digit.
    assert np.allclose(cast("Any", together.probabilities), expected, rtol=1e-9)
    assert np.allclose([cast("Any", raw.probabilities)[0] for raw in alone], expected[some], rtol=1e-9)


def test_strings_bools_ints_and_missing_values_arrive_as_in_training() -> None:
    X, y = heart_with_strings()

    assert_parity(mixed_pipeline().fit(X, y), X)


def test_a_model_that_takes_missing_numbers_gets_nan() -> None:
    X, y = heart()

    assert_parity(HistGradientBoostingClassifier(max_iter=10).fit(X, y), X)


def as_object_with_none(column: Any) -> Any:
    return column.astype(object).where(column.notna(), None)


@pytest.mark.parametrize(
    "turned",
    [
        lambda cp: cp,
        lambda cp: cp.astype(object),
        as_object_with_none,
        lambda cp: cp.astype("category"),
    ],
    ids=["str", "object_with_nan", "object_with_none", "category"],
)
@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(handle_unknown="ignore", sparse_output=False), OrdinalEncoder()],
    ids=["one_hot", "ordinal"],
)
def test_a_missing_string_is_what_the_encoder_learned(turned: Any, encoder: Any) -> None:
    X, y = heart_with_strings()
    X["cp"] = turned(X["cp"])

    assert_parity(encoder_pipeline(encoder).fit(X, y), X)


def test_a_missing_string_is_none_for_an_imputer_of_none() -> None:
    X, y = heart_with_strings()
    X["cp"] = as_object_with_none(X["cp"])
    strings = make_pipeline(
        SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder(sparse_output=False)
    )

    assert_parity(encoder_pipeline(strings).fit(X, y), X)


@pytest.mark.parametrize("name", ["restecg", "fbs"])
def test_pandas_nullable_types_arrive_as_floats_with_nan(name: str) -> None:
    X, y = heart_with_strings()
    kind: Any = "boolean" if name == "fbs" else "Int64"
    X[name] = X[name].astype(kind).mask(X.index % 11 == 0)

    assert_parity(mixed_pipeline().fit(X, y), X)


def test_ints_that_are_categories_are_found() -> None:
    X, y = heart()
    columns = ColumnTransformer([("codes", OneHotEncoder(), ["cp", "slope"])])

    assert_parity(make_pipeline(columns, LogisticRegression()).fit(X, y), X)


def test_categories_that_boosting_takes_itself_are_found() -> None:
    X, y = heart_with_strings()
    X["cp"] = X["cp"].astype("category")

    assert_parity(HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype").fit(X, y), X)


def test_an_array_of_floats_with_nan_arrives_as_an_array() -> None:
    X, y = heart()

    assert_parity(HistGradientBoostingClassifier(max_iter=10).fit(X.to_numpy(), y), X.to_numpy())


def test_an_array_of_ints_arrives_as_ints() -> None:
    X, y = heart()
    codes = X[["cp", "slope", "sex"]].to_numpy()

    assert_parity(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(codes, y), codes)


@pytest.mark.parametrize("dtype", [object, str])
def test_an_array_of_strings_arrives_as_strings(dtype: type) -> None:
    X, y = heart_with_strings()
    codes = X[["cp"]].fillna("unknown").to_numpy(dtype=dtype)

    assert_parity(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(codes, y), codes)


def test_a_pipeline_that_begins_with_nothing_still_gets_its_names() -> None:
    X, y = heart()

    assert_parity(make_pipeline("passthrough", HistGradientBoostingClassifier(max_iter=5)).fit(X, y), X)


def test_a_signature_in_another_order_is_put_into_the_models_order() -> None:
    X, y = heart()
    X = X.fillna(0.0)
    model = GaussianNB().fit(X, y)
    turned = X[list(X.columns[::-1])]
    features = signature_of(X, model).features[::-1]

    loaded = EstimatorModel(deepcopy(model), Signature(features, Output(OutputKind.CLASS, (0, 1))))

    assert values_of(loaded.predict(rows_of(turned))) == model.predict(X).tolist()


def test_a_model_that_makes_floats_of_everything_is_asked_with_an_array_of_them() -> None:
    X, y = heart()
    X = X.fillna(0.0)
    model = DecisionTreeClassifier().fit(X, y)

    table = table_for(model, signature_of(X, model))

    assert table.of_floats
    assert table.of(rows_of(X)).dtype == np.float64
    assert (model.predict(table.of(rows_of(X))) == y).all(), "without a warning that names are missing"


@pytest.mark.parametrize("turned", [lambda X: X, lambda X: X.to_numpy()], ids=["frame", "array"])
def test_a_signature_of_other_features_is_refused(turned: Any) -> None:
    X, y = heart()
    model = GaussianNB().fit(turned(X.fillna(0.0)), y)
    wrong = Signature((Feature("height", Dtype.FLOAT),), Output(OutputKind.CLASS, (0, 1)))

    with pytest.raises(FormatRefused, match="other features") as refused:
        EstimatorModel(model, wrong)

    assert refused.value.field == "signature.features"
