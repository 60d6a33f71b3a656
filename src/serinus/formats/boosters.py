"""What models of boosted trees have in common: numbers in, in the file's order; a class by its place or a number out.

Their libraries follow the indices in a file without looking at the bounds of what they point into, so each tree is
looked at before the library gets it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.errors import FormatRefused
from serinus.core.rows import Rows
from serinus.core.signature import Dtype, Output, OutputKind, Signature

Matrix = Callable[[Rows], NDArray[np.float64]]
"""Makes an array of shape (rows, features), NaN where a value is missing."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a model file says of its model: its features' names, () where it has none, and their number.

    ``classes`` is how many classes it tells apart, 0 where it predicts a number.
    """

    names: tuple[str, ...]
    width: int
    classes: int

    @property
    def feature_names_in_(self) -> tuple[str, ...] | None:
        """The names, as a fitted estimator gives them."""
        return self.names or None

    @property
    def n_features_in_(self) -> int:
        """The number of features, as a fitted estimator gives it."""
        return self.width


def matrix_for(described: Described, signature: Signature, library: str) -> Matrix:
    """Choose how rows become an array in the file's order; FormatRefused where signature and file are at odds."""
    texts = [feature.name for feature in signature.features if feature.dtype is Dtype.STR]
    if texts:
        _refuse(
            library,
            f"takes numbers, and {', '.join(texts[:20])} of its signature are strings",
            "Turn strings into numbers before the model, or put both into one scikit-learn pipeline.",
        )
    if described.width != len(signature.features):
        _refuse(
            library,
            f"takes {described.width} features, and its signature has {len(signature.features)}",
            "Give the signature of the data the model was fitted on.",
        )
    if not described.names or described.names == signature.names:
        return _as_they_come
    if set(described.names) != set(signature.names):
        _refuse(
            library,
            f"was fitted on other features ({', '.join(described.names)}) than its signature has "
            f"({', '.join(signature.names)})",
            "Give the signature of the data the model was fitted on.",
        )
    order = [signature.names.index(name) for name in described.names]
    return lambda rows: _as_they_come(rows)[:, order]


def labels_for(described: Described, output: Output, library: str) -> NDArray[Any]:
    """Give the class at each place, an empty array for a number; FormatRefused where the signature has others."""
    predicts = OutputKind.CLASS if described.classes else OutputKind.NUMBER
    if output.kind is not predicts:
        _refuse(
            library,
            f"predicts a {predicts}, and its signature says a {output.kind}",
            f"Give a signature of output kind {predicts}.",
        )
    if output.classes and len(output.classes) != described.classes and described.classes:
        _refuse(
            library,
            f"tells {described.classes} classes apart, and its signature names {len(output.classes)}",
            "Name each class once, in the order of the numbers that stand for them in the model.",
        )
    labels = np.empty(described.classes, dtype=object)
    labels[:] = list(output.classes or range(described.classes))[: described.classes]
    return labels


def of_two(chances: NDArray[Any], labels: NDArray[Any]) -> RawOutput:
    """Read the probabilities of the second of two classes, of shape (rows,)."""
    return of_many(np.column_stack([1 - chances, chances]), labels)


def of_many(table: NDArray[Any], labels: NDArray[Any]) -> RawOutput:
    """Read a probability per class, of shape (rows, classes): the first of the most probable ones is predicted."""
    return RawOutput(labels[table.argmax(axis=1)], table)


def demand(holds: bool, what: str) -> None:  # noqa: FBT001 - it is the condition itself
    """Raise ValueError where a file is not what it should be."""
    if not holds:
        message = f"{what} cannot be"
        raise ValueError(message)


def demand_tree(children: NDArray[Any], splits: int, features: NDArray[Any], width: int) -> None:
    """Look at a tree: no walk from its root leaves its arrays or comes back, and it asks for features that there are.

    Args:
        children: the places of the inner nodes' children that are nodes of their own.
        splits: how many such places there are; the root is place 0.
        features: what the inner nodes ask for. width: how many features there are.
    """
    # Nobody has two parents and the root has none: nothing that the root leads to leads back.
    demand(bool(((children >= 1) & (children < splits)).all()), "a child of a tree's node")
    demand(len(np.unique(children)) == len(children), "a tree's node with two parents")
    demand(bool(((features >= 0) & (features < width)).all()), "a feature of a tree's node")


def not_usable(library: str, failure: object, remedy: str) -> FormatRefused:
    """Give the error for bytes that the library could not use."""
    told = f"{type(failure).__name__}: {failure}" if isinstance(failure, Exception) else str(failure)
    return FormatRefused(f"The bytes are not a usable {library} model: {told[:300]}.", field="format", remedy=remedy)


def _as_they_come(rows: Rows) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64)


def _refuse(library: str, what: str, remedy: str) -> NoReturn:
    raise FormatRefused(
        f"The {library} model does not go with its signature: it {what}.", field="signature", remedy=remedy
    )
