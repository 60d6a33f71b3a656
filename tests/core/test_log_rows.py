import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.log_rows import (
    COLUMNS,
    EPOCH_US,
    answer_part,
    constant_part,
    decoded,
    encoded,
    microseconds,
    row,
    split,
)
from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.core.texts import escaped

RECORD = PredictionRecord(
    id="0123456789abcdef0123456789abcdef",
    at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
    deployment="fraud",
    rollout="fraud:1",
    split_version=3,
    role=Role.CANARY,
    version="risk@2",
    answered_by="risk@1",
    inputs_hmac="ab" * 32,
    key_id="0a1b2c3d",
    prediction='"ja"',
    prediction_class="ja",
    confidence=0.75,
    latency_ms=1.5,
    error_kind="timeout",
    forced=True,
    entity_hmac="cd" * 32,
)

INSTANTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=-30))]))
NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters())
RECORDS = st.builds(
    PredictionRecord,
    id=TEXTS | st.text("0123456789abcdef", min_size=32, max_size=32) | st.text(min_size=32, max_size=32),
    at=INSTANTS,
    deployment=TEXTS,
    rollout=TEXTS,
    split_version=st.integers(-(2**31), 2**31 - 1),
    role=st.sampled_from(Role),
    version=TEXTS,
    answered_by=TEXTS,
    inputs_hmac=st.text("0123456789abcdef", min_size=64, max_size=64) | TEXTS,
    key_id=TEXTS,
    prediction=TEXTS,
    prediction_class=st.none() | TEXTS,
    confidence=st.none() | NUMBERS,
    latency_ms=NUMBERS,
    error_kind=TEXTS,
    forced=st.booleans(),
    entity_hmac=TEXTS,
)


def as_kept(record: PredictionRecord) -> PredictionRecord:
    """Give a record as a database would hold it."""
    texts: dict[str, Any] = {
        name: escaped(value)
        for name in COLUMNS
        if isinstance(value := getattr(record, name), str) and not isinstance(value, Role)
    }
    return replace(record, at=record.at.astimezone(UTC), **texts)


@given(st.lists(RECORDS, max_size=5))
def test_what_was_encoded_is_read_again(records: list[PredictionRecord]) -> None:
    data = b"".join(encoded(record) for record in records)

    assert list(decoded(data)) == [as_kept(record) for record in records]


def test_a_row_of_parts_is_that_of_the_record() -> None:
    constant = constant_part(
        deployment="fraud",
        rollout="fraud:1",
        split_version=3,
        role=Role.CANARY,
        version="risk@2",
        answered_by="risk@1",
        key_id="0a1b2c3d",
        error_kind="timeout",
        forced=True,
    )
    answer = answer_part('"ja"', "ja")

    made = row(RECORD.id, microseconds(RECORD.at), 1.5, RECORD.inputs_hmac, 0.75, constant, answer, RECORD.entity_hmac)

    assert made == encoded(RECORD)
    assert list(decoded(made)) == [RECORD]


def test_a_row_is_a_tuple_of_the_binary_copy_format() -> None:
    """As PostgreSQL's documentation of COPY has it: a count, then each field with its length before it."""
    data = encoded(replace(RECORD, confidence=None, prediction_class=None, entity_hmac=""))

    assert data[:38] == struct.pack(">hi32s", 17, 32, RECORD.id.encode())
    assert data[38:50] == struct.pack(">iq", 8, microseconds(RECORD.at))
    assert data.count(struct.pack(">i", -1)) == 2
    assert data.endswith(struct.pack(">i", 0))


def test_every_field_of_a_record_has_its_place_in_a_row() -> None:
    assert sorted(COLUMNS) == sorted(PredictionRecord.__slots__)


def test_instants_count_from_2000() -> None:
    instant = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert microseconds(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert microseconds(instant) == instant.timestamp() * 1_000_000 - EPOCH_US


@pytest.mark.parametrize("short", [1, 2, 5, 20, 100, -1])
def test_a_row_that_breaks_off_is_refused(short: int) -> None:
    with pytest.raises(ValueError, match="is no row"):
        list(split(encoded(RECORD) + encoded(RECORD)[:short]))


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="is no row"):
        list(decoded(b"something else"))


def test_a_row_of_something_else_is_refused() -> None:
    nothing = struct.pack(">h", len(COLUMNS)) + struct.pack(">i", -1) * len(COLUMNS)

    with pytest.raises(ValueError, match="no logged prediction"):
        list(decoded(nothing))
