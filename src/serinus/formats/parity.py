"""The proof that a converted model answers as the estimator does that it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import read_answers
from serinus.core.errors import NotConverted, SerinusError
from serinus.core.signature import OutputKind, Signature
from serinus.formats.signatures import example_rows
from serinus.formats.tables import fitted_names
from serinus.ports import Model

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

_AT_ONCE = 4096
"""Rows that are asked for at a time: a bound for memory."""
_HAS_GAPS = (
    "A value is missing in that row, and the converter treats that otherwise: fill missing values before the model "
    "(SimpleImputer), or register it without onnx."
)
_IS_FAR = (
    "Allow more if that is small enough for you (onnx_tolerance, --onnx-tolerance), or register the model without onnx."
)
_IS_PRECISE = (
    "Values that a float of 32 bits cannot tell apart end on the same side of a threshold: scale or round them before "
    "the training, or register the model without onnx."
)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a graph's answers are from the estimator's own, over all rows that were tried.

    ``max_difference`` is that of probabilities or of numbers, None for classes without probabilities.
    ``max_relative_difference`` and ``class_flips`` are None where there are no numbers, or no classes. A number's
    difference is relative to its size, or to the median size of all where that is larger. ``worst_row`` is the place in
    the data where they differ most, and whether a value is missing there.
    """

    rows: int
    max_difference: float | None
    max_relative_difference: float | None
    class_flips: int | None
    worst_row: int
    worst_has_gaps: bool

    def facts(self) -> dict[str, object]:
        """Give what goes on record."""
        told = {
            "rows": self.rows,
            "max_difference": self.max_difference,
            "max_relative_difference": self.max_relative_difference,
            "class_flips": self.class_flips,
        }
        return {name: value for name, value in told.items() if value is not None}


def measured(
    estimator: Any, graph: Model, frame: "pd.DataFrame", places: Sequence[int], signature: Signature
) -> Parity:
    """Ask both the estimator and the graph for the rows of ``frame`` at these places, and compare.

    Raises:
        NotConverted: one of them does not answer.
    """
    own, its = [], []
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        own.append(_of_estimator(estimator, frame.iloc[list(some)], signature))
        its.append(_of_graph(graph, frame, some, signature))
    expected = [value for each in own for value in each.predictions]
    given = [value for each in its for value in each.predictions]
    far: NDArray[np.float64] | None
    relative: NDArray[np.float64] | None = None
    flips: int | None = None
    if signature.output.kind is OutputKind.NUMBER:
        far, relative = _apart(np.array(expected, dtype=np.float64), np.array(given, dtype=np.float64))
        worst = int(relative.argmax())
    else:
        flipped = np.array([a != b for a, b in zip(expected, given, strict=True)])
        far = _apart_in_chances(own, its)
        flips, worst = int(flipped.sum()), int(flipped.argmax() if flipped.any() or far is None else far.argmax())
    return Parity(
        rows=len(given),
        max_difference=None if far is None else float(far.max()),
        max_relative_difference=None if relative is None else float(relative.max()),
        class_flips=flips,
        worst_row=places[worst],
        worst_has_gaps=bool(frame.iloc[places[worst]].isna().any()),
    )


def check(parity: Parity, tolerance: float) -> None:
    """Refuse a graph that predicts another class somewhere, or is further away than ``tolerance``.

    Raises:
        NotConverted: it does, or is.
    """
    if parity.class_flips:
        raise _differs(
            parity,
            f"predicts another class than the model itself for {parity.class_flips} of {parity.rows} rows, "
            f"first for row {parity.worst_row}",
            _HAS_GAPS if parity.worst_has_gaps else _IS_PRECISE,
        )
    relative = parity.max_relative_difference
    far = parity.max_difference if relative is None else relative
    if far is not None and not far <= tolerance:
        what = "a probability is" if relative is None else "a number is, relative to its size,"
        raise _differs(
            parity,
            f"answers otherwise than the model itself: {what} {far:.2g} away in row {parity.worst_row}, and "
            f"{tolerance:g} is tolerated",
            _HAS_GAPS if parity.worst_has_gaps else _IS_FAR,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a model or a graph answered: one prediction per row, and the classes' probabilities where there are any."""

    predictions: Sequence[Any]
    chances: NDArray[np.float64] | None


def _apart(
    expected: NDArray[np.float64], given: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give how far numbers are apart, and how far relatively."""
    far = np.abs(expected - given)
    sizes = np.maximum(np.abs(expected), np.median(np.abs(expected)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return far, np.where(far == 0.0, 0.0, far / sizes)


def _apart_in_chances(own: Sequence[_Asked], its: Sequence[_Asked]) -> NDArray[np.float64] | None:
    """Give for each row the largest difference of a probability; None where one of the two gives none."""
    pairs = [(a.chances, b.chances) for a, b in zip(own, its, strict=True)]
    far = [np.abs(a - b).max(axis=1) for a, b in pairs if a is not None and b is not None]
    return np.concatenate(far) if len(far) == len(pairs) else None


def _of_estimator(estimator: Any, some: "pd.DataFrame", signature: Signature) -> _Asked:
    names = fitted_names(estimator)
    named = some.set_axis(list(signature.names), axis=1)
    table: Any = some.to_numpy() if names is None else named[list(names)]
    try:
        values = np.asarray(estimator.predict(table)).ravel().tolist()
        chances = estimator.predict_proba(table) if hasattr(estimator, "predict_proba") else None
    except Exception as failure:
        raise NotConverted(
            f"The model does not answer the rows that it is to be compared on: {type(failure).__name__}: {failure}",
            field="data",
            remedy="Give the data it was fitted on.",
        ) from failure
    return _Asked(values, None if chances is None else np.asarray(chances, dtype=np.float64))


def _of_graph(graph: Model, frame: "pd.DataFrame", places: Sequence[int], signature: Signature) -> _Asked:
    rows = example_rows(frame, places, signature)
    try:
        raw = graph.predict([list(row) for row in rows])
        values = [answer.prediction for answer in read_answers(raw, signature.output, len(rows))]
    except Exception as failure:
        said = failure.message if isinstance(failure, SerinusError) else f"{type(failure).__name__}: {failure}"
        raise NotConverted(
            f"The converted model does not answer rows that the model itself answers: {said[:300]}",
            field="onnx",
            remedy="Register the model without onnx.",
        ) from failure
    chances = raw.probabilities
    return _Asked(values, None if chances is None else np.asarray(chances, dtype=np.float64))


def _differs(parity: Parity, what: str, remedy: str) -> NotConverted:
    return NotConverted(f"The converted model {what}.", field="onnx", remedy=remedy, **parity.facts())
