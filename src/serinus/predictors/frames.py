"""What a gateway and a runner say to each other: frames over a stream socket, the same on both ends. No I/O here.

A frame is a head of four little-endian uint32 (bytes after the head, number of the batch, kind, number of requests)
and what the kind says:

- MATRIX: for each request its number of rows (uint32, padded to 8 bytes in all), then the rows of all as float64.
- ROWS: MessagePack of [numbers of rows, rows].
- LOAD: MessagePack of ``Order``. ANSWERS, OUTCOMES, LOADED, REFUSED: MessagePack of what the class of that name has.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import Answer, Columns
from serinus.core.signature import Row

MATRIX, ROWS, LOAD, ANSWERS, OUTCOMES, LOADED, REFUSED = range(7)
HEAD = struct.Struct("<IIII")
LARGEST = 1 << 26
"""Bytes of what a runner says at once, at most: a gateway holds no more of it in memory."""
BAD = "bad_output"
"""The failure of a request whose model answered, and not with what is an answer."""
_NAN = float("nan")
_COUNT = struct.Struct("<I")
_MANY = 1024
_ONES = _COUNT.pack(1) * _MANY
"""The numbers of rows of so many requests of one row each; padding may hold anything."""
_encode = msgspec.msgpack.Encoder().encode


class Order(msgspec.Struct, array_like=True):
    """What a runner is to load: the label it goes by, the format and its signature, and what an operator allows."""

    label: str
    format: str
    signature: dict[str, Any]
    allow_pickle: bool
    allow_torchscript: bool
    trusted_types: list[str]
    threads: int


class Loaded(msgspec.Struct, array_like=True):
    """A model is ready; ``takes_matrix`` as its port says, ``offline`` whether it has no network."""

    takes_matrix: bool
    offline: bool


class Refused(msgspec.Struct, array_like=True):
    """A model could not be loaded: the error's code and parts; ``caused``: the model's own code raised."""

    code: str
    message: str
    field: str
    remedy: str


class Answers(msgspec.Struct, array_like=True):
    """The answers to a whole batch by column, and how long the model took, nanoseconds."""

    took_ns: int
    predictions: list[bool | int | float | str]
    classes: list[str | None]
    confidences: list[float | None]


class Outcome(msgspec.Struct, array_like=True):
    """What came of one request: answers by column, or, with ``failure`` ("error", "bad_output"), what was wrong."""

    failure: str = ""
    message: str = ""
    predictions: list[bool | int | float | str] = []
    classes: list[str | None] = []
    confidences: list[float | None] = []


class Outcomes(msgspec.Struct, array_like=True):
    """What came of each request of a batch, of which some failed, and how long the model took, nanoseconds.

    ``last``: the runner ends now, and answers no other batch.
    """

    took_ns: int
    outcomes: list[Outcome]
    last: bool = False


class Garbled(Exception):
    """What came is nothing that a runner says."""


_Said = TypeVar("_Said")


def _read(kind: type[_Said]) -> Callable[[memoryview], _Said]:
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(content: memoryview) -> _Said:
        try:
            return decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            raise Garbled(str(wrong)) from wrong

    return read


order = _read(Order)
loaded = _read(Loaded)
refused = _read(Refused)
_answers = _read(Answers)
_outcomes = _read(Outcomes)
_rows = msgspec.msgpack.Decoder(tuple[list[int], list[list[bool | int | float | str | None]]]).decode


class Packer:
    """Writes batches for a model whose rows have ``width`` values; as a matrix if it takes one."""

    def __init__(self, width: int, *, as_matrix: bool) -> None:
        self._as_matrix = as_matrix
        self._width = width
        self._pack = struct.Struct(f"<{width}d").pack

    def batch(self, number: int, requests: Sequence[Sequence[Row]]) -> bytes:
        """Write the rows of some requests."""
        count = len(requests)
        if not self._as_matrix:
            content = _encode(([len(rows) for rows in requests], [row for rows in requests for row in rows]))
            return HEAD.pack(len(content), number, ROWS, count) + content
        pack = self._pack
        try:
            values = [pack(*row) for rows in requests for row in rows]
        except struct.error:  # None is no number: it is missing
            values = [pack(*[_NAN if v is None else v for v in row]) for rows in requests for row in rows]
        if len(values) == count <= _MANY:  # one row each, as nearly always
            counts = _ONES[: 4 * (count + (count & 1))]
        else:
            counts = b"".join([_COUNT.pack(len(rows)) for rows in requests]) + b"\0\0\0\0" * (count & 1)
        length = len(counts) + 8 * self._width * len(values)
        return b"".join((HEAD.pack(length, number, MATRIX, count), counts, *values))


def as_matrix(data: memoryview, requests: int, width: int) -> tuple[list[int], NDArray[np.float64]]:
    """Read a MATRIX frame: the numbers of rows, and a writable array of shape (rows, width)."""
    counts = np.frombuffer(data, np.uint32, requests).tolist()
    begin = 4 * (requests + (requests & 1))
    return counts, np.frombuffer(data[begin:], np.float64).reshape(-1, width).copy()


def as_rows(data: memoryview) -> tuple[list[int], list[list[Any]]]:
    """Read a ROWS frame."""
    return _rows(data)


def frame(number: int, kind: int, content: msgspec.Struct) -> bytes:
    """Write a frame of any other kind."""
    data = _encode(content)
    return HEAD.pack(len(data), number, kind, 0) + data


class Reader:
    """Parts what comes in pieces from a socket into frames, of ``largest`` bytes at most, if any is too large."""

    def __init__(self, largest: int | None = None) -> None:
        self._held = bytearray()
        self._largest = largest

    def fed(self, data: bytes) -> Iterable[tuple[int, int, int, memoryview]]:
        """Give the frames that are complete: number, kind, requests and content, which is good until the next one.

        Raises:
            Garbled: a frame is too large.
        """
        if not self._held and len(data) >= HEAD.size:  # nearly always it is one whole frame
            length, number, kind, requests = HEAD.unpack_from(data)
            if len(data) == HEAD.size + length:
                return ((number, kind, requests, memoryview(data)[HEAD.size :]),)
        return self._parted(data)

    def _parted(self, data: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
        self._held += data
        while len(self._held) >= HEAD.size:
            length, number, kind, requests = HEAD.unpack_from(self._held)
            if self._largest is not None and length > self._largest:
                raise Garbled(f"a frame of {length} bytes")
            end = HEAD.size + length
            if len(self._held) < end:
                return
            content = bytes(self._held[HEAD.size : end])
            del self._held[:end]
            yield number, kind, requests, memoryview(content)


def answered(content: memoryview, rows: int) -> tuple[int, list[Answer]]:
    """Read an ANSWERS frame for so many rows: how long the model took, and the answers; Garbled if it is none."""
    found = _answers(content)
    return found.took_ns, _by_row(found, rows)


def outcomes(content: memoryview, counts: Sequence[int]) -> tuple[Outcomes, list[list[Answer]]]:
    """Read an OUTCOMES frame for requests of so many rows, with the answers to each; Garbled if it is none."""
    found = _outcomes(content)
    if len(found.outcomes) != len(counts):
        raise Garbled(f"outcomes of {len(found.outcomes)} requests, where there were {len(counts)}")
    each = zip(found.outcomes, counts, strict=True)
    return found, [[] if outcome.failure else _by_row(outcome, rows) for outcome, rows in each]


def _by_row(found: Answers | Outcome, rows: int) -> list[Answer]:
    predictions, classes, confidences = found.predictions, found.classes, found.confidences
    if not len(predictions) == len(classes) == len(confidences) == rows:
        raise Garbled(f"answers to {len(predictions)} rows, where there were {rows}")
    return Columns(predictions, classes, confidences).answers()
