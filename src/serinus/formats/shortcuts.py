"""What scikit-learn looks for in every array, each time it is asked, spared where it is known not to be there.

A prediction of one row takes half a millisecond, and most of that is looking: whether the array is a data frame of
some library, and whether all of it is finite, at each step anew.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import numpy as np

from serinus.formats.structure import estimators

_ORDINARY_BELOW = 1e38
"""What is smaller is finite, as float32 too: trees look at that (its largest is 3.4e38)."""


def take_arrays_for_arrays() -> None:
    """Let narwhals, by which scikit-learn finds data frames, say of a NumPy array at once that it is none.

    It would look for a dozen attributes in all of the array's classes, to the same end: a third of the time that one
    row takes. It is for a process of a model's own: narwhals is changed for all who use it there.
    """
    module = sys.modules.get("narwhals.stable.v2.dependencies")
    for name in ("is_into_dataframe", "is_into_series"):
        looks = getattr(module, name, None)
        if callable(looks) and not hasattr(looks, "__wrapped__"):
            setattr(module, name, _unless_array(looks))


def _unless_array(looks: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(looks)
    def answer(*given: Any, **named: Any) -> bool:
        return not (len(given) == 1 and type(given[0]) is np.ndarray) and looks(*given, **named)

    return answer


def is_ordinary(X: Any) -> bool:
    """Say whether something is an array of floats that are finite, and stay so as float32."""
    return (
        type(X) is np.ndarray
        and X.dtype.kind == "f"
        and X.size > 0
        and bool(X.max() < _ORDINARY_BELOW)  # both are NaN where any is
        and bool(X.min() > -_ORDINARY_BELOW)
    )


def look_only_at_what_they_are_given(transformers: Sequence[Any], final: object) -> bool:
    """Say whether each step is known to look whether its own input is finite, and at nothing that it makes of that.

    So it does the same with an ordinary array whether it looks or not. What has other estimators within does not
    count: they look at what they are given in between. Nor does what writes into the array, which may be needed again.
    """
    if not estimators():
        return False
    known = _transformers()
    return (
        type(final) in _finals()
        and type(getattr(final, "init_", "zero")) in _beginnings()
        and all(
            type(each) in known and "_sklearn_output_config" not in vars(each) and getattr(each, "copy", True)
            for each in transformers
        )
    )


def without_looking() -> AbstractContextManager[None]:
    """Have scikit-learn take it as given, as long as the context lasts, that what it gets is finite."""
    from sklearn import config_context

    context: AbstractContextManager[None] = config_context(assume_finite=True)
    return context


def _transformers() -> set[type[Any]]:
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    return {MaxAbsScaler, MinMaxScaler, PCA, RobustScaler, SimpleImputer, StandardScaler}


def _beginnings() -> set[type[Any]]:
    """Give what boosting may begin with: it may be any estimator."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return {DummyClassifier, DummyRegressor, str}


def _finals() -> set[type[Any]]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    return {
        DecisionTreeClassifier,
        DecisionTreeRegressor,
        ElasticNet,
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        Lasso,
        LinearRegression,
        LogisticRegression,
        RandomForestClassifier,
        RandomForestRegressor,
        Ridge,
    }
