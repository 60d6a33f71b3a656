"""From a model's raw output to answers; whatever cannot be an answer is a model error."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import BadOutput
from serinus.core.signature import Output, OutputKind, Scalar

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of one row may add up to."""


@dataclass(frozen=True, slots=True)
class RawOutput:
    """What a model gave for n rows: ``values`` of shape (n,), and for classes ``probabilities`` of shape (n, k)."""

    values: NDArray[np.generic]
    probabilities: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One prediction: a class with its name and probability (if the model gives one), or a number."""

    prediction: Scalar
    prediction_class: str | None = None
    confidence: float | None = None


def read_answers(raw: RawOutput, output: Output, rows: int) -> list[Answer]:
    """Read one answer per row; BadOutput for NaN, infinity, a wrong shape, or a value that is no prediction."""
    values = np.asarray(raw.values)
    if values.shape != (rows,):
        raise BadOutput(f"The model answered with shape {values.shape} for {rows} row(s).")
    confidences = _confidences(raw.probabilities, rows)
    return [
        _answer(value, confidence, output)
        for value, confidence in zip(values.tolist(), confidences, strict=True)
    ]


def _confidences(probabilities: NDArray[np.floating] | None, rows: int) -> list[float | None]:
    if probabilities is None:
        return [None] * rows
    table = np.asarray(probabilities)
    if table.ndim != 2 or len(table) != rows or table.shape[1] == 0:
        raise BadOutput(f"The model's probabilities have shape {table.shape} for {rows} row(s).")
    if not np.issubdtype(table.dtype, np.floating) or not np.isfinite(table).all():
        raise BadOutput("The model's probabilities are not finite numbers.")
    if table.min() < -SUM_TOLERANCE or (abs(table.sum(axis=1) - 1.0) > SUM_TOLERANCE).any():
        raise BadOutput("The model's probabilities do not add up to 1.")
    return [min(1.0, float(p)) for p in table.max(axis=1)]


def _answer(value: object, confidence: float | None, output: Output) -> Answer:
    if not isinstance(value, bool | int | float | str):
        raise BadOutput(f"The model answered with a {type(value).__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadOutput(f"The model answered {value}.")
    if output.kind is OutputKind.NUMBER:
        if isinstance(value, bool | str):
            raise BadOutput(f"The model answered {str(value)[:80]!r} where a number is expected.")
        return Answer(float(value))
    if output.classes and value not in output.classes:
        raise BadOutput(f"The model answered {str(value)[:80]!r}, which is none of its classes.")
    name = output.class_names[output.classes.index(value)] if output.class_names else str(value)
    return Answer(value, name, confidence)
