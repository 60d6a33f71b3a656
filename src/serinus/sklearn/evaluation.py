"""How good a fitted model is on data that it was not fitted on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import InvalidInput
from serinus.core.features import shown
from serinus.sklearn.digests import is_missing

_LEAST_FOR_R2 = 2


class Metrics(dict[str, float]):
    """Finite numbers by name; ``left_out`` says by name why another one could not be computed."""

    def __init__(self, *values: Any, **named: float) -> None:
        super().__init__(*values, **named)
        self.left_out: dict[str, str] = {}


def evaluate_model(model: Any, X: Any, y: Any) -> Metrics:
    """Measure a fitted model against the truth.

    A classifier is given ``accuracy``; ``f1``, ``precision`` and ``recall`` as means over the classes, weighted by how
    often each is true (0 where a class was never predicted); and ``roc_auc``, of several classes the plain mean of each
    against the others. ``roc_auc`` is left out where the model gives no probabilities or ``y`` lacks a class. A
    regressor is given ``mae``, ``rmse`` and ``r2``, the last unless ``y`` is always the same.

    Args:
        model: anything with ``predict``; a classifier if it has ``classes_``.
        X: what it takes. y: the truth, of shape (rows,) or (rows, 1).

    Raises:
        InvalidInput: there is nothing to measure on, or ``y`` is of another shape or kind, or has missing values.
    """
    truth = _truth(y)
    predicted = _column(model.predict(X), "predict(X)")
    if len(predicted) != len(truth):
        raise InvalidInput(
            f"The model gave {len(predicted)} predictions for {len(truth)} values of y.",
            field="y",
            remedy="Give X and y of the same rows.",
        )
    classes = getattr(model, "classes_", None)
    try:
        return _of_numbers(truth, predicted) if classes is None else _of_classes(model, X, truth, predicted)
    except (ValueError, TypeError) as wrong:  # numbers compared with names, for instance
        raise InvalidInput(
            f"y cannot be compared with what the model predicts: {wrong}",
            field="y",
            remedy="Give the truth as what the model was fitted on has it: numbers or names.",
        ) from wrong


def _of_classes(model: Any, X: Any, truth: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="weighted", zero_division=0)
    metrics = Metrics(
        accuracy=float(accuracy_score(truth, predicted)), f1=float(f1), precision=float(precision), recall=float(recall)
    )
    try:
        metrics["roc_auc"] = _roc_auc(model, X, truth)
    except _LeftOut as why:
        metrics.left_out["roc_auc"] = str(why)
    return metrics


def _of_numbers(truth: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    metrics = Metrics(
        mae=float(mean_absolute_error(truth, predicted)), rmse=float(root_mean_squared_error(truth, predicted))
    )
    if len(truth) < _LEAST_FOR_R2 or bool((truth == truth[0]).all()):
        metrics.left_out["r2"] = "y is always the same"
    else:
        metrics["r2"] = float(r2_score(truth, predicted))
    return metrics


class _LeftOut(Exception):
    """Why a metric cannot be computed."""


def _roc_auc(model: Any, X: Any, truth: NDArray[Any]) -> float:
    from sklearn.metrics import roc_auc_score

    if not callable(getattr(model, "predict_proba", None)):
        raise _LeftOut("the model gives no probabilities")
    classes = np.asarray(model.classes_)
    known, present = classes.tolist(), set(np.unique(truth).tolist())
    strange, missing = sorted(map(str, present.difference(known))), [each for each in known if each not in present]
    if strange:
        raise _LeftOut(f"y has classes that the model does not know: {shown(strange)}")
    if missing:
        raise _LeftOut(f"y has no case of {shown(missing)}")
    if len(known) == 1:
        raise _LeftOut("there is one class alone")
    chances = np.asarray(model.predict_proba(X))
    if not np.isfinite(chances).all():
        raise _LeftOut("not all probabilities are finite")
    if len(known) == 2:  # noqa: PLR2004 - the second class against the first
        return float(roc_auc_score(truth == classes[1], chances[:, 1]))
    each = [roc_auc_score(truth == label, chances[:, place]) for place, label in enumerate(classes)]
    return float(np.mean(each))


def _truth(y: Any) -> NDArray[Any]:
    truth = _column(y, "y")
    if not len(truth):
        raise InvalidInput("There is no row to evaluate the model on.", field="y", remedy="Give validation data.")
    missing = sum(map(is_missing, truth.tolist()))
    if missing:
        raise InvalidInput(f"y has {missing} missing values.", field="y", remedy="Leave out rows without a label.")
    return np.array(truth.tolist()) if truth.dtype == object else truth


def _column(values: Any, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004 - rows and one column
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidInput(
            f"{name} is of shape {array.shape}, not one value for each row.",
            field=name,
            remedy="Evaluate each output by itself.",
        )
    return array
