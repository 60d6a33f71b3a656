"""Frames: the rows that were logged at one time, with what tells whether they are all there and as they were written.

A frame is a header, all with the highest byte first, and its payload, the rows of ``log_rows``:

    magic and version (4 bytes), length of the payload (uint32), number of rows (uint32),
    oldest and newest instant in the rows (int64, microseconds since 2000), CRC-32 of all this and the payload (uint32)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"\xf5SJ\x01"
"""Begins each frame: its first byte is in no UTF-8 text, its last one is the version of the format."""

_FIELDS = Struct(">4sIIqq")
_CHECKSUM = Struct(">I")
HEADER = _FIELDS.size + _CHECKSUM.size
"""Bytes of a header."""


class Position(NamedTuple):
    """How far a journal has been read: to a byte of one of its segments, which count from 1."""

    segment: int
    place: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a journal that go into the store together, and between which positions they stand in it.

    ``oldest`` and ``newest`` bound the instants of the rows, in microseconds since 2000. Of what was damaged there are
    positions and no rows.
    """

    begins: Position
    ends: Position
    payload: bytes = b""
    records: int = 0
    oldest: int = 0
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What the store made of a batch: how far it has the journal now, and why it refused which number of its rows."""

    position: Position
    refused: int = 0
    reason: str = ""


class Frame(NamedTuple):
    """What a frame in some bytes holds: ``begins`` and ``ends`` are where its payload does."""

    records: int
    oldest: int
    newest: int
    begins: int
    ends: int


def framed(payload: bytes, records: int, oldest: int, newest: int) -> bytes:
    """Give the header of a payload."""
    fields = _FIELDS.pack(MAGIC, len(payload), records, oldest, newest)
    return fields + _CHECKSUM.pack(crc32(payload, crc32(fields)))


def length_at(data: bytes, place: int) -> int | None:
    """Say how many bytes the frame at a place has by its header, if one begins there."""
    if len(data) < place + HEADER:
        return None
    magic, length, *_ = _FIELDS.unpack_from(data, place)
    return HEADER + int(length) if magic == MAGIC else None


def frame_at(data: bytes, place: int) -> Frame | None:
    """Read the frame at a place; None where none is, or not a whole one, or not as it was written."""
    begins = place + HEADER
    if len(data) < begins:
        return None
    magic, length, records, oldest, newest = _FIELDS.unpack_from(data, place)
    ends = begins + length
    if magic != MAGIC or len(data) < ends:
        return None
    (wanted,) = _CHECKSUM.unpack_from(data, begins - _CHECKSUM.size)
    view = memoryview(data)
    actual = crc32(view[begins:ends], crc32(view[place : place + _FIELDS.size]))
    return Frame(records, oldest, newest, begins, ends) if actual == wanted else None


def next_frame(data: bytes, place: int) -> int | None:
    """Find the first place from one on where a whole frame begins."""
    while (place := data.find(MAGIC, place)) >= 0:
        if frame_at(data, place) is not None:
            return place
        place += 1
    return None


def batch_of(data: bytes, frames: Sequence[Frame], begins: Position, ends: Position) -> Batch:
    """Put the rows of frames in some bytes together."""
    return Batch(
        begins,
        ends,
        payload=b"".join(data[frame.begins : frame.ends] for frame in frames),
        records=sum(frame.records for frame in frames),
        oldest=min(frame.oldest for frame in frames),
        newest=max(frame.newest for frame in frames),
    )
