import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.log_frames import (
    HEADER,
    MAGIC,
    START,
    Batch,
    Position,
    batch_of,
    frame_at,
    framed,
    length_at,
    next_frame,
)


def frame(payload: bytes = b"some rows", records: int = 2) -> bytes:
    return framed(payload, records, -5, 7) + payload


@given(st.binary(max_size=50), st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 20))
def test_a_frame_is_read_as_it_was_written(payload: bytes, records: int, instant: int, place: int) -> None:
    data = bytes(place) + framed(payload, records, instant, instant) + payload

    read = frame_at(data, place)

    assert read == (records, instant, instant, place + HEADER, len(data))
    assert length_at(data, place) == HEADER + len(payload)


@pytest.mark.parametrize("place", range(len(frame())))
def test_a_frame_of_which_one_bit_is_another_is_none(place: int) -> None:
    data = bytearray(frame())
    data[place] ^= 0x10

    assert frame_at(bytes(data), 0) is None


@pytest.mark.parametrize("length", range(len(frame())))
def test_a_frame_that_breaks_off_is_none(length: int) -> None:
    assert frame_at(frame()[:length], 0) is None


def test_the_next_frame_is_found_past_what_only_looks_like_one() -> None:
    data = b"torn" + frame()[:-1] + MAGIC + frame()

    assert next_frame(data, 0) == len(data) - len(frame())
    assert next_frame(data[:-1], 0) is None


def test_where_no_frame_begins_none_has_a_length() -> None:
    assert length_at(b"", 0) is None
    assert length_at(b"x" * 100, 0) is None


def test_a_batch_holds_the_rows_of_its_frames() -> None:
    data = frame(b"first", 2) + framed(b"second", 1, -9, 3) + b"second"
    frames = []
    place = 0
    while (read := frame_at(data, place)) is not None:
        frames.append(read)
        place = read.ends

    made = batch_of(data, frames, START, Position(1, len(data)))

    assert made == Batch(START, Position(1, len(data)), b"firstsecond", 3, -9, 7)
