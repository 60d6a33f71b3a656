import json
import math

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from serinus.sklearn.parameters import parameters_of


def test_parameters_of_parts_are_there_by_their_path() -> None:
    parameters = parameters_of(make_pipeline(SimpleImputer(), LogisticRegression(C=0.5)))

    assert parameters["logisticregression__C"] == 0.5
    assert parameters["logisticregression"] == "LogisticRegression"
    assert parameters["simpleimputer__missing_values"] == "nan"


def test_whatever_they_are_they_become_json() -> None:
    model = make_pipeline(
        ColumnTransformer([("logs", FunctionTransformer(np.log1p, kw_args={"where": np.True_}), [0, 1])]),
        LogisticRegression(C=np.float64(2.0), class_weight={0: 1, 1: math.inf}),
    )

    told = json.loads(json.dumps(parameters_of(model), allow_nan=False))

    assert told["columntransformer__logs__func"] == "log1p"
    assert told["columntransformer__logs__kw_args"] == {"where": True}
    assert told["logisticregression__C"] == 2.0
    assert told["logisticregression__class_weight"] == {"0": 1, "1": "inf"}


def test_they_are_bounded() -> None:
    class Wordy:
        def get_params(self, *, deep: bool) -> dict[str, object]:
            return {f"p{number}": "x" * 10_000 for number in range(1000)}

    told = parameters_of(Wordy())

    assert len(json.dumps(told)) < 100_000
    assert told["…"] == 800


def test_what_has_no_parameters_has_none() -> None:
    assert parameters_of(object()) == {}
