"""Tensors of the Open Inference Protocol: from JSON and from bytes to values, and back."""

import base64
import binascii
import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import InvalidFeatures
from serinus.core.features import Dtype, Scalar, shown
from serinus.core.signature import Output, OutputKind, Row, Signature
from serinus.http import rows

Value = Scalar | None

MOST_DIMENSIONS = 8
_LENGTH = struct.Struct("<I")
_BYTES = "BYTES"
_BF16 = "BF16"
"""Half of an FP32, the upper one; a datatype of the protocol's binary extension."""
_NUMPY = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
DATATYPES = (*_NUMPY, _BF16, _BYTES)
OF_FEATURES = {Dtype.INT: "INT64", Dtype.FLOAT: "FP64", Dtype.STR: _BYTES, Dtype.BOOL: "BOOL"}
_OF_CLASSES = {bool: "BOOL", int: "INT64", float: "FP64", str: _BYTES}
_HELD: dict[str, set[type]] = {"BOOL": {bool}, "FP64": {int, float}}


class Shaped(Protocol):
    """What a tensor says of itself before its values are read."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def shape(self) -> Sequence[int]:
        """How many parts it has in each dimension."""
        ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that came: its values, row by row (row-major); None is one that is missing."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Value]


# ------------------------------------------------------------------------------------------------ reading


def from_json(name: str, datatype: str, shape: Sequence[int], data: object, *, base64_coded: bool = False) -> Tensor:
    """Read a tensor whose data is JSON: a flat list of its values, or one nested as its shape is.

    Null and, in a floating-point tensor, NaN stand for a value that is missing. Strings are ``base64_coded``, or text.

    Raises:
        InvalidFeatures: the shape, the number of values or one of them is not what it has to be; it names the tensor.
    """
    size = _checked(name, datatype, shape)
    if not isinstance(data, list):
        raise _wrong(name, f"has data that is {shown(data)}", "Send data as a list.")
    flat = _unnested(name, data, tuple(shape)) if data and isinstance(data[0], list) else data
    if len(flat) != size:
        raise _wrong(name, f"has {len(flat)} values for the shape {list(shape)}", f"Send {size} values.")
    if datatype == _BYTES:
        return Tensor(name, datatype, tuple(shape), [_text(name, each, base64_coded=base64_coded) for each in flat])
    if datatype == _BF16 or datatype.startswith("FP"):
        return Tensor(name, datatype, tuple(shape), _floats(name, datatype, flat))
    return Tensor(name, datatype, tuple(shape), _whole(name, datatype, flat))


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """Read a tensor in the binary form of the protocol: little-endian, each string after its length in four bytes.

    Raises:
        InvalidFeatures: as ``from_json`` does.
    """
    size = _checked(name, datatype, shape)
    if datatype == _BYTES:
        return Tensor(name, datatype, tuple(shape), _strings(name, size, raw))
    kind = np.dtype("<u2") if datatype == _BF16 else np.dtype("u1") if datatype == "BOOL" else _NUMPY[datatype]
    if len(raw) != size * kind.itemsize:
        raise _wrong(
            name,
            f"has {len(raw)} bytes for the shape {list(shape)} of {datatype}",
            f"Send {size * kind.itemsize} bytes.",
        )
    array = np.frombuffer(raw, kind)
    if datatype == "BOOL":
        return Tensor(name, datatype, tuple(shape), (array != 0).tolist())
    if datatype == _BF16:
        array = (array.astype("<u4") << 16).view("<f4")
    return Tensor(name, datatype, tuple(shape), _without_nan(array.tolist()))


def _checked(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Check what a tensor says of itself, and give how many values it should have."""
    if datatype not in DATATYPES:
        raise _wrong(name, f"has the datatype {shown(datatype)}", f"Use one of {', '.join(DATATYPES)}.")
    if not 0 < len(shape) <= MOST_DIMENSIONS or min(shape) < 0:
        raise _wrong(name, f"has the shape {shown(list(shape))}", "Send [rows], [rows, 1] or [rows, features].")
    return math.prod(shape)


def _unnested(name: str, data: object, shape: tuple[int, ...]) -> list[object]:
    if not isinstance(data, list) or len(data) != shape[0]:
        found = f"{len(data)} parts" if isinstance(data, list) else shown(data)
        raise _wrong(name, f"has {found} where its shape has {shape[0]}", "Nest data as its shape is, or send it flat.")
    if len(shape) == 1:
        return data
    return list(chain.from_iterable(_unnested(name, part, shape[1:]) for part in data))


def _whole(name: str, datatype: str, flat: Iterable[object]) -> list[Value]:
    if datatype == "BOOL":
        wanted: type[bool | int] = bool
        low, high = 0, 1
    else:
        wanted, bounds = int, np.iinfo(_NUMPY[datatype])
        low, high = int(bounds.min), int(bounds.max)
    values: list[Value] = []
    for each in flat:
        if each is not None and not (type(each) is wanted and low <= each <= high):
            raise _wrong(name, f"has the value {shown(each)}", f"Send values of {datatype}.")
        values.append(each)
    return values


def _floats(name: str, datatype: str, flat: list[object]) -> list[Value]:
    """Round numbers as their datatype would have it, so that JSON and bytes mean the same."""
    for each in flat:
        if not (each is None or (isinstance(each, int | float) and not isinstance(each, bool))):
            raise _wrong(name, f"has the value {shown(each)}", f"Send values of {datatype}.")
    try:
        exact = np.array([math.nan if each is None else each for each in flat], np.float64)
    except OverflowError:
        raise _wrong(name, "has a number beyond all of FP64", f"Send values of {datatype}.") from None
    with np.errstate(over="ignore", invalid="ignore"):
        if datatype == _BF16:
            array = _upper_halves(exact).astype("<u4") << 16
            return _without_nan(array.view("<f4").tolist())
        return _without_nan(exact.astype(_NUMPY[datatype]).tolist())


def _upper_halves(exact: NDArray[np.float64]) -> NDArray[np.uint32]:
    bits: NDArray[np.uint32] = exact.astype("<f4").view("<u4")
    return bits >> np.uint32(16)


def _without_nan(values: list[Value]) -> list[Value]:
    return [None if each != each else each for each in values]  # noqa: PLR0124 - only NaN is not itself


def _text(name: str, value: object, *, base64_coded: bool) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(name, f"has the value {shown(value)}", "Send strings.")
    if not base64_coded:
        return value
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _wrong(name, f"has {shown(value)}, which is no UTF-8 text in base64", "Send text in base64.") from None


def _strings(name: str, size: int, raw: bytes) -> list[Value]:
    values: list[Value] = []
    place = 0
    while place < len(raw):
        begin = place + _LENGTH.size
        if begin > len(raw) or begin + (length := _LENGTH.unpack_from(raw, place)[0]) > len(raw):
            raise _wrong(name, f"ends within its string {len(values)}", "Send each string after its length.")
        place = begin + length
        try:
            values.append(raw[begin:place].decode())
        except UnicodeDecodeError:
            raise _wrong(name, f"has a string {len(values)} that is no UTF-8", "Send text.") from None
    if len(values) != size:
        raise _wrong(name, f"has {len(values)} strings where its shape has {size}", f"Send {size} strings.")
    return values


def _wrong(name: str, what: str, remedy: str) -> InvalidFeatures:
    return InvalidFeatures(f"The input {shown(name)} {what}.", field=f"inputs.{name[:80]}", remedy=remedy)


# --------------------------------------------------------------------------------------------------- rows


def check_shapes(tensors: Sequence[Shaped], signature: Signature, *, only_columns: bool = False) -> None:
    """See that tensors may hold rows: [n] or [n, 1] for each feature, by its name, or a single one of [n, features].

    A tensor whose name is no feature's has all features, in training order; not where there are ``only_columns``. The
    values need not be read for it.

    Raises:
        InvalidFeatures: names or shapes do not fit the signature.
    """
    if _is_matrix(tensors, signature, only_columns=only_columns):
        name, shape, width = tensors[0].name, list(tensors[0].shape), len(signature.features)
        if shape[1:] != [width]:
            raise _wrong(
                name,
                f"has the shape {shown(shape)}, and its name is no feature's",
                f"Send [n, {width}] with values in this order: {', '.join(signature.names)}; "
                "or one tensor for each feature, by its name.",
            )
        return
    names = Counter(tensor.name for tensor in tensors)
    signature.check_names(names)
    for tensor in tensors:
        if names[tensor.name] > 1:
            raise _wrong(tensor.name, "is there twice", "Send one tensor for each feature.")
        if not tensor.shape or list(tensor.shape[1:]) not in ([], [1]):
            what = f"has the shape {shown(list(tensor.shape))}"
            raise _wrong(tensor.name, what, "A column has the shape [n] or [n, 1].")


def as_rows(tensors: Sequence[Tensor], signature: Signature, *, only_columns: bool = False) -> Iterator[Row]:
    """Read rows from tensors whose shapes are right (``check_shapes``).

    Raises:
        InvalidFeatures: values do not fit the signature, or columns do not have the same length.
    """
    if _is_matrix(tensors, signature, only_columns=only_columns):
        yield from _of_matrix(tensors[0], signature)
    else:
        yield from rows.in_columns(signature, {tensor.name: tensor.values for tensor in tensors})


def _is_matrix(tensors: Sequence[Shaped], signature: Signature, *, only_columns: bool) -> bool:
    return len(tensors) == 1 and not only_columns and tensors[0].name not in signature.names


def _of_matrix(tensor: Tensor, signature: Signature) -> Iterator[Row]:
    features = signature.features
    width = len(features)
    flags = [index for index, feature in enumerate(features) if feature.dtype is Dtype.BOOL]
    table = (tensor.values[start : start + width] for start in range(0, len(tensor.values), width))
    yield from rows.ordered(signature, (_with_flags(row, flags) for row in table) if flags else table)


def _with_flags(row: list[Value], flags: Iterable[int]) -> list[Value]:
    """Take 0 and 1 for false and true: a matrix has one datatype for all features."""
    for index in flags:
        if row[index] in {0, 1} and not isinstance(row[index], bool):
            row[index] = bool(row[index])
    return row


# ------------------------------------------------------------------------------------------------ writing


def datatype_of(output: Output) -> str:
    """Give the datatype of predictions; classes that are not all of one kind, or not known, are BYTES."""
    if output.kind is OutputKind.NUMBER:
        return "FP64"
    kinds = {type(each) for each in output.classes}
    if len(kinds) != 1 or any(type(each) is int and not -(2**63) <= each < 2**63 for each in output.classes):
        return _BYTES
    return _OF_CLASSES[kinds.pop()]


def fitting(datatype: str, values: Iterable[Value]) -> str:
    """Give the datatype of predictions that were made: BYTES where one does not fit.

    A canary may know classes of another kind than the baseline's.
    """
    return datatype if all(_fits(datatype, each) for each in values) else _BYTES


def _fits(datatype: str, value: Value) -> bool:
    if datatype == "INT64":
        return type(value) is int and -(2**63) <= value < 2**63
    return datatype == _BYTES or type(value) in _HELD[datatype]


def to_json(datatype: str, values: Sequence[Value]) -> list[Value]:
    """Give the flat JSON data of a tensor; what is missing is null."""
    return list(values) if datatype != _BYTES else [str(each) for each in values]


def to_bytes(datatype: str, values: Sequence[Value]) -> bytes:
    """Give a tensor in the binary form of the protocol; what is missing is NaN."""
    if datatype == _BYTES:
        encoded = [str(each).encode() for each in values]
        return b"".join(part for each in encoded for part in (_LENGTH.pack(len(each)), each))
    filled = [math.nan if each is None else each for each in values]
    if datatype == _BF16:
        return _upper_halves(np.array(filled, np.float64)).astype("<u2").tobytes()
    return np.array(filled, _NUMPY[datatype]).tobytes()
