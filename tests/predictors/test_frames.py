import math
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.answers import Answer
from serinus.core.signature import Row
from serinus.predictors import frames
from serinus.predictors.frames import HEAD, Answers, Garbled, Outcome, Outcomes, Packer, Reader

Frame = tuple[int, int, int, bytes]
NUMBERS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
SCALARS = NUMBERS | st.text()


@st.composite
def requests(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[int, list[list[Row]]]:
    """Draw a width, and the rows of some requests."""
    width = draw(st.integers(1, 4))
    row = st.lists(values, min_size=width, max_size=width)
    return width, draw(st.lists(st.lists(row, min_size=1, max_size=3), min_size=1, max_size=5))


def alone(data: bytes) -> tuple[int, int, int, memoryview]:
    (frame,) = Reader().fed(data)
    return frame


def copied(reader: Reader, data: bytes) -> list[Frame]:
    return [(number, kind, count, bytes(content)) for number, kind, count, content in reader.fed(data)]


def as_float(value: Any) -> float:
    return math.nan if value is None else float(value)


@given(requests(NUMBERS), st.integers(0, 2**32 - 1))
def test_a_matrix_comes_out_as_it_went_in_with_nan_for_what_is_missing(
    drawn: tuple[int, list[list[Row]]], number: int
) -> None:
    width, asked = drawn

    data = Packer(width, as_matrix=True).batch(number, asked)

    read, kind, count, content = alone(data)
    counts, matrix = frames.as_matrix(content, count, width)
    assert (read, kind, counts) == (number, frames.MATRIX, [len(rows) for rows in asked])
    expected = np.array([[as_float(value) for value in row] for rows in asked for row in rows], dtype=np.float64)
    assert matrix.shape == expected.shape
    assert matrix.tobytes() == expected.tobytes() or np.array_equal(matrix, expected, equal_nan=True)
    assert matrix.flags.writeable


@given(requests(SCALARS), st.integers(0, 2**32 - 1))
def test_rows_come_out_as_they_went_in(drawn: tuple[int, list[list[Row]]], number: int) -> None:
    width, asked = drawn

    data = Packer(width, as_matrix=False).batch(number, asked)

    read, kind, count, content = alone(data)
    counts, rows = frames.as_rows(content)
    assert (read, kind, count) == (number, frames.ROWS, len(asked))
    assert counts == [len(each) for each in asked]
    assert repr(rows) == repr([row for each in asked for row in each])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)), min_size=1, max_size=8), st.data())
def test_frames_that_come_in_any_pieces_are_the_same_frames(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(HEAD.pack(len(content), number, frames.ROWS, 1) + content for number, content in sent)
    reader, read = Reader(), list[Frame]()

    left = stream
    while left:
        size = data.draw(st.integers(1, len(left)))
        piece, left = left[:size], left[size:]
        read += copied(reader, piece)

    assert read == [(number, frames.ROWS, 1, content) for number, content in sent]


def test_a_frame_that_is_not_whole_is_waited_for() -> None:
    reader = Reader()
    whole = HEAD.pack(3, 7, frames.ROWS, 1) + b"abc"

    assert [copied(reader, whole[n : n + 1]) for n in range(len(whole) - 1)] == [[]] * (len(whole) - 1)
    assert copied(reader, whole[-1:]) == [(7, frames.ROWS, 1, b"abc")]


def test_a_frame_that_is_larger_than_is_held_is_refused_before_it_has_come() -> None:
    with pytest.raises(Garbled, match="1001 bytes"):
        list(Reader(1000).fed(HEAD.pack(1001, 1, frames.ANSWERS, 0)))


ANSWERS = Answers(1500, [1, 0.5, "ill"], [None, "half", "ill"], [None, 0.5, 1.0])


def content_of(kind: int, said: Any) -> memoryview:
    number, read, _, content = alone(frames.frame(9, kind, said))
    assert (number, read) == (9, kind)
    return content


def test_answers_come_out_as_they_went_in() -> None:
    took_ns, answers = frames.answered(content_of(frames.ANSWERS, ANSWERS), 3)

    assert took_ns == 1500
    assert answers == [Answer(1), Answer(0.5, "half", 0.5), Answer("ill", "ill", 1.0)]


def test_outcomes_come_out_as_they_went_in() -> None:
    fine = Outcome("", "", [1, 2], [None, None], [None, None])
    said = Outcomes(10, [fine, Outcome("error", "it raised")], last=True)

    outcomes, answers = frames.outcomes(content_of(frames.OUTCOMES, said), [2, 1])

    assert outcomes == said
    assert answers == [[Answer(1), Answer(2)], []]


@pytest.mark.parametrize("rows", [2, 4])
def test_answers_to_other_rows_than_were_asked_are_none(rows: int) -> None:
    with pytest.raises(Garbled):
        frames.answered(content_of(frames.ANSWERS, ANSWERS), rows)


@pytest.mark.parametrize("counts", [[1], [1, 1, 1], [2, 1]])
def test_outcomes_of_other_requests_than_were_asked_are_none(counts: list[int]) -> None:
    fine = Outcome("", "", [1], [None], [None])
    with pytest.raises(Garbled):
        frames.outcomes(content_of(frames.OUTCOMES, Outcomes(1, [fine, fine])), counts)


@given(st.binary(max_size=30))
def test_whatever_else_a_runner_says_is_garbled(content: bytes) -> None:
    for read in (frames.loaded, frames.refused, lambda said: frames.outcomes(said, [1, 1])):
        try:
            read(memoryview(content))
        except Garbled:
            continue


def test_a_reader_holds_no_more_than_what_is_not_whole() -> None:
    reader = Reader()
    frame = HEAD.pack(1000, 1, frames.ROWS, 1) + bytes(1000)

    list(islice(reader.fed(frame[:600]), 1))
    list(reader.fed(frame[600:] + frame[:600]))

    assert len(reader._held) == 600
