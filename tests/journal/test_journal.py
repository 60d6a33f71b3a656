import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.journal.conftest import Home, read_all, rows_of

from serinus.core.errors import Unavailable
from serinus.core.log_frames import HEADER, START, Position
from serinus.journal.journal import FileJournal
from serinus.journal.segments import segment_file

ROWS = [b"one", b"three", b"of five rows"]


def filled(home: Home, *rows: bytes, **options: Any) -> FileJournal:
    journal = home.begin(**options)
    for row in rows or ROWS:
        journal.append([row], 1, 2)
    return journal


def segment(home: Home, number: int = 1, name: str = "this") -> Path:
    return segment_file(home.folder / "journal/store" / name, number)


def damage(file: Path, place: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(data)


# ------------------------------------------------------------------------------------------- reading


def test_what_was_appended_is_read_in_its_order(home: Home) -> None:
    batches = read_all(filled(home))

    assert rows_of(batches) == ROWS
    assert [batch.begins for batch in batches] == [START, *(batch.ends for batch in batches[:-1])]


def test_frames_are_read_together_as_far_as_the_limit_goes(home: Home) -> None:
    journal = filled(home)

    (all_of_it,) = read_all(journal, limit=1000)
    first, second = read_all(journal, limit=2 * HEADER + len(ROWS[0] + ROWS[1]))

    assert all_of_it.payload == b"".join(ROWS)
    assert all_of_it.records == 3
    assert rows_of([first, second]) == [ROWS[0] + ROWS[1], ROWS[2]]


def test_a_frame_larger_than_the_limit_is_read_whole(home: Home) -> None:
    assert rows_of(read_all(filled(home, b"x" * 10_000), limit=100)) == [b"x" * 10_000]


def test_rows_of_one_frame_are_counted_and_their_instants_bounded(home: Home) -> None:
    journal = home.begin()
    journal.append([b"a", b"b"], 5, 9)
    journal.append([b"c"], 3, 6)

    (batch,) = read_all(journal, limit=1000)

    assert (batch.records, batch.oldest, batch.newest) == (3, 3, 9)


def test_at_its_end_there_is_nothing_to_read_until_more_is_appended(home: Home) -> None:
    journal = filled(home)
    ends = read_all(journal)[-1].ends

    assert journal.read(ends, 1000) is None
    journal.append([b"more"], 1, 2)
    assert rows_of(read_all(journal, ends)) == [b"more"]


# ------------------------------------------------------------------------------------------ segments


def test_a_full_segment_is_followed_by_the_next_and_read_on_in_it(home: Home) -> None:
    journal = filled(home, segment_bytes=50)

    batches = read_all(journal, limit=10_000)

    assert rows_of(batches) == [ROWS[0] + ROWS[1], ROWS[2]]
    assert [batch.ends.segment for batch in batches] == [1, 2]


def test_what_the_store_has_is_given_up_segment_by_segment(home: Home) -> None:
    journal = filled(home, segment_bytes=1)
    first, second, third = read_all(journal)

    journal.release(second.ends)

    assert [segment(home, number).exists() for number in (1, 2, 3)] == [False, False, True]
    assert rows_of(read_all(journal, second.ends)) == [third.payload]
    assert first.ends.segment == 1


def test_the_segment_that_is_written_to_stays(home: Home) -> None:
    journal = filled(home)

    journal.release(read_all(journal)[-1].ends)
    journal.append([b"more"], 1, 2)

    assert journal.size == HEADER + 4


def test_what_waits_is_counted_in_bytes(home: Home) -> None:
    journal = filled(home, segment_bytes=50)
    whole = sum(HEADER + len(row) for row in ROWS)
    batches = read_all(journal)
    assert journal.size == whole

    sizes = []
    for batch in batches:
        journal.release(batch.ends)
        sizes.append(journal.size)

    assert sizes == [HEADER * 2 + len(ROWS[1] + ROWS[2]), HEADER + len(ROWS[2]), 0]


def test_only_its_owner_can_read_it(home: Home) -> None:
    filled(home)

    assert segment(home).stat().st_mode & 0o777 == 0o600
    for folder in (segment(home).parent, home.folder / "journal/store", home.folder / "journal"):
        assert folder.stat().st_mode & 0o777 == 0o700


# ------------------------------------------------------------------------------------ what is damaged


@pytest.mark.parametrize("cut", [1, len(ROWS[2]), len(ROWS[2]) + 1, len(ROWS[2]) + HEADER - 1])
def test_a_torn_end_is_told_of_and_what_is_before_it_is_read(home: Home, cut: int) -> None:
    folder = home.left_behind(*ROWS)
    size = segment(home, name="dead").stat().st_size
    os.truncate(segment(home, name="dead"), size - cut)
    (journal,) = home.journals().adopt()

    batches = read_all(journal)

    torn_at, left = size - HEADER - len(ROWS[2]), HEADER + len(ROWS[2]) - cut
    assert rows_of(batches) == [ROWS[0], ROWS[1], b""]
    assert batches[-1].ends == Position(1, size - cut)
    assert home.troubles == [
        f"{left} bytes of the journal from byte {torn_at} of {folder}/00000001.log on are damaged, and are lost"
    ]
    journal.close(remove=False)


def test_after_a_torn_end_the_next_segment_is_read(home: Home) -> None:
    journal = filled(home, segment_bytes=1)
    damage(segment(home, 2), HEADER, b"xx")

    assert rows_of(read_all(journal)) == [ROWS[0], ROWS[2]]
    assert len(home.troubles) == 1


@pytest.mark.parametrize("place", [0, 4, HEADER - 1, HEADER])
def test_a_damaged_frame_is_told_of_and_the_next_whole_one_is_read(home: Home, place: int) -> None:
    journal = filled(home)
    begins = HEADER + len(ROWS[0])
    damage(segment(home), begins + place, b"\xff")

    batches = read_all(journal)

    assert rows_of(batches) == [ROWS[0], ROWS[2]]
    assert batches[1].begins == batches[0].ends, "the store knows no other place"
    (told,) = home.troubles
    assert told.startswith(f"{HEADER + len(ROWS[1])} bytes of the journal from byte {begins} of {segment(home)} ")


def test_damage_is_told_of_once(home: Home) -> None:
    journal = filled(home)
    damage(segment(home), 0, b"\xff")

    read_all(journal)
    read_all(journal)

    assert len(home.troubles) == 1


def test_a_segment_that_is_gone_cannot_be_read(home: Home) -> None:
    journal = filled(home)
    segment(home).unlink()

    with pytest.raises(Unavailable, match="cannot be read"):
        journal.read(START, 1000)


# ---------------------------------------------------------------------------------- what has no place


def test_at_the_bound_the_oldest_stay(home: Home) -> None:
    journal = filled(home, limit=sum(HEADER + len(row) for row in ROWS))

    with pytest.raises(Unavailable, match="no room"):
        journal.append([b"x"], 1, 2)

    assert rows_of(read_all(journal)) == ROWS


def test_what_the_store_has_makes_room(home: Home) -> None:
    journal = filled(home, limit=sum(HEADER + len(row) for row in ROWS))
    journal.release(read_all(journal)[0].ends)

    journal.append([b"new"], 1, 2)

    with pytest.raises(Unavailable):
        journal.append([b"x"], 1, 2)


def test_what_was_taken_over_counts_against_the_bound(home: Home) -> None:
    home.left_behind(b"x" * 1000)
    journals = home.journals(limit=1500)
    journal = journals.begin()
    journal.append([b"x" * 300], 1, 2)
    (dead,) = journals.adopt()

    with pytest.raises(Unavailable):
        journal.append([b"x" * 300], 1, 2)
    dead.close(remove=True)

    journal.append([b"x" * 300], 1, 2)
    journal.close(remove=True)


class Writing:
    """Stands in for the system's ``writev``: the next writes go as it is told."""

    def __init__(self) -> None:
        self.next: list[int | OSError] = []

    def __call__(self, descriptor: int, parts: tuple[bytes, ...]) -> int:
        data = b"".join(parts)
        outcome = self.next.pop(0) if self.next else len(data)
        if isinstance(outcome, OSError):
            raise outcome
        return os.write(descriptor, data[:outcome])


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> Writing:
    writing = Writing()
    monkeypatch.setattr(os, "writev", writing)
    return writing


@pytest.mark.parametrize(
    "outcome",
    [0, 7, HEADER + 2, OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")],
    ids=["nothing", "half a header", "half a row", "no space", "an error"],
)
def test_a_write_that_fails_leaves_nothing_that_comes_between_others(
    home: Home, writing: Writing, outcome: int | OSError
) -> None:
    journal = filled(home, b"before")
    writing.next.append(outcome)

    with pytest.raises(Unavailable, match="cannot be written"):
        journal.append([b"lost"], 1, 2)
    journal.append([b"after"], 1, 2)

    assert rows_of(read_all(journal)) == [b"before", b"after"]
    assert segment(home).stat().st_size == journal.size
    assert home.troubles == []


def test_half_a_frame_that_cannot_be_taken_back_is_left_at_the_end_of_its_segment(
    home: Home, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = filled(home, b"before")
    writing.next.append(7)
    monkeypatch.setattr(os, "ftruncate", fail)

    with pytest.raises(Unavailable):
        journal.append([b"lost"], 1, 2)
    journal.append([b"after"], 1, 2)

    assert rows_of(read_all(journal)) == [b"before", b"after"]
    assert read_all(journal)[-1].ends.segment == 2


def test_where_no_segment_can_be_made_nothing_is_appended(home: Home) -> None:
    journal = home.begin()
    segment(home).parent.rename(home.folder / "elsewhere")

    with pytest.raises(Unavailable, match="cannot be written"):
        journal.append([b"lost"], 1, 2)
    (home.folder / "elsewhere").rename(segment(home).parent)
    journal.append([b"after"], 1, 2)

    assert rows_of(read_all(journal)) == [b"after"]


# ------------------------------------------------------------------------------------------- syncing


def test_a_sync_reaches_every_segment_that_was_written_since_the_last_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    journal = filled(home, durable=True, segment_bytes=1)

    journal.sync()
    first, synced = synced, []
    journal.sync()

    assert first == ["00000001.log", "00000002.log", "00000003.log", "this"]
    assert synced == ["00000003.log"]


def test_a_sync_that_fails_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = filled(home, durable=True)
    monkeypatch.setattr(os, "fdatasync", fail)

    with pytest.raises(Unavailable, match="cannot be written to its disk"):
        journal.sync()


def test_a_journal_without_a_row_needs_no_sync(home: Home) -> None:
    home.begin(durable=True).sync()
