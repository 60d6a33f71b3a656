import json

import numpy as np
import pandas as pd
import pytest

from serinus.client import calls
from serinus.client.values import json_values
from serinus.core.errors import InvalidInput


def test_what_numpy_and_pandas_give_becomes_json() -> None:
    values = {
        "a": np.int64(3),
        "b": np.float32(0.5),
        "c": np.array([True])[0],
        "d": np.array([1, 2]),
        "e": {"f": (1, "x")},
    }

    assert json.dumps(json_values(values, "parameters")) == (
        '{"a": 3, "b": 0.5, "c": true, "d": [1, 2], "e": {"f": [1, "x"]}}'
    )


def test_a_feature_that_pandas_calls_missing_is_sent_as_missing() -> None:
    call = calls.predict("prod", {"age": np.float64("nan"), "sex": float("nan"), "cp": 1})

    assert call.json == {"features": {"age": None, "sex": None, "cp": 1}}


def test_every_missing_value_of_a_table_is_sent_as_missing() -> None:
    table = pd.DataFrame({"age": pd.array([63, None], dtype="Int64"), "seen": [pd.Timestamp("2026-03-01"), pd.NaT]})

    (_, row) = [dict(zip(table.columns, values, strict=True)) for values in table.itertuples(index=False, name=None)]

    assert json_values(row, "features", missing=True) == {"age": None, "seen": None}


@pytest.mark.parametrize(
    "value", [float("inf"), -np.inf, float("nan"), {"deep": [1, float("nan")]}, b"0.9", pd.Timestamp("2026-03-01"), {1}]
)
def test_what_json_cannot_say_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput) as raised:
        json_values({"auc": value}, "metrics")

    assert raised.value.field.startswith("metrics.auc")
