"""The heart data as a DataFrame, its signature, and models fitted on it."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import serinus
from serinus.core.answers import RawOutput
from serinus.core.signature import Row, Signature
from serinus.formats.signatures import infer_signature

HEART_FILE = Path(serinus.__file__).parent / "examples" / "heart_disease" / "heart_cleveland.csv"
CHEST_PAINS = {1: "typical", 2: "atypical", 3: "non-anginal", 4: "none"}


@cache
def _heart() -> pd.DataFrame:
    return pd.read_csv(HEART_FILE)


def heart() -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Give the 13 features, with missing values in ca and thal, and the target."""
    data = _heart().copy()
    return data.drop(columns="num"), data["num"]


def heart_with_strings() -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Give the data with chest pain as a string that is missing now and then, and sex as a bool."""
    features, target = heart()
    features["cp"] = features["cp"].map(CHEST_PAINS).where(features.index % 17 != 3)
    features["sex"] = features["sex"] == 1
    return features, target


def mixed_pipeline() -> Any:
    """Make an unfitted pipeline that takes strings, bools and missing values."""
    numbers = [
        *["age", "sex", "trestbps", "chol", "fbs", "restecg"],
        *["thalach", "exang", "oldpeak", "slope", "ca", "thal"],
    ]
    strings = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers), ("strings", strings, ["cp"])]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


def signature_of(data: object, model: object) -> Signature:
    return infer_signature(data, model)


def values_of(raw: RawOutput) -> list[Any]:
    values: list[Any] = raw.values.tolist()  # noqa: PD011 - it is no frame
    return values


def rows_of(data: "pd.DataFrame | np.ndarray[Any, Any]") -> list[Row]:
    """Give the rows as they come from a request: plain values, None where one is missing."""
    frame = pd.DataFrame(data)
    return [
        [None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value for value in row]
        for row in frame.astype(object).itertuples(index=False)
    ]
