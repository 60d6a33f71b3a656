"""From rows of plain values to the table that a scikit-learn estimator was fitted on: same names, same dtypes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import FormatRefused
from serinus.core.rows import Rows
from serinus.core.signature import Dtype, Feature, Signature
from serinus.formats.structure import parts


@dataclass(frozen=True, slots=True)
class Table:
    """How rows become what an estimator takes: ``of`` makes a DataFrame or an array of shape (rows, features).

    ``of_floats``: an array of floats, whatever the rows hold, so that it may be given in their place.
    """

    of: Callable[[Rows], Any]
    of_floats: bool = False


def table_for(model: object, signature: Signature) -> Table:
    """Choose the table a model wants: a DataFrame if it was fitted on one and looks at its columns, else an array.

    A model that was fitted on a DataFrame and makes floats of all of it is asked with an array: a DataFrame takes
    longer than most models do. It forgets the names of its columns then, or it would warn each time that they lack.

    A missing number, int or bool is NaN in a float column, as pandas has it; a missing string is NaN, or None where
    the model learned None.

    Raises:
        FormatRefused: the model was fitted on other features than those of the signature.
    """
    names = fitted_names(model)
    width = len(names) if names is not None else getattr(model, "n_features_in_", None)
    if (names is not None and set(names) != set(signature.names)) or width not in {
        None,
        len(signature.features),
    }:
        wanted = ", ".join(names) if names is not None else f"{width} features"
        raise FormatRefused(
            f"The model was fitted on other features ({wanted}) than its signature has ({', '.join(signature.names)}).",
            field="signature.features",
            remedy="Give the signature of the data the model was fitted on.",
        )
    missing_string = None if _learned_none(model) else np.nan
    if names is None:
        return _array_table(signature, missing_string)
    if all(f.dtype is not Dtype.STR for f in signature.features) and turns_all_into_floats(model):
        _forget_names(model)
        return _float_array(names, signature)
    return _frame_table(names, signature, missing_string)


def fitted_names(model: object) -> tuple[str, ...] | None:
    """Give the column names a model was fitted on, in that order; None if it was fitted on an array."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        steps = [step for _, step in getattr(model, "steps", ())]
        first = next((step for step in steps if step not in (None, "passthrough")), None)
        names = getattr(first, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def _learned_none(model: object) -> bool:
    for part, _ in parts(model):
        learned = getattr(part, "categories_", None)
        if isinstance(learned, list) and any(None in np.asarray(each, dtype=object) for each in learned):
            return True
        if getattr(part, "missing_values", np.nan) is None:
            return True
    return False


def turns_all_into_floats(model: object) -> bool:
    """Whether no part of the model looks at the dtype of a single column, so that one float table will do."""
    from sklearn.base import BaseEstimator
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    return all(
        type(part).__module__.startswith("sklearn.")
        and not isinstance(part, ColumnTransformer | FunctionTransformer)
        and not hasattr(part, "categories_")
        and not np.any(getattr(part, "is_categorical_", None))
        for part, _ in parts(model)
        if isinstance(part, BaseEstimator)
    )


def _forget_names(model: object) -> None:
    for part, _ in parts(model):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)


def _float_array(names: tuple[str, ...], signature: Signature) -> Table:
    if names == signature.names:
        return Table(lambda rows: np.asarray(rows, dtype=np.float64), of_floats=True)
    order = [signature.names.index(name) for name in names]
    return Table(lambda rows: np.asarray(rows, dtype=np.float64)[:, order], of_floats=True)


def _frame_table(names: tuple[str, ...], signature: Signature, missing_string: float | None) -> Table:
    import pandas as pd

    places = [signature.names.index(name) for name in names]
    features = [signature.features[place] for place in places]

    def column(feature: Feature, values: list[Any]) -> Any:
        if feature.dtype is not Dtype.STR:
            return np.array(values, dtype=_column_dtype(feature))
        # pandas would make strings of an object array; a series keeps None.
        return pd.array(values, dtype="str") if missing_string is not None else pd.Series(values, dtype=object)

    def frame(rows: Rows) -> pd.DataFrame:
        columns = {
            feature.name: column(feature, [row[place] for row in rows])
            for feature, place in zip(features, places, strict=True)
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)), copy=False)

    return Table(frame)


def _array_table(signature: Signature, missing_string: float | None) -> Table:
    dtypes = {_column_dtype(feature) for feature in signature.features}
    dtype: type[np.generic | object] = dtypes.pop() if len(dtypes) == 1 else np.float64
    if any(feature.dtype is Dtype.STR for feature in signature.features):
        dtype = object

    def array(rows: Rows) -> NDArray[Any]:
        if dtype is not object:
            return np.asarray(rows, dtype=dtype)
        return np.array([[missing_string if value is None else value for value in row] for row in rows], dtype=object)

    return Table(array, of_floats=dtype is np.float64)


def _column_dtype(feature: Feature) -> type[np.generic | object]:
    if feature.dtype is Dtype.STR:
        return object
    if feature.dtype is Dtype.FLOAT or feature.nullable:
        return np.float64
    return np.int64 if feature.dtype is Dtype.INT else np.bool_
