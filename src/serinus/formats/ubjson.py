"""Reads UBJSON as XGBoost writes it (ubjson.org, draft 12): big-endian numbers, arrays with their type and length.

It never believes a length that the bytes cannot hold.
"""

import struct
from typing import Any

import numpy as np

_NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
_INTEGERS = "iUIlL"
_CONSTANTS: dict[str, bool | None] = {"Z": None, "T": True, "F": False}
_DEEPEST = 64


def read(data: bytes) -> Any:
    """Read one value that is the whole of the bytes; typed arrays become numpy's.

    Raises:
        ValueError: the bytes are cut off, nested too deeply, no UBJSON, or name a member of an object twice.
    """
    value, end = _value(memoryview(data), 0, 0)
    if end != len(data):
        message = f"{len(data) - end} bytes follow the end"
        raise ValueError(message)
    return value


def _value(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    kind, at = _letter(data, at)
    return _of_kind(kind, data, at, depth)


def _of_kind(kind: str, data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    if depth > _DEEPEST:
        message = "nested too deeply"
        raise ValueError(message)
    if kind in _NUMBERS:
        return _number(kind, data, at)
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind == "S":
        return _text(data, at)
    if kind == "[":
        return _array(data, at, depth)
    if kind == "{":
        return _object(data, at, depth)
    message = f"{kind!r} at byte {at - 1} begins no value"
    raise ValueError(message)


def _array(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    kind = ""
    if _peek(data, at) == "$":
        kind, at = _letter(data, at + 1)
    if _peek(data, at) == "#":
        length, at = _length(data, at + 1)
        if kind in _NUMBERS:
            return _numbers(kind, data, at, length)
        items = []
        for _ in range(_within(data, at, length)):
            item, at = _of_kind(kind, data, at, depth + 1) if kind else _value(data, at, depth + 1)
            items.append(item)
        return items, at
    items = []
    while _peek(data, at) != "]":
        item, at = _value(data, at, depth + 1)
        items.append(item)
    return items, at + 1


def _object(data: memoryview, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    while _peek(data, at) != "}":
        name, at = _text(data, at)
        if name in members:
            message = f"{name!r} is there twice"
            raise ValueError(message)
        members[name], at = _value(data, at, depth + 1)
    return members, at + 1


def _numbers(kind: str, data: memoryview, at: int, length: int) -> tuple[Any, int]:
    dtype = np.dtype(f">{_NUMBERS[kind]}")
    end = at + _within(data, at, length * dtype.itemsize)
    return np.frombuffer(data[at:end], dtype).astype(dtype.newbyteorder("=")), end


def _number(kind: str, data: memoryview, at: int) -> tuple[Any, int]:
    layout = f">{_NUMBERS[kind]}"
    end = at + _within(data, at, struct.calcsize(layout))
    return struct.unpack(layout, data[at:end])[0], end


def _text(data: memoryview, at: int) -> tuple[str, int]:
    length, at = _length(data, at)
    end = at + _within(data, at, length)
    return bytes(data[at:end]).decode(), end


def _length(data: memoryview, at: int) -> tuple[int, int]:
    kind, at = _letter(data, at)
    if kind not in _INTEGERS:
        message = f"{kind!r} at byte {at - 1} begins no length"
        raise ValueError(message)
    return _number(kind, data, at)


def _letter(data: memoryview, at: int) -> tuple[str, int]:
    return _peek(data, at), at + 1


def _peek(data: memoryview, at: int) -> str:
    return chr(data[at + _within(data, at, 1) - 1])


def _within(data: memoryview, at: int, length: int) -> int:
    if not 0 <= length <= len(data) - at:
        message = f"{length} bytes at byte {at} of {len(data)}: it is cut off"
        raise ValueError(message)
    return length
