"""What a fitted estimator is made of, and whether the indices in it stay inside their arrays.

scikit-learn's trees follow indices without looking at their bounds, so a crafted file could crash the process at
its first prediction; that is why skops does not trust them. Here they are looked at once, after loading. A model
from somebody who means harm still belongs in a process of its own: other compiled code believes its arrays too.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAF = -1
"""``children_left`` of a leaf (sklearn/tree/_tree.pyx, TREE_LEAF)."""


def estimators() -> tuple[type[Any], ...]:
    """Give what scikit-learn's estimators are instances of; nothing as long as no model has brought the library in.

    Importing it takes seconds and 100 MB, and what was loaded without it holds none of its estimators.
    """
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    return () if base is None else (base,)


def parts(model: object) -> Iterator[tuple[object, object]]:
    """Yield each object inside a model together with the estimator it belongs to, the model itself first.

    Containers are looked into, and the attributes of what is scikit-learn's or derived from its estimators.
    """
    seen: set[int] = set()
    pending: list[tuple[object, object]] = [(model, model)]
    while pending:
        part, owner = pending.pop()
        if part is None or isinstance(part, str | bytes | int | float | bool | np.generic) or id(part) in seen:
            continue
        seen.add(id(part))
        inner, is_container = _inside(part)
        if not is_container:
            yield part, owner
        mine = part if isinstance(part, estimators()) else owner
        pending.extend((each, mine) for each in inner)


def _inside(part: object) -> tuple[list[object], bool]:
    if isinstance(part, dict):
        return list(part.values()), True
    if isinstance(part, list | tuple | set | frozenset):
        return list(part), True
    if isinstance(part, np.ndarray):
        return (part.ravel().tolist(), True) if part.dtype == object else ([], False)
    if isinstance(part, estimators()) or type(part).__module__.startswith("sklearn."):
        return list(getattr(part, "__dict__", {}).values()), False
    return [], False


def check_indices(model: object) -> None:
    """Raise ValueError where a tree in the model points outside its arrays or its features."""
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.neighbors import BallTree, KDTree
    from sklearn.tree import BaseDecisionTree
    from sklearn.tree._tree import Tree

    for part, owner in parts(model):
        if isinstance(part, Tree):
            _check_tree(part, _width(owner))
        elif isinstance(part, TreePredictor):
            _check_predictor(part, _width(owner))
        elif isinstance(part, KDTree | BallTree):
            _check_neighbours(part)
        elif isinstance(part, BaseDecisionTree) and isinstance(owner, BaseForest | BaseGradientBoosting):
            # These two check the width of the input once for all of their trees. The model they were made from has
            # no tree.
            fits = not hasattr(part, "tree_") or _width(part) == _width(owner)
            _demand(fits, "a tree's number of features")


def _check_tree(tree: Any, width: int) -> None:
    count = tree.node_count
    _demand(1 <= count <= tree.capacity, "a tree's number of nodes")
    inner = np.flatnonzero(tree.children_left != _LEAF)
    # Each child comes after its parent, so a walk down ends.
    for child in (tree.children_left[inner], tree.children_right[inner]):
        _demand(_within(child, inner + 1, count), "a child of a tree's node")
    _demand(_within(tree.feature[inner], 0, width), "a feature of a tree's node")


def _check_predictor(predictor: Any, width: int) -> None:
    nodes = predictor.nodes
    _demand(isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes) > 0, "a tree's nodes")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    for child in (nodes["left"][inner], nodes["right"][inner]):
        _demand(_within(child, inner + 1, len(nodes)), "a child of a tree's node")
    _demand(_within(nodes["feature_idx"][inner], 0, width), "a feature of a tree's node")
    categories = nodes["bitset_idx"][inner][nodes["is_categorical"][inner] != 0]
    _demand(_within(categories, 0, len(predictor.raw_left_cat_bitsets)), "a set of categories")


def _check_neighbours(tree: Any) -> None:
    data, order, nodes, bounds = (np.asarray(array) for array in tree.get_arrays())
    _demand(len(order) == len(data) and _within(order, 0, len(data)), "a neighbour")
    start, end = nodes["idx_start"], nodes["idx_end"]
    _demand(_within(start, 0, len(data)) and _within(end, start, len(data) + 1), "a node's neighbours")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _demand(_within(2 * inner + 2, 0, len(nodes)), "a node's children")
    _demand(bounds.shape[1:] == (len(nodes), data.shape[1]), "a node's bounds")


def _width(estimator: object) -> int:
    width = getattr(estimator, "n_features_in_", None)
    _demand(isinstance(width, int), "the number of features")
    return int(width) if isinstance(width, int) else 0


def _within(values: NDArray[Any], low: NDArray[Any] | int, high: int) -> bool:
    return bool(((values >= low) & (values < high)).all())


def _demand(holds: bool, what: str) -> None:  # noqa: FBT001 - it is the condition itself
    if not holds:
        raise ValueError(f"{what} is out of bounds")
