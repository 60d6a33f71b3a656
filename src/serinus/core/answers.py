"""From a model's raw output to answers; whatever cannot be an answer is a model error."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import BadOutput
from serinus.core.features import Scalar, shown
from serinus.core.signature import Output, OutputKind

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of one row may add up to."""
_KINDS = "biufUTO"
"""numpy's kinds of arrays that can hold answers; an array of times would turn into whole numbers."""
_FEW = 16
"""Classes of which all probabilities are made numbers of Python, which is quicker than to pick some of them."""
_FEW_CHANCES = 32
"""Probabilities that plain arithmetic has looked through before NumPy has begun."""
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class RawOutput:
    """What a model gave for n rows: ``values`` of shape (n,), for classes also ``probabilities`` of (n, k)."""

    values: NDArray[np.generic]
    probabilities: NDArray[np.floating] | None = None


class Answer(NamedTuple):
    """One prediction: a class with its name and probability (if the model gives one), or a number."""

    prediction: Scalar
    prediction_class: str | None = None
    confidence: float | None = None


class Columns(NamedTuple):
    """Answers by column, as they travel between processes: what ``Answer`` has, each as a list of one value a row."""

    predictions: list[Scalar]
    classes: list[str | None]
    confidences: list[float | None]

    def answers(self) -> list[Answer]:
        """Give them row by row."""
        return list(map(Answer._make, zip(*self, strict=True)))


def read_answers(raw: RawOutput, output: Output, rows: int) -> list[Answer]:
    """Read one answer per row, a class as the signature has it; BadOutput for whatever is no prediction."""
    return read_columns(raw, output, rows).answers()


def read_columns(raw: RawOutput, output: Output, rows: int) -> Columns:
    """Read the answers to so many rows; see ``read_answers``."""
    values = np.asarray(raw.values)
    if values.shape != (rows,):
        raise BadOutput(f"The model answered with shape {values.shape} for {rows} row(s).")
    if values.dtype.kind not in _KINDS:
        raise BadOutput(f"The model answered with values of type {values.dtype}.")
    table = _checked_table(raw.probabilities, rows)
    if output.kind is OutputKind.CLASS and output.classes:
        return _named(_places(values, output), table, output)
    found = [_checked(value, output) for value in values.tolist()]
    if output.kind is OutputKind.NUMBER:
        return Columns([_number(value) for value in found], [None] * rows, [None] * rows)
    return Columns(found, [str(value) for value in found], _most(table, rows))


def _checked_table(probabilities: NDArray[np.floating] | None, rows: int) -> NDArray[np.floating] | None:
    if probabilities is None:
        return None
    table = np.asarray(probabilities)
    if table.ndim != 2 or len(table) != rows or table.shape[1] == 0:  # noqa: PLR2004 rows and columns
        raise BadOutput(f"The model's probabilities have shape {table.shape} for {rows} row(s).")
    if table.dtype.kind != "f" or not _in_range(table):
        raise BadOutput("The model's probabilities are not all numbers from 0 to 1.")
    if any(abs(total - 1.0) > SUM_TOLERANCE for total in _sums(table)):
        raise BadOutput("The model's probabilities do not add up to 1.")
    return table


def _in_range(table: NDArray[np.floating]) -> bool:
    """Say whether all are from 0 to 1; NaN is not, for which no comparison holds."""
    if table.size <= _FEW_CHANCES:
        return all(-SUM_TOLERANCE <= chance <= 1 + SUM_TOLERANCE for row in table.tolist() for chance in row)
    wide = table.astype(np.float64, copy=False)
    return bool(wide.min() >= -SUM_TOLERANCE and wide.max() <= 1 + SUM_TOLERANCE)


def _sums(table: NDArray[np.floating]) -> Iterable[float]:
    if table.size <= _FEW_CHANCES:
        return map(sum, table.tolist())
    sums: list[float] = table.sum(axis=1, dtype=np.float64).tolist()
    return sums


def _places(values: NDArray[np.generic], output: Output) -> list[int]:
    """Give the place of each value among the classes: at once where all are of one type, else one by one."""
    places, found = _by_class(output.classes), values.tolist()
    if values.dtype.kind != "O":
        with suppress(KeyError):
            return list(map(places.__getitem__, found))
    return [_place(value, output) for value in [_checked(value, output) for value in found]]


@lru_cache(maxsize=64)
def _by_class(classes: tuple[Scalar, ...]) -> dict[Scalar, int]:
    """Give the place of each class, the first one where two are equal."""
    return {value: place for place, value in reversed(list(enumerate(classes)))}


def _checked(value: object, output: Output) -> Scalar:
    if isinstance(value, np.generic):  # from an array of objects
        value = value.item()
    if not isinstance(value, bool | int | float | str):
        raise BadOutput(f"The model answered with a {type(value).__name__}.")
    if not isinstance(value, str) and not abs(value) <= _LARGEST:  # NaN is not, either
        raise BadOutput(f"The model answered {shown(value)}, which is not a finite number.")
    if output.kind is OutputKind.NUMBER and isinstance(value, bool | str):
        raise BadOutput(f"The model answered {shown(value)} where a number is expected.")
    return value


def _number(value: Scalar) -> float:
    return float(value)


def _named(places: list[int], table: NDArray[np.floating] | None, output: Output) -> Columns:
    classes = output.classes
    names = output.class_names or tuple(map(str, classes))
    # A column per class, in their order; a table of another width says only how sure the model is of something.
    confidences: list[float | None]
    if table is None or table.shape[1] != len(classes):
        confidences = _most(table, len(places))
    elif len(classes) <= _FEW:
        confidences = _bounded([row[place] for row, place in zip(table.tolist(), places, strict=True)])
    else:
        confidences = _bounded(table[range(len(places)), places].tolist())
    return Columns([classes[place] for place in places], [names[place] for place in places], confidences)


def _place(value: Scalar, output: Output) -> int:
    try:
        return output.classes.index(value)
    except ValueError:
        raise BadOutput(f"The model answered {shown(value)}, which is none of its classes.") from None


def _most(table: NDArray[np.floating] | None, rows: int) -> list[float | None]:
    return [None] * rows if table is None else _bounded(table.max(axis=1).tolist())


def _bounded(chances: Iterable[float]) -> list[float | None]:
    return [0.0 if chance < 0.0 else min(chance, 1.0) for chance in chances]
