"""The LightGBM format: the library's own text of a booster; it holds no code."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.errors import FormatRefused
from serinus.core.rows import Rows
from serinus.core.signature import Feature, Output, Signature
from serinus.formats.boosters import Described, demand, demand_tree, labels_for, matrix_for, not_usable, of_many, of_two
from serinus.formats.threads import allowed

_LIBRARY = "LightGBM"
_REMEDY = "Save the model with booster_.save_model('model.txt'), and do not change its line ends."
_TREE = re.compile(rb"^Tree=(\d+)\n", re.MULTILINE)
_SIZES = re.compile(rb"^tree_sizes=.*\n", re.MULTILINE)
_END = b"\nend of trees\n"
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_OF_LEAVES = ("leaf_value",)
_PERHAPS = {
    **dict.fromkeys(("split_gain", "internal_value", "internal_weight", "internal_count"), 1),
    **dict.fromkeys(("leaf_weight", "leaf_count"), 0),
}
"""Arrays that need not be there, and how many values fewer than leaves they have."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known of a booster before it is loaded."""

    described: Described
    objective: str


class LightGBMModel:
    """Predicts with a booster, on one thread."""

    takes_matrix = True

    def __init__(self, booster: Any, header: _Header, signature: Signature) -> None:
        self._booster = booster
        self._objective = header.objective
        self._matrix = matrix_for(header.described, _with_file_names(signature), _LIBRARY)
        self._labels = labels_for(header.described, signature.output, _LIBRARY)

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; raises what LightGBM raises."""
        raw: NDArray[Any] = self._booster.predict(self._matrix(rows), num_threads=allowed())
        if not len(self._labels):
            return RawOutput(raw)
        if self._objective == "binary":
            return of_two(raw, self._labels)
        # One against the others gives chances that do not add up to 1.
        return of_many(raw / raw.sum(axis=1, keepdims=True) if self._objective != "multiclass" else raw, self._labels)


def load(data: bytes, signature: Signature) -> LightGBMModel:
    """Load a booster.

    Raises:
        FormatRefused: the bytes are no booster or a damaged one, it has categorical features or linear leaves, or its
        features and classes are not those of the signature.
    """
    header = _header(data)
    try:
        import lightgbm

        booster = lightgbm.Booster(model_str=_needed(data).decode())
    except Exception as failure:
        raise not_usable(_LIBRARY, failure, _REMEDY) from failure
    return LightGBMModel(booster, header, signature)


def described(data: bytes) -> Described:
    """Read what the file says of its model; FormatRefused as in ``load``."""
    return _header(data).described


def file_name(name: str) -> str:
    """Give a feature's name as it stands in a file: LightGBM writes no white space."""
    return name.replace(" ", "_")


def _with_file_names(signature: Signature) -> Signature:
    features = tuple(Feature(file_name(each.name), each.dtype, each.nullable) for each in signature.features)
    return Signature(features, Output(signature.output.kind))


def _needed(data: bytes) -> bytes:
    """Leave out what answers do not depend on, and what ends the process where it is wrong.

    These are the parameters of the training, after the trees, and the trees' sizes: by them they are read side by side.
    """
    return _SIZES.sub(b"", data[: data.find(_END) + len(_END)], count=1)


def _header(data: bytes) -> _Header:
    try:
        return _checked(data)
    except FormatRefused:
        raise
    except (ValueError, KeyError, IndexError, OverflowError) as failure:
        raise not_usable(_LIBRARY, failure, _REMEDY) from failure


def _checked(data: bytes) -> _Header:
    begins = [found.start() for found in _TREE.finditer(data)]
    end = data.find(_END)
    demand(data.startswith(b"tree\n") and b"\0" not in data, "the first line")
    demand(end >= 0 and bool(begins) and begins[-1] < end, "the end of the trees")
    header = _members(data[: begins[0]])
    width = int(header["max_feature_idx"]) + 1
    names = header["feature_names"].split(" ")
    demand(width >= 1 and len(names) == len(set(names)) == width, "the features' names")
    classes, per_round, objective = int(header["num_class"]), int(header["num_tree_per_iteration"]), _objective(header)
    demand(classes >= 1 and classes == per_round and len(begins) % per_round == 0, "the number of trees")
    _check_sizes(data, begins, header.get("tree_sizes", ""))
    for begin, stop in zip(begins, [*begins[1:], end], strict=True):
        demand(all(b"=" in line for line in data[begin:stop].split(b"\n") if line), "a line of a tree")
        _check_tree(_members(data[begin:stop]), width)
    _check_categories(data)
    if all(name == f"Column_{place}" for place, name in enumerate(names)):
        names = []  # LightGBM's own, for an array
    return _Header(Described(tuple(names), width, _classes(header, objective, classes)), objective)


def _members(block: bytes) -> dict[str, str]:
    pairs = [line.partition("=") for line in block.decode().split("\n") if line]
    members = {name: value for name, _, value in pairs}
    demand(len(members) == len(pairs), "a line that is there twice")
    return members


def _objective(header: dict[str, str]) -> str:
    return header.get("objective", "").partition(" ")[0]


def _classes(header: dict[str, str], objective: str, classes: int) -> int:
    if objective in {"multiclass", "multiclassova"}:
        said = re.search(r"\bnum_class:(\d+)\b", header["objective"])
        demand(said is not None and int(said[1]) == classes, "the number of classes")
        return classes
    if classes > 1:
        raise _cannot("gives several numbers", "Train it with one of LightGBM's own objectives.")
    return 2 if objective == "binary" else 0


def _check_sizes(data: bytes, begins: list[int], sizes: str) -> None:
    """See that nothing was changed since the file was written: the header has each tree's size in bytes."""
    if sizes:
        said = [int(size) for size in sizes.split(" ")]
        demand(len(said) == len(begins) and min(said) > 0, "the number of trees")
        demand(said[:-1] == np.diff(begins).tolist(), "the size of a tree")
        demand(begins[-1] + said[-1] <= data.find(_END) + 1, "the size of the last tree")


def _check_tree(tree: dict[str, str], width: int) -> None:
    leaves = int(tree["num_leaves"])
    demand(leaves >= 1, "a tree's number of leaves")
    if int(tree.get("is_linear", "0")):
        raise _cannot("has linear leaves", "Train it without linear_tree.")
    if int(tree["num_cat"]):
        raise _categorical()
    demand(len(_numbers(tree, "leaf_value")) == leaves, "the leaves of a tree")
    if leaves == 1:
        return
    splits = {name: _numbers(tree, name) for name in _OF_SPLITS}
    demand(all(len(values) == leaves - 1 for values in splits.values()), "the size of a tree")
    for name, fewer in _PERHAPS.items():
        demand(len(_numbers(tree, name)) in {0, leaves - fewer}, f"the number of values of {name}")
    if (splits["decision_type"].astype(np.int64) & 1).any():
        raise _categorical()
    children = np.concatenate([splits["left_child"], splits["right_child"]])
    demand(bool((children >= -leaves).all()), "a leaf of a tree")  # leaf i is written as -i - 1
    demand_tree(children[children >= 0], leaves - 1, splits["split_feature"], width)


def _numbers(tree: dict[str, str], name: str) -> NDArray[np.float64]:
    return np.array(tree.get(name, "").split(), dtype=np.float64)


def _check_categories(data: bytes) -> None:
    _, found, last = data.rpartition(b"\npandas_categorical:")
    if found and json.loads(last):
        raise _categorical()


def _categorical() -> FormatRefused:
    return _cannot(
        "has categorical features", "Encode the categories as numbers of their own (one-hot) before the model."
    )


def _cannot(what: str, remedy: str) -> FormatRefused:
    return FormatRefused(f"A LightGBM model that {what} cannot be served.", field="format", remedy=remedy)
