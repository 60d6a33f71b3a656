"""The XGBoost format: the library's own JSON or UBJSON of a booster; it holds no code."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.errors import FormatRefused
from serinus.core.rows import Rows
from serinus.core.signature import Signature
from serinus.formats import ubjson
from serinus.formats.boosters import (
    Described,
    demand,
    demand_tree,
    labels_for,
    matrix_for,
    not_usable,
    of_many,
    of_two,
)
from serinus.formats.threads import allowed

_LIBRARY = "XGBoost"
_REMEDY = "Save the model with save_model('model.ubj') or save_model('model.json')."
_LOGISTIC, _HINGE = "binary:logistic", "binary:hinge"
_SOFTPROB, _SOFTMAX = "multi:softprob", "multi:softmax"
_NO_LEAF = -1
"""``left_children`` of a leaf."""
_NO_PARENT = 2**31 - 1
"""``parents`` of the root."""
_OF_NODES = (
    *("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left"),
    *("base_weights", "split_type", "loss_changes", "sum_hessian"),
)
"""Arrays of a tree with a value for each node."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known of a booster before it is loaded; ``rounds`` is how many of them predict, 0: all."""

    described: Described
    objective: str
    linear: bool
    rounds: int


class XGBoostModel:
    """Predicts with a booster, on one thread."""

    takes_matrix = True

    def __init__(self, booster: Any, header: _Header, signature: Signature) -> None:
        self._booster = booster
        self._header = header
        self._matrix = matrix_for(header.described, signature, _LIBRARY)
        self._labels = labels_for(header.described, signature.output, _LIBRARY)

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; raises what XGBoost raises."""
        objective = self._header.objective
        raw = self._raw(self._matrix(rows), as_margin=objective == _SOFTMAX)
        if objective == _LOGISTIC:
            return of_two(raw, self._labels)
        if objective == _HINGE:
            return RawOutput(self._labels[raw.astype(np.intp)])
        if objective == _SOFTMAX:
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            return of_many(powers / powers.sum(axis=1, keepdims=True), self._labels)
        return of_many(raw, self._labels) if objective == _SOFTPROB else RawOutput(raw)

    def _raw(self, X: NDArray[np.float64], *, as_margin: bool) -> NDArray[Any]:
        found: NDArray[Any]
        if self._header.linear:
            import xgboost

            data = xgboost.DMatrix(X, nthread=allowed())
            found = self._booster.predict(data, output_margin=as_margin, validate_features=False)
        else:
            found = self._booster.inplace_predict(
                X,
                iteration_range=(0, self._header.rounds),
                predict_type="margin" if as_margin else "value",
                validate_features=False,
            )
        return found


def load(data: bytes, signature: Signature) -> XGBoostModel:
    """Load a booster.

    Raises:
        FormatRefused: the bytes are no booster or a damaged one, it has categorical features or several outputs, or its
        features and classes are not those of the signature.
    """
    header = _header(data)
    import xgboost

    try:
        booster = xgboost.Booster({"nthread": allowed(), "verbosity": 0})
        booster.load_model(bytearray(data))
    except Exception as failure:
        raise not_usable(_LIBRARY, str(failure).partition("\n")[0] or failure, _REMEDY) from failure
    return XGBoostModel(booster, header, signature)


def described(data: bytes) -> Described:
    """Read what the file says of its model; FormatRefused as in ``load``."""
    return _header(data).described


def _header(data: bytes) -> _Header:
    try:
        learner = _document(data)["learner"]
        return _checked(learner)
    except FormatRefused:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as failure:
        raise not_usable(_LIBRARY, failure, _REMEDY) from failure


def _document(data: bytes) -> Any:
    # XGBoost and this reader must not see two different things in one file, so no member may be there twice.
    if data[:1] == b"{" and data[1:2] in {b"L", b"l", b"I", b"U", b"i"}:
        return ubjson.read(data)
    return json.loads(data, object_pairs_hook=_once)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    demand(len(found) == len(members), "a member that is there twice")
    return found


def _checked(learner: Mapping[str, Any]) -> _Header:
    parameters, objective = learner["learner_model_param"], learner["objective"]
    name = str(objective["name"])
    width, said = int(parameters["num_feature"]), int(parameters["num_class"])
    demand(width >= 1, "the number of features")
    classes = _classes(name, said)
    if int(parameters.get("num_target", 1)) != 1 or (said > 1 and not classes):
        raise _cannot("gives several numbers", "Train one model for each.")
    if classes and "softmax_multiclass_param" in objective:
        demand(int(objective["softmax_multiclass_param"]["num_class"]) == said, "the number of classes")
    groups = max(said, 1)
    scores = json.loads(str(parameters["base_score"]))
    demand(not isinstance(scores, list) or len(scores) in {1, groups}, "base_score")
    names = tuple(str(each) for each in learner.get("feature_names", ()))
    demand(not names or len(names) == width == len(set(names)), "the features' names")
    if "c" in learner.get("feature_types", ()):
        raise _categorical()
    booster = learner["gradient_booster"]
    linear = booster["name"] == "gblinear"
    rounds = _check_linear(booster["model"], width, groups) if linear else _check_trees(booster, width, groups)
    best = _best_round(learner.get("attributes", {}))
    demand(best is None or 0 <= best < rounds, "best_iteration")
    return _Header(Described(names, width, classes), name, linear, 0 if best is None else best + 1)


def _classes(objective: str, said: int) -> int:
    if objective in {_SOFTPROB, _SOFTMAX}:
        demand(said >= 1, "the number of classes")
        return said
    if objective in {_LOGISTIC, _HINGE}:
        demand(said <= 1, "the number of classes")
        return 2
    if objective == "binary:logitraw":
        raise _cannot("gives a score, not a probability (binary:logitraw)", "Train it with binary:logistic.")
    return 0


def _best_round(attributes: Mapping[str, Any]) -> int | None:
    """Give the last round that predicts in scikit-learn's interface; a bare booster predicts with all of them."""
    if "scikit_learn" not in attributes or "best_iteration" not in attributes:
        return None
    return int(attributes["best_iteration"])


def _check_linear(model: Mapping[str, Any], width: int, groups: int) -> int:
    demand(len(model["weights"]) == (width + 1) * groups, "the number of weights")
    return max(int(model.get("boosted_rounds", 0)), 1)


def _check_trees(booster: Mapping[str, Any], width: int, groups: int) -> int:
    if booster["name"] == "dart":
        model = booster["gbtree"]["model"]
        demand(len(booster["weight_drop"]) == len(model["trees"]), "the number of weights")
    else:
        demand(booster["name"] == "gbtree", f"a booster {booster['name']!r}")
        model = booster["model"]
    with suppress(KeyError):
        if len(model["cats"]["enc"]):
            raise _categorical()
    trees, group = model["trees"], np.asarray(model["tree_info"])
    count = int(model["gbtree_model_param"]["num_trees"])
    demand(count == len(trees) == len(group), "the number of trees")
    demand(bool(((group >= 0) & (group < groups)).all()), "the class of a tree")
    for place, tree in enumerate(trees):
        demand(int(tree["id"]) == place, "the number of a tree")
        _check_tree(tree, width)
    per_round = groups * max(int(model["gbtree_model_param"].get("num_parallel_tree", 1)), 1)
    starts = np.asarray(model.get("iteration_indptr", range(0, count + 1, per_round)), dtype=np.int64)
    demand(starts[0] == 0 and starts[-1] == count and bool((np.diff(starts) >= 0).all()), "the rounds of the trees")
    return max(len(starts) - 1, 1)


def _check_tree(tree: Mapping[str, Any], width: int) -> None:
    size = int(tree["tree_param"]["num_nodes"])
    demand(size >= 1 and all(len(tree[name]) == size for name in _OF_NODES if name in tree), "the size of a tree")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise _cannot("gives several numbers", "Train one model for each.")
    if np.any(tree.get("split_type", 0)) or len(tree.get("categories", ())):
        raise _categorical()
    left, right = np.asarray(tree["left_children"]), np.asarray(tree["right_children"])
    inner = np.flatnonzero(left != _NO_LEAF)
    demand(left.dtype.kind == right.dtype.kind == "i", "the children of a tree")
    children = np.concatenate([left[inner], right[inner]])
    above = np.asarray(tree["parents"])
    demand(bool((((above >= 0) & (above < size)) | (above == _NO_PARENT)).all()), "the parent of a tree's node")
    demand_tree(children, size, np.asarray(tree["split_indices"])[inner], width)
    demand(above[0] == _NO_PARENT and bool((above[children] == np.tile(inner, 2)).all()), "the parent of a tree's node")


def _categorical() -> FormatRefused:
    return _cannot(
        "has categorical features", "Encode the categories as numbers of their own (one-hot) before the model."
    )


def _cannot(what: str, remedy: str) -> FormatRefused:
    return FormatRefused(f"An XGBoost model that {what} cannot be served.", field="format", remedy=remedy)
