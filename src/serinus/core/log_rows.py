"""Logged predictions as bytes: each a tuple of PostgreSQL's binary COPY format, so that it takes them as they are.

A tuple is the number of its fields (int16), then for each its length in bytes (int32, -1 for NULL) and its data, all
with the highest byte first. What differs from row to row and has a fixed size comes first, what rows have in common
next: a row is put together from parts, most of which are encoded once.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.core.texts import escaped

COLUMNS = (
    "id",
    "at",
    "latency_ms",
    "inputs_hmac",
    "confidence",
    "deployment",
    "rollout",
    "split_version",
    "role",
    "version",
    "answered_by",
    "key_id",
    "error_kind",
    "forced",
    "prediction",
    "prediction_class",
    "entity_hmac",
)
"""The fields of a row, in their order."""
EPOCH_US = 946_684_800_000_000
"""Microseconds from 1970, where Unix begins to count, to 2000, where PostgreSQL does."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ID_CHARACTERS = 32
_HASH_CHARACTERS = 64

_COUNT = struct.pack(">h", len(COLUMNS))
_LENGTH = struct.Struct(">i")
_NULL, _EMPTY = _LENGTH.pack(-1), _LENGTH.pack(0)
_BEGINS, _EIGHT, _HASH = _COUNT + _LENGTH.pack(_ID_CHARACTERS), _LENGTH.pack(8), _LENGTH.pack(_HASH_CHARACTERS)
_pack_head = struct.Struct(f">6s{_ID_CHARACTERS}s4sq4sd4s{_HASH_CHARACTERS}s").pack
_pack_confidence = struct.Struct(">id").pack
_INT32, _INT64, _FLOAT, _BOOL = (struct.Struct(form) for form in (">i", ">q", ">d", ">?"))


def microseconds(at: datetime) -> int:
    """Give an instant as PostgreSQL counts: microseconds since 2000 in UTC."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at_us: int) -> datetime:
    """Give back what ``microseconds`` was given, in UTC; OverflowError where it is beyond all years."""
    return _EPOCH + _MICROSECOND * at_us


@lru_cache(maxsize=256)
def constant_part(  # noqa: PLR0913 - the fields that it holds
    *,
    deployment: str,
    rollout: str,
    split_version: int,
    role: Role,
    version: str,
    answered_by: str,
    key_id: str,
    error_kind: str = "",
    forced: bool = False,
) -> bytes:
    """Encode the fields that many rows have in common, or give them as they were encoded a short while ago."""
    return b"".join(
        (
            _text(deployment),
            _text(rollout),
            _data(_INT32.pack(split_version)),
            _text(role.value),
            _text(version),
            _text(answered_by),
            _text(key_id),
            _text(error_kind),
            _data(_BOOL.pack(forced)),
        )
    )


def answer_part(prediction: str, prediction_class: str | None) -> bytes:
    """Encode an answer: its JSON text, and its class."""
    return _text(prediction) + (_NULL if prediction_class is None else _text(prediction_class))


def row(  # noqa: PLR0913, PLR0917 - by their places, for this is on the way of every answer
    id: str,  # noqa: A002 - the field's name
    at_us: int,
    latency_ms: float,
    inputs_hmac: str,
    confidence: float | None,
    constant: bytes,
    answer: bytes,
    entity_hmac: str = "",
) -> bytes:
    """Encode a row.

    Args:
        id: quickest with 32 characters. at_us: as ``microseconds`` gives it. inputs_hmac: 64 hex digits.
        constant, answer: as ``constant_part`` and ``answer_part`` give them.
    """
    sure = _NULL if confidence is None else _pack_confidence(8, confidence)
    whose = _text(entity_hmac) if entity_hmac else _EMPTY
    if len(id) == _ID_CHARACTERS and len(inputs_hmac) == _HASH_CHARACTERS and id.isascii() and "\0" not in id:
        head = _pack_head(_BEGINS, id.encode(), _EIGHT, at_us, _EIGHT, latency_ms, _HASH, inputs_hmac.encode())
    else:
        numbers = _data(_INT64.pack(at_us)) + _data(_FLOAT.pack(latency_ms))
        head = _COUNT + _text(id) + numbers + _text(inputs_hmac)
    return head + sure + constant + answer + whose


def encoded(record: PredictionRecord) -> bytes:
    """Encode a record; what databases cannot hold of its texts is escaped."""
    constant = constant_part(
        deployment=record.deployment,
        rollout=record.rollout,
        split_version=record.split_version,
        role=record.role,
        version=record.version,
        answered_by=record.answered_by,
        key_id=record.key_id,
        error_kind=record.error_kind,
        forced=record.forced,
    )
    return row(
        record.id,
        microseconds(record.at),
        record.latency_ms,
        record.inputs_hmac,
        record.confidence,
        constant,
        answer_part(record.prediction, record.prediction_class),
        record.entity_hmac,
    )


def decoded(data: bytes) -> Iterator[PredictionRecord]:
    """Read rows, one after the other; ValueError where the bytes are none."""
    return map(record_of, split(data))


def record_of(fields: Sequence[bytes | None]) -> PredictionRecord:
    """Read the fields of one row; ValueError where they are of no record."""
    try:
        return PredictionRecord(**{name: read(field) for (name, read), field in zip(_READ, fields, strict=True)})
    except (TypeError, struct.error, OverflowError) as wrong:
        message = f"a row is no logged prediction: {wrong}"
        raise ValueError(message) from wrong


def split(data: bytes) -> Iterator[list[bytes | None]]:
    """Part rows into their fields, None for NULL; ValueError where the bytes are no rows."""
    place, end = 0, len(data)
    while place < end:
        begins, fields = place, list[bytes | None]()
        try:
            is_row = data[place : place + 2] == _COUNT
            place += 2
            for _ in COLUMNS:
                (length,) = _LENGTH.unpack_from(data, place)
                place += 4
                fields.append(None if length < 0 else data[place : place + length])
                place += max(length, 0)
        except struct.error:
            is_row = False
        if not is_row or place > end:
            message = f"what begins at byte {begins} of {end} is no row"
            raise ValueError(message)
        yield fields


def _data(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _text(text: str) -> bytes:
    return _data(escaped(text).encode())


def _read_text(field: bytes | None) -> str:
    if field is None:
        message = "a text is missing"
        raise TypeError(message)
    return field.decode()


def _number(form: struct.Struct) -> Callable[[bytes | None], Any]:
    return lambda field: form.unpack(field or b"")[0]


_AS_THEY_ARE: dict[str, Callable[[bytes | None], Any]] = {
    "at": lambda field: instant(_INT64.unpack(field or b"")[0]),
    "latency_ms": _number(_FLOAT),
    "confidence": lambda field: None if field is None else _FLOAT.unpack(field)[0],
    "split_version": _number(_INT32),
    "role": lambda field: Role(_read_text(field)),
    "forced": _number(_BOOL),
    "prediction_class": lambda field: None if field is None else field.decode(),
}
_READ = [(name, _AS_THEY_ARE.get(name, _read_text)) for name in COLUMNS]
