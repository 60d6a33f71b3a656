"""From a fitted scikit-learn estimator to an ONNX graph that is proved to answer as it does."""

import math
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from serinus.core.errors import FormatRefused, InvalidInput, NotConverted
from serinus.core.signature import Dtype, Feature, OutputKind, Signature
from serinus.formats import onnx
from serinus.formats.parity import check, measured
from serinus.formats.signatures import sendable_places
from serinus.formats.tables import fitted_names, turns_all_into_floats

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

TOLERANCE = 1e-4
"""How far a probability may be from the estimator's own, and a number relative to its size."""
_LIBRARIES = ("sklearn", "pandas", "onnx", "onnxruntime", "skl2onnx")
_LONGEST = 200
"""Characters of what a library says."""
_ML_OPSET = 3
"""The version of ONNX's operators for trees and the like: 3 is what every converter of skl2onnx can write."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A graph that answers as its estimator does; ``facts`` say how far that was proved."""

    data: bytes
    facts: Mapping[str, object]


def convert(
    estimator: Any, frame: "pd.DataFrame | None", signature: Signature, *, source: str, tolerance: float = TOLERANCE
) -> Converted:
    """Convert a fitted estimator, and prove on all rows of ``frame`` that the graph answers as it does.

    Args:
        estimator: of scikit-learn. frame: the signature's columns. source: what it came from, for the record.
        tolerance: how far a probability, or relatively a number, may be from the estimator's. No class may differ.

    Raises:
        InvalidInput: the tolerance is none. FormatRefused: the libraries for it are not installed here.
        NotConverted: a step has no converter, ONNX cannot hold the features, there are no rows to prove anything on, or
        the graph answers otherwise than the estimator.
    """
    if not 0.0 <= tolerance < math.inf:
        raise InvalidInput(
            f"The tolerance is {tolerance}.", field="onnx_tolerance", remedy="Give a small number, like 0.0001."
        )
    lacking = [library for library in _LIBRARIES if find_spec(library) is None]
    if lacking:
        raise FormatRefused(
            f"Converting to ONNX needs {', '.join(lacking)}, not installed here.",
            field="onnx",
            remedy="Install it: pip install 'serinus[convert]'.",
        )
    places = [] if frame is None else sendable_places(frame)
    if frame is None or not len(places):
        raise NotConverted(
            "There are no rows on which the ONNX graph could be compared with the model: nothing can be proved.",
            field="onnx",
            remedy="Give training data, or example rows beside the signature. An infinite value is none.",
        )
    _check_missing(signature, frame.iloc[places])
    graph = _graph_of(estimator, signature)
    data: bytes = graph.SerializeToString()
    parity = measured(estimator, onnx.load(data, signature), frame, places, signature)
    check(parity, tolerance)
    facts = {
        **parity.facts(),
        "tolerance": tolerance,
        "converted_from": source,
        "converter": f"skl2onnx {version('skl2onnx')}",
        "opset": max(each.version for each in graph.opset_import if each.domain in {"", "ai.onnx"}),
    }
    return Converted(data, facts)


# ------------------------------------------------------------------------------------------- conversion


def _check_missing(signature: Signature, rows: "pd.DataFrame") -> None:
    for place, feature in enumerate(signature.features):
        if feature.nullable and feature.dtype is Dtype.STR:
            raise NotConverted(
                f"The feature {feature.name} is text that may be missing, and text in ONNX cannot be.",
                field=f"signature.features.{feature.name}",
                remedy="Fill it before the model and train on that, or register the model without onnx.",
            )
        if feature.nullable and not rows.iloc[:, place].isna().any():
            raise NotConverted(
                f"The feature {feature.name} may be missing, and is in none of the {len(rows)} rows: nothing can be "
                "proved for that.",
                field=f"signature.features.{feature.name}",
                remedy="Give data in which it is missing now and then, or a signature in which it may not be.",
            )


def _graph_of(estimator: Any, signature: Signature) -> Any:
    """Convert, and see that the graph can be loaded; whole numbers go in as such, or else as floats."""
    ways = [_matrix(signature)] if _is_matrix(estimator, signature) else _columns(estimator, signature)
    for left, inputs in enumerate(ways, 1):
        try:
            graph = _converted(estimator, inputs, signature)
            onnx.load(graph.SerializeToString(), signature)
        except Exception as failure:
            if left == len(ways):
                raise _not_converted(estimator, failure) from failure
        else:
            return graph
    raise AssertionError("there is one way at least")


def _is_matrix(estimator: Any, signature: Signature) -> bool:
    return (
        all(feature.dtype is not Dtype.STR for feature in signature.features)
        and fitted_names(estimator) in {None, signature.names}
        and turns_all_into_floats(estimator)
    )


def _matrix(signature: Signature) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType

    name = "input"
    while name in signature.names:
        name += "_"
    return [(name, FloatTensorType([None, len(signature.features)]))]


def _columns(estimator: Any, signature: Signature) -> list[list[tuple[str, Any]]]:
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType

    def kind(feature: Feature, whole: Any, truth: Any) -> Any:
        if feature.dtype is Dtype.STR:
            return StringTensorType
        if feature.dtype is Dtype.FLOAT or feature.nullable:
            return FloatTensorType
        return whole if feature.dtype is Dtype.INT else truth

    by_name = {feature.name: feature for feature in signature.features}
    features = [by_name[name] for name in fitted_names(estimator) or signature.names]
    ways = (Int64TensorType, BooleanTensorType), (FloatTensorType, FloatTensorType)
    return [[(each.name, kind(each, *way)([None, 1])) for each in features] for way in ways]


def _converted(estimator: Any, inputs: list[tuple[str, Any]], signature: Signature) -> Any:
    from skl2onnx import convert_sklearn, get_latest_tested_opset_version

    has_chances = signature.output.kind is OutputKind.CLASS and callable(getattr(estimator, "predict_proba", None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what skl2onnx does with deprecated attributes is no user's to mend
        graph = convert_sklearn(
            estimator,
            initial_types=inputs,
            target_opset={"": get_latest_tested_opset_version(), "ai.onnx.ml": _ML_OPSET},
            options={id(estimator): {"zipmap": False}} if has_chances else None,
            custom_conversion_functions=_mended(),
        )
    # Scores, as of LinearSVC, are no probabilities.
    del graph.graph.output[2 if has_chances else 1 :]
    _name_inputs(graph.graph, [name for name, _ in inputs])
    return graph


def _name_inputs(graph: Any, names: list[str]) -> None:
    """Give the inputs back the features' names, of which skl2onnx keeps letters, digits and underscores."""
    inner = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    renamed = {port.name: name for port, name in zip(graph.input, names, strict=True)}
    for name in inner.intersection(names):
        renamed[name] = next(free for n in range(1, len(inner) + 2) if (free := name + "_" * n) not in {*inner, *names})
    for each in (*graph.input, *graph.output, *graph.initializer):
        each.name = renamed.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def _mended() -> dict[type, Any]:
    """Give converters of histogram boosting that write whole numbers where skl2onnx 1.20 writes bools, which onnx 1.23
    does not take.
    """
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def mended(original: Any) -> Any:
        return lambda scope, operator, container: original(scope, operator, _Whole(container))

    return {
        kind: mended(get_converter(sklearn_operator_name_map[kind]))
        for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    }


class _Whole:
    """A container of nodes into which bools are written as whole numbers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        """Add a node."""
        return self._container.add_node(*args, **{name: _whole(value) for name, value in attributes.items()})


def _whole(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(each, bool | np.bool_) for each in value):
        return [int(each) for each in value]
    return value


def _not_converted(estimator: Any, failure: Exception) -> NotConverted:
    """Say which step it was that could not be converted."""
    if isinstance(failure, FormatRefused):
        return NotConverted(failure.message, field=failure.field, remedy=failure.remedy)
    unknown = [(path, part) for path, part in _steps(estimator) if not _is_known(part)]
    asked = _at_work(failure)
    named = unknown or [(path, part) for path, part in _steps(estimator) if part is asked]
    steps = [f"{path} ({type(part).__name__})" if path else f"a {type(part).__name__}" for path, part in named]
    if unknown:
        what = f"there is no converter for {', '.join(steps)}"
    else:
        what = f"{', '.join(steps) or type(estimator).__name__}: {_gist(failure)}"
    return NotConverted(
        f"The model cannot be converted to ONNX: {what}.",
        field="onnx",
        remedy="Use steps that skl2onnx converts in its place, or register the model without onnx.",
        steps=[path or type(part).__name__ for path, part in named],
    )


def _gist(failure: Exception) -> str:
    first, _, _ = str(failure).strip().partition("\n")
    return first[:_LONGEST].rstrip(".")


def _steps(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parts of a model that have no parts with names of their own, with the names that lead to them."""
    named = (
        getattr(part, "steps", None) or getattr(part, "transformers_", None) or getattr(part, "transformer_list", [])
    )
    inner = [(each[0], each[1]) for each in named if each[1] is not None and not isinstance(each[1], str)]
    if not named:
        yield path, part
    for name, each in inner:
        yield from _steps(each, f"{path}/{name}" if path else name)


def _is_known(part: Any) -> bool:
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from sklearn.preprocessing import FunctionTransformer

    if isinstance(part, FunctionTransformer):
        return part.func is None
    return type(part) in sklearn_operator_name_map


def _at_work(failure: Exception) -> Any:
    """Give the estimator whose converter failed, as skl2onnx keeps it while it works; None if it had none yet."""
    working = [frame.f_locals.get("operator") for frame, _ in traceback.walk_tb(failure.__traceback__)]
    found = [raw for raw in (getattr(each, "raw_operator", None) for each in working) if raw is not None]
    return found[-1] if found else None
