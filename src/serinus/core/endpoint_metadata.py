"""What an engine says of a model by the Open Inference Protocol, read as an endpoint and a signature."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from serinus.core.endpoint import DATATYPES, Endpoint, Layout, Tensor, parsed
from serinus.core.errors import InvalidInput
from serinus.core.features import NUMERIC, Dtype, Feature, shown
from serinus.core.signature import Output, OutputKind, Signature

PROBABILITIES = frozenset({"predict_proba", "probabilities", "probability", "output_probability", "probs"})
"""What engines and converters call an output of probabilities."""
_DTYPES = {"BOOL": Dtype.BOOL, "BYTES": Dtype.STR, "FP16": Dtype.FLOAT, "FP32": Dtype.FLOAT, "FP64": Dtype.FLOAT}
_SENT = {Dtype.INT: "INT64", Dtype.FLOAT: "FP64", Dtype.STR: "BYTES", Dtype.BOOL: "BOOL"}
_ROWS_AND_COLUMNS = 2


class _Described(NamedTuple):
    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Columns; -1 where any number will do."""
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def dtype(self) -> Dtype:
        return _DTYPES.get(self.datatype, Dtype.INT)


def described(url: str, metadata: object, known: Signature | None = None) -> tuple[Endpoint, Signature]:
    """Read the metadata of the model at ``url``; a signature that is known says what the metadata leaves open.

    Raises:
        InvalidInput: the metadata is none, names inputs that rows cannot be sent in, or leaves open what they mean.
    """
    base, model, version = parsed(url)
    if not isinstance(metadata, Mapping):
        raise _unusable(url, f"it is {shown(metadata)}")
    inputs, outputs = (_tensors(url, metadata.get(each)) for each in ("inputs", "outputs"))
    layout, tensors = _laid_out(url, inputs, known)
    prediction, probabilities = _named_outputs(outputs, known)
    signature = known or Signature(
        tuple(Feature(each.name, each.dtype) for each in inputs),
        _output(outputs, prediction, probabilities),
    )
    endpoint = Endpoint(base, model, version, layout, tensors, prediction, probabilities)
    endpoint.check_fits(signature)
    return endpoint, signature


def _laid_out(url: str, inputs: Sequence[_Described], known: Signature | None) -> tuple[Layout, tuple[Tensor, ...]]:
    if not inputs:
        return _assumed(url, known)
    for each in inputs:
        if not 1 <= len(each.shape) <= _ROWS_AND_COLUMNS:
            raise _unusable(url, f"its input {each.name} has the shape {list(each.shape)}, which is no table")
    if len(inputs) == 1 and inputs[0].width != 1:
        only = inputs[0]
        if known is None:
            raise _unusable(
                url,
                f"its input {only.name} has {'any number of' if only.width < 0 else only.width} columns without names",
                "Give the signature, with the features in the order of the columns: --signature FILE.",
            )
        if only.width not in {-1, len(known.features)}:
            raise _unusable(
                url, f"its input {only.name} has {only.width} columns, and the signature {len(known.features)} features"
            )
        return Layout.MATRIX, (Tensor(only.name, only.datatype),)
    wide = [each.name for each in inputs if each.width != 1]
    if wide:
        raise _unusable(url, f"besides others it takes {', '.join(wide)} of several columns")
    tensors = {each.name: Tensor(each.name, each.datatype, len(each.shape)) for each in inputs}
    if known is None:
        return Layout.COLUMNS, tuple(tensors.values())
    if tensors.keys() != set(known.names):
        raise _unusable(url, f"it takes {', '.join(tensors)}, and the signature names {', '.join(known.names)}")
    return Layout.COLUMNS, tuple(tensors[name] for name in known.names)


def _assumed(url: str, known: Signature | None) -> tuple[Layout, tuple[Tensor, ...]]:
    """Give the tensors of a model that names none: a matrix of numbers, or, with anything else in it, columns."""
    if known is None:
        raise _unusable(url, "it names no inputs", "Give the signature: --signature FILE.")
    if all(feature.dtype in NUMERIC for feature in known.features):
        return Layout.MATRIX, (Tensor("input-0", "FP64"),)
    return Layout.COLUMNS, tuple(Tensor(feature.name, _SENT[feature.dtype]) for feature in known.features)


def _named_outputs(outputs: Sequence[_Described], known: Signature | None) -> tuple[str, str]:
    """Tell which output is the prediction and which, if any, the probabilities of classes."""
    if known is not None and known.output.kind is OutputKind.NUMBER:
        return (outputs[0].name if outputs else ""), ""
    probabilities = next((each for each in outputs if each.name in PROBABILITIES), None)
    others = [each for each in outputs if each is not probabilities]
    if (
        probabilities is None
        and len(others) == 1
        and others[0].width > 1
        and _DTYPES.get(others[0].datatype) == "float"
    ):
        return "", others[0].name
    return (others[0].name if others else ""), ("" if probabilities is None else probabilities.name)


def _output(outputs: Sequence[_Described], prediction: str, probabilities: str) -> Output:
    named = {each.name: each for each in outputs}
    if probabilities:
        width = named[probabilities].width
        return Output(OutputKind.CLASS, () if prediction else tuple(range(max(width, 0))))
    if prediction and named[prediction].dtype is not Dtype.FLOAT:
        return Output(OutputKind.CLASS)
    return Output(OutputKind.NUMBER)


def _tensors(url: str, raw: object) -> list[_Described]:
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise _unusable(url, f"it has {shown(raw)} in place of a list of tensors")
    return [_tensor(url, each) for each in raw]


def _tensor(url: str, raw: object) -> _Described:
    given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    name, datatype, shape = given.get("name"), given.get("datatype"), given.get("shape")
    if not isinstance(name, str) or not name or datatype not in DATATYPES or not isinstance(shape, list):
        raise _unusable(url, f"{shown(raw)} is no tensor that can be sent or read")
    if not all(isinstance(size, int) for size in shape):
        raise _unusable(url, f"its tensor {name} has the shape {shown(shape)}")
    return _Described(name, datatype, tuple(shape))


def _unusable(url: str, what: str, remedy: str = "") -> InvalidInput:
    return InvalidInput(
        f"What {url} says of itself cannot be used: {what}.",
        field="url",
        remedy=remedy or "A remote model takes a tensor of one column for each feature, or one with all the columns.",
    )
