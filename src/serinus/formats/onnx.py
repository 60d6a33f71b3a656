"""The ONNX format: a graph run by ONNX Runtime on one thread of the CPU; it holds no code of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.rows import Rows
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Scalar, Signature
from serinus.formats.threads import allowed

_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_INTS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_TENSORS: Mapping[str, type[np.generic | object]] = {
    **_FLOATS,
    **_INTS,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
_LABELS = {*_INTS, "tensor(string)", "tensor(bool)"}
_MATRIX = 2
"""Dimensions: rows and columns."""
_FATAL_ONLY = 4
"""ONNX Runtime's log level: what goes wrong is raised as well."""

Feed = Callable[[Rows], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class _Port:
    """An input or output of a graph; a dimension that is not fixed is None or a name."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class OnnxModel:
    """Runs a graph: one input of shape (rows, features), or one of shape (rows, 1) per feature, by name."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        inputs = _ports(session.get_inputs())
        self._feed = _feed_for(inputs, signature)
        self.takes_matrix = _is_matrix(inputs, signature) and inputs[0].type in _FLOATS
        self._names, self._read = _reader_for(_ports(session.get_outputs()), signature.output)

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; raises what ONNX Runtime raises."""
        return self._read(self._session.run(self._names, self._feed(rows)))


def load(data: bytes, signature: Signature) -> OnnxModel:
    """Load a graph.

    Raises:
        FormatRefused: the bytes are no ONNX model, or its inputs and outputs are not those of the signature.
    """
    return OnnxModel(_session(data), signature)


def output_of(data: bytes, classes: Sequence[Scalar] = (), class_names: Sequence[str] = ()) -> Output:
    """Read from a graph whether it predicts a class or a number; FormatRefused if it is no ONNX model.

    A graph without labels, as PyTorch exports it, predicts a class if it gives as many floats as there are classes.
    """
    outputs = _ports(_session(data).get_outputs())
    floats = [port.shape for port in outputs if port.type in _FLOATS]
    chances = len(classes) > 1 and [shape[1:] for shape in floats] == [(len(classes),)]
    if chances or any(port.type in _LABELS for port in outputs):
        return Output(OutputKind.CLASS, tuple(classes), tuple(class_names))
    return Output(OutputKind.NUMBER)


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads, options.intra_op_num_threads = 1, allowed()
    options.log_severity_level = _FATAL_ONLY
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as failure:
        raise FormatRefused(
            f"The bytes are not a usable ONNX model: {str(failure)[:300]}",
            field="format",
            remedy="Export it as one self-contained file with operators that ONNX Runtime knows.",
        ) from failure


def _ports(nodes: Sequence[Any]) -> list[_Port]:
    return [_Port(node.name, node.type, tuple(node.shape)) for node in nodes]


def _refused(what: str, remedy: str) -> FormatRefused:
    return FormatRefused(f"The ONNX model does not go with its signature: {what}.", field="signature", remedy=remedy)


# ---------------------------------------------------------------------------------------------- inputs


def _feed_for(inputs: list[_Port], signature: Signature) -> Feed:
    features = signature.features
    if _is_matrix(inputs, signature):
        return _matrix_feed(inputs[0], features)
    if {port.name for port in inputs} != set(signature.names):
        raise _refused(
            f"its inputs are {', '.join(port.name for port in inputs)}, its features {', '.join(signature.names)}",
            "Export it with one input of shape [None, number of features], or one input per feature by its name.",
        )
    by_name = {port.name: port for port in inputs}
    ports = [by_name[feature.name] for feature in features]
    for port, feature in zip(ports, features, strict=True):
        _check_column(port, feature)

    def feed(rows: Rows) -> dict[str, NDArray[Any]]:
        return {
            port.name: np.array([row[place] for row in rows], dtype=_TENSORS[port.type]).reshape(
                (-1, 1)[: len(port.shape)]
            )
            for place, port in enumerate(ports)
        }

    return feed


def _is_matrix(inputs: list[_Port], signature: Signature) -> bool:
    return len(inputs) == 1 and len(inputs[0].shape) == _MATRIX and inputs[0].name not in signature.names


def _matrix_feed(port: _Port, features: tuple[Feature, ...]) -> Feed:
    width = port.shape[1]
    if isinstance(width, int) and width != len(features):
        raise _refused(
            f"its input {port.name} has {width} columns, the signature {len(features)} features",
            "Give the signature of the data the model was fitted on.",
        )
    for feature in features:
        _check_type(port, feature)
    dtype = _TENSORS[port.type]

    def feed(rows: Rows) -> dict[str, NDArray[Any]]:
        return {port.name: np.asarray(rows, dtype=dtype)}

    return feed


def _check_column(port: _Port, feature: Feature) -> None:
    if len(port.shape) not in {1, _MATRIX} or any(isinstance(width, int) and width != 1 for width in port.shape[1:]):
        raise _refused(
            f"its input {port.name} has shape {list(port.shape)}", "Export each feature with shape [None, 1]."
        )
    _check_type(port, feature)


def _check_type(port: _Port, feature: Feature) -> None:
    """Refuse an input that would change a feature's values, apart from a float's precision."""
    fitting = {
        Dtype.FLOAT: {*_FLOATS},
        Dtype.INT: {*_FLOATS, *_INTS},
        Dtype.BOOL: {*_FLOATS, *_INTS, "tensor(bool)"},
        Dtype.STR: {"tensor(string)"},
    }[feature.dtype]
    if port.type not in fitting:
        raise _refused(
            f"its input {port.name} is {port.type}, the feature {feature.name} is {feature.dtype}",
            "Export it with inputs of the features' types, or give the signature of its training data.",
        )
    if feature.nullable and port.type not in _FLOATS:
        raise _refused(
            f"{feature.name} may be missing, and its input {port.name}, a {port.type}, cannot hold that",
            "Fill missing values before the model and declare the feature as not nullable, or use skops.",
        )


# --------------------------------------------------------------------------------------------- outputs


def _reader_for(outputs: list[_Port], output: Output) -> tuple[list[str], Callable[[list[Any]], RawOutput]]:
    numbers = [port for port in outputs if port.type in _FLOATS]
    if output.kind is OutputKind.NUMBER:
        if len(numbers) != 1:
            raise _refused(
                f"it should predict a number and has {len(numbers)} outputs of floats "
                f"({', '.join(port.name for port in outputs)})",
                "Export it with one float output, or give a signature of output kind class.",
            )
        return [numbers[0].name], lambda found: RawOutput(_flat(found[0]))
    labels = [port for port in outputs if port.type in _LABELS]
    tables = [port for port in outputs if port.type.startswith("seq(map(")] or numbers
    if len(labels) == 1 and len(tables) <= 1:
        return [port.name for port in labels + tables], lambda found: _labelled(found, output)
    if not labels and len(numbers) == 1 and output.classes and _may_have(numbers[0], len(output.classes)):
        return [numbers[0].name], lambda found: _most_probable(found[0], output.classes)
    raise _refused(
        f"it should predict a class, and its outputs are {', '.join(f'{p.name} {p.type}' for p in outputs)}",
        "Export it with a label and probabilities, or with one output of a probability per class and name the "
        "classes in the signature.",
    )


def _may_have(port: _Port, columns: int) -> bool:
    return len(port.shape) == _MATRIX and (not isinstance(port.shape[1], int) or port.shape[1] == columns)


def _labelled(found: list[Any], output: Output) -> RawOutput:
    values = _flat(found[0])
    kinds = {type(label) for label in output.classes}
    # ONNX has no labels of bool or float: exporters write them as int64.
    if values.dtype.kind == "i" and kinds in ({bool}, {float}):
        values = values.astype(kinds.pop())
    if len(found) == 1:
        return RawOutput(values)
    table = found[1]
    if isinstance(table, list):
        table = np.array([list(row.values()) for row in table], dtype=np.float64)
    return RawOutput(values, np.asarray(table))


def _most_probable(table: NDArray[Any], classes: tuple[Scalar, ...]) -> RawOutput:
    if table.shape[1:] != (len(classes),):
        raise InvalidInput(f"The model gave probabilities of shape {table.shape} for {len(classes)} classes.")
    return RawOutput(np.array(classes, dtype=object)[table.argmax(axis=1)], table)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, 0] if values.shape[1:] == (1,) else values
