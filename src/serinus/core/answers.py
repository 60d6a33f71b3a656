"""From a model's raw output to answers; whatever cannot be an answer is a model error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import BadOutput
from serinus.core.features import Scalar, shown
from serinus.core.signature import Output, OutputKind

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of one row may add up to."""
_KINDS = "biufUTO"
"""numpy's kinds of arrays that can hold answers; an array of times would turn into whole numbers."""
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class RawOutput:
    """What a model gave for n rows: ``values`` of shape (n,), for classes also ``probabilities`` of (n, k)."""

    values: NDArray[np.generic]
    probabilities: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One prediction: a class with its name and probability (if the model gives one), or a number."""

    prediction: Scalar
    prediction_class: str | None = None
    confidence: float | None = None


def read_answers(raw: RawOutput, output: Output, rows: int) -> list[Answer]:
    """Read one answer per row, a class as the signature has it; BadOutput for whatever is no prediction."""
    values = np.asarray(raw.values)
    if values.shape != (rows,):
        raise BadOutput(f"The model answered with shape {values.shape} for {rows} row(s).")
    if values.dtype.kind not in _KINDS:
        raise BadOutput(f"The model answered with values of type {values.dtype}.")
    table = _checked_table(raw.probabilities, rows)
    return [_answer(value, chances, output) for value, chances in zip(values.tolist(), table, strict=True)]


def _checked_table(probabilities: NDArray[np.floating] | None, rows: int) -> list[list[float]]:
    if probabilities is None:
        return [[]] * rows
    table = np.asarray(probabilities)
    if table.ndim != 2 or len(table) != rows or table.shape[1] == 0:  # noqa: PLR2004 rows and columns
        raise BadOutput(f"The model's probabilities have shape {table.shape} for {rows} row(s).")
    if table.dtype.kind != "f" or not ((table >= -SUM_TOLERANCE) & (table <= 1 + SUM_TOLERANCE)).all():
        raise BadOutput("The model's probabilities are not all numbers from 0 to 1.")
    if (abs(table.sum(axis=1) - 1.0) > SUM_TOLERANCE).any():
        raise BadOutput("The model's probabilities do not add up to 1.")
    chances: list[list[float]] = table.clip(0.0, 1.0).tolist()
    return chances


def _answer(value: object, chances: list[float], output: Output) -> Answer:
    if isinstance(value, np.generic):  # from an array of objects
        value = value.item()
    if not isinstance(value, bool | int | float | str):
        raise BadOutput(f"The model answered with a {type(value).__name__}.")
    if not isinstance(value, str) and not abs(value) <= _LARGEST:  # NaN is not, either
        raise BadOutput(f"The model answered {shown(value)}, which is not a finite number.")
    if output.kind is OutputKind.NUMBER:
        if isinstance(value, bool | str):
            raise BadOutput(f"The model answered {shown(value)} where a number is expected.")
        return Answer(float(value))
    if not output.classes:
        return Answer(value, str(value), max(chances, default=None))
    if value not in output.classes:
        raise BadOutput(f"The model answered {shown(value)}, which is none of its classes.")
    place = output.classes.index(value)
    known = output.classes[place]
    # A column per class, in their order; a table of another width says only how sure the model is of something.
    confidence = chances[place] if len(chances) == len(output.classes) else max(chances, default=None)
    return Answer(known, output.class_names[place] if output.class_names else str(known), confidence)
