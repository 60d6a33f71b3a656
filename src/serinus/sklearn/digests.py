r"""A digest of training data that depends on its values alone, not on what holds them.

    sha256( JSON {"columns": …, "labels": …, "rows": …}, "\n", each column of X, then y )

A column is its values one after the other. A number (also true and false) is ``n`` and its float64, little-endian, with
one zero; a whole number beyond 2^53 in a column of integers is ``i`` and its int64 (``u``, uint64). A missing value
(NaN, None, NA) is ``m`` and eight zero bytes. A string is ``s``, the length of its UTF-8 as uint64, and that.

So a DataFrame and the array of its values have the same digest, and int 1, float 1.0 and True are the same value. The
order of columns and rows matters, names do not. Values are taken in pieces: nothing is copied as a whole.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.errors import InvalidInput

if TYPE_CHECKING:
    from hashlib import _Hash

_PIECE = 65_536
"""Rows that are converted at a time."""
_EXACT = 2**53
_NUMBER = np.dtype([("kind", "S1"), ("value", "<u8")])
_TABLE = 2
"""Dimensions: rows and columns."""


def dataset_digest(X: Any, y: Any = None) -> str:
    """Give ``sha256:<hex>`` of a table of shape (rows, columns) and, if there are any, its labels of shape (rows,).

    Raises:
        InvalidInput: X is no table, X and y have different lengths, or a value is no number, bool or string.
    """
    columns = list(_columns(X))
    labels = [] if y is None else list(_columns(np.reshape(y, (-1, 1)) if not hasattr(y, "iloc") else _frame(y)))
    rows = {len(column) for column in columns + labels}
    if len(rows) != 1:
        raise InvalidInput(
            "X and y have different lengths." if rows else "X has no columns.",
            field="y" if rows else "X",
            remedy="Give a table, and one label for each row.",
        )
    digest = hashlib.sha256()
    head = {"columns": len(columns), "labels": len(labels), "rows": rows.pop()}
    digest.update(json.dumps(head, sort_keys=True).encode() + b"\n")
    for column in columns + labels:
        _add(digest, column)
    return f"sha256:{digest.hexdigest()}"


def _columns(table: Any) -> Iterator[Any]:
    """Yield what can be sliced and turned into an array."""
    if hasattr(table, "iloc"):
        for place in range(table.shape[1]):
            yield table.iloc[:, place]
        return
    array = np.asarray(table)
    if array.ndim != _TABLE:
        raise InvalidInput(
            f"X is of shape {array.shape}, not a table of rows and columns.",
            field="X",
            remedy="Give a DataFrame or an array of shape (rows, features).",
        )
    for place in range(array.shape[1]):
        yield array[:, place]


def _frame(labels: Any) -> Any:
    return labels.to_frame() if hasattr(labels, "to_frame") else labels


def _add(digest: "_Hash", column: Any) -> None:
    for start in range(0, len(column), _PIECE):
        rows = slice(start, start + _PIECE)
        digest.update(_encoded(_values(column[rows] if isinstance(column, np.ndarray) else column.iloc[rows])))


def _values(piece: Any) -> NDArray[Any]:
    kind = getattr(piece.dtype, "kind", "O")
    # What pandas has beyond numpy (categories, nullable integers, strings) is looked at value by value.
    plain = isinstance(piece.dtype, np.dtype) and kind in "biufU"
    return np.asarray(piece) if plain else np.asarray(piece, dtype=object)


def _encoded(values: NDArray[Any]) -> bytes:
    if values.dtype.kind in "biuf":
        return _numbers(values).tobytes()
    return b"".join(_encoded_one(value) for value in values.tolist())


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    floats = values.astype("<f8") + 0.0  # -0.0 becomes 0.0
    encoded = np.empty(len(values), _NUMBER)
    encoded["kind"] = b"n"
    encoded["value"] = floats.view("<u8")
    missing = np.isnan(floats)
    encoded["kind"][missing] = b"m"
    encoded["value"][missing] = 0
    if values.dtype.kind in "iu":
        large = (values > _EXACT) | (values < -_EXACT) if values.dtype.kind == "i" else values > _EXACT
        encoded["kind"][large] = values.dtype.kind.encode()
        encoded["value"][large] = values[large].astype("<i8" if values.dtype.kind == "i" else "<u8").view("<u8")
    return encoded


def _encoded_one(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"s" + len(text).to_bytes(8, "little") + text
    if is_missing(value):
        return _numbers(np.array([np.nan])).tobytes()
    if isinstance(value, bool | np.bool_):
        return _numbers(np.array([bool(value)])).tobytes()
    if isinstance(value, int | float | np.integer | np.floating) and -(2**63) <= value < 2**64:
        return _numbers(np.array([value])).tobytes()
    raise InvalidInput(
        f"The data holds a {type(value).__name__}, neither a number, a bool nor a string.",
        field="X",
        remedy="Turn it into numbers or strings.",
    )


def is_missing(value: object) -> bool:
    """Say whether a value is None, NaN or what pandas writes for them."""
    # What pandas writes is asked for first: its NA, compared with anything, is no bool.
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or bool(value != value)  # noqa: PLR0124 - NaN
