"""Rows and answers as the Open Inference Protocol has them in JSON. No I/O here."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from serinus.core.answers import Answer, RawOutput, read_answers
from serinus.core.endpoint import Endpoint, Layout, Tensor
from serinus.core.errors import BadOutput
from serinus.core.features import Scalar, shown
from serinus.core.signature import Output, Row

_SHOWN = 300
"""Characters kept of what an engine says when it refuses."""


class _Output(msgspec.Struct):
    name: str
    shape: list[int]
    data: list[Any]


class _Response(msgspec.Struct):
    outputs: list[_Output]


class _Refusal(msgspec.Struct):
    error: str


_responses = msgspec.json.Decoder(_Response)
_refusals = msgspec.json.Decoder(_Refusal)


def request_of(endpoint: Endpoint, rows: Sequence[Row]) -> bytes:
    """Write rows in training order as the endpoint takes them; a missing value is null."""
    if endpoint.layout is Layout.MATRIX:
        tensor = endpoint.inputs[0]
        values = [_sent(value, tensor.datatype) for row in rows for value in row]
        inputs = [_tensor(tensor, [len(rows), len(rows[0])], values)]
    else:
        inputs = [
            _tensor(tensor, [len(rows), 1][: tensor.rank], [_sent(row[place], tensor.datatype) for row in rows])
            for place, tensor in enumerate(endpoint.inputs)
        ]
    wanted = [{"name": name} for name in (endpoint.prediction, endpoint.probabilities) if name]
    return msgspec.json.encode({"inputs": inputs} | ({"outputs": wanted} if wanted else {}))


def answers_of(endpoint: Endpoint, data: bytes, output: Output, rows: int) -> list[Answer]:
    """Read the engine's answer for so many rows; BadOutput where it is none."""
    try:
        outputs = _responses.decode(data).outputs
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadOutput(f"{endpoint.path} did not answer as the Open Inference Protocol asks: {wrong}.") from wrong
    table = None if not endpoint.probabilities else _table(_named(outputs, endpoint.probabilities), rows)
    if endpoint.prediction or table is None:
        values = _column(_named(outputs, endpoint.prediction), rows)
    else:
        values = _most_likely(table, output)
    return read_answers(RawOutput(values, table), output, rows)


def refusal_of(data: bytes) -> str:
    """Give what an engine says when it refuses, "" if it says nothing that can be read."""
    try:
        text = _refusals.decode(data).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = data[: 4 * _SHOWN].decode(errors="replace").strip()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _tensor(tensor: Tensor, shape: list[int], data: list[Scalar | None]) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data}


def _sent(value: Scalar | None, datatype: str) -> Scalar | None:
    if value is None or datatype in {"BYTES", "BOOL"}:
        return value
    return float(value) if "FP" in datatype or "BF" in datatype else int(value)


def _named(outputs: list[_Output], name: str) -> _Output:
    found = next((each for each in outputs if not name or each.name == name), None)
    if found is None:
        there = ", ".join(each.name for each in outputs) or "nothing"
        raise BadOutput(f"The engine gave {there[:_SHOWN]}, and not {name or 'an output'}.")
    return found


def _column(output: _Output, rows: int) -> "np.ndarray[Any, np.dtype[np.object_]]":
    """Give one value a row, as the engine wrote it."""
    flat = _flat(output)
    if len(flat) != rows or output.shape[:1] != [rows]:
        raise BadOutput(f"The output {output.name} has the shape {output.shape} for {rows} row(s).")
    values = np.empty(rows, dtype=object)
    values[:] = flat
    return values


def _table(output: _Output, rows: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    flat = _flat(output)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in flat):
        strange = next(value for value in flat if isinstance(value, bool) or not isinstance(value, int | float))
        raise BadOutput(f"The output {output.name} holds {shown(strange)} in place of a probability.")
    if not flat or len(flat) % rows or output.shape[:1] != [rows]:
        raise BadOutput(f"The output {output.name} has the shape {output.shape} for {rows} row(s).")
    return np.asarray(flat, dtype=np.float64).reshape(rows, -1)


def _most_likely(
    table: "np.ndarray[Any, np.dtype[np.float64]]", output: Output
) -> "np.ndarray[Any, np.dtype[np.object_]]":
    if table.shape[1] != len(output.classes):
        raise BadOutput(f"The engine gave {table.shape[1]} probabilities for {len(output.classes)} classes.")
    values = np.empty(len(table), dtype=object)
    values[:] = [output.classes[place] for place in table.argmax(axis=1).tolist()]
    return values


def _flat(output: _Output) -> list[Any]:
    """Give the values of a tensor in a row: its rows may be lists of their own."""
    if not any(isinstance(each, list) for each in output.data):
        return output.data
    return [value for each in output.data for value in (each if isinstance(each, list) else [each])]
