"""What journals bring gets into the prediction log once, whatever happens on the way."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.stores.conftest import RunSql
from tests.stores.samples import NOW, at, batch, prediction, write_log

from serinus.core.errors import Unavailable
from serinus.core.log_frames import START, Batch, Position, Taken
from serinus.core.log_rows import encoded
from serinus.core.records import PredictionRecord
from serinus.stores.sql import SqlStore, open_store

FIRST, SECOND, THIRD = ([prediction(3 * n + i) for i in range(3)] for n in range(3))


def without_deployment(record: PredictionRecord) -> bytes:
    """Encode a record that no database takes."""
    data, name = encoded(record), record.deployment.encode()
    whole = len(name).to_bytes(4, "big") + name
    return data.replace(whole, b"\xff\xff\xff\xff", 1)


def of_rows(rows: Sequence[bytes]) -> Batch:
    """Give encoded rows as a journal does, whatever is in them."""
    payload = b"".join(rows)
    return replace(batch(FIRST), payload=payload, records=len(rows), ends=Position(1, len(payload)))


async def ids(store: SqlStore) -> list[str]:
    return sorted(record.id for record in await store.predictions("fraud"))


def names(*records: Sequence[PredictionRecord]) -> list[str]:
    return [record.id for each in records for record in each]


async def test_a_batch_and_how_far_it_goes_are_there_together(store: SqlStore) -> None:
    first = batch(FIRST)

    taken = await store.take_in("j", first)

    assert taken == Taken(first.ends)
    assert await store.position("j") == first.ends
    assert await ids(store) == names(FIRST)


async def test_a_journal_that_nobody_has_heard_of_is_at_its_start(store: SqlStore) -> None:
    assert await store.position("j") == START


async def test_batches_go_on_from_one_another(store: SqlStore) -> None:
    first = batch(FIRST)
    second = batch(SECOND, first.ends)

    await store.take_in("j", first)
    await store.take_in("j", second)

    assert await store.position("j") == second.ends
    assert await ids(store) == names(FIRST, SECOND)


async def test_a_batch_whose_answer_was_lost_is_not_written_again(store: SqlStore, run_sql: RunSql) -> None:
    first = batch(FIRST)
    await store.take_in("j", first)
    await run_sql("DELETE FROM predictions")

    again = await store.take_in("j", first)

    assert again == Taken(first.ends)
    assert await ids(store) == []


async def test_what_begins_elsewhere_is_not_written_and_told_where_to_go_on(store: SqlStore) -> None:
    first = batch(FIRST)
    second = batch(SECOND, first.ends)
    await store.take_in("j", first)

    longer = await store.take_in("j", batch([*FIRST, *SECOND]))
    early = await store.take_in("j", batch(THIRD, second.ends))

    assert longer == early == Taken(first.ends)
    assert await ids(store) == names(FIRST)


async def test_a_journal_that_the_store_lost_goes_on_where_it_is(store: SqlStore) -> None:
    """As after a database was restored from a backup."""
    later = batch(SECOND, Position(3, 700))

    assert await store.take_in("j", later) == Taken(later.ends)
    assert await store.position("j") == later.ends


async def test_each_journal_has_a_position_of_its_own(store: SqlStore) -> None:
    await store.take_in("one", batch(FIRST))
    await store.take_in("two", batch(SECOND))

    assert await ids(store) == names(FIRST, SECOND)


async def test_a_batch_without_rows_moves_the_position(store: SqlStore) -> None:
    ends = Position(1, 4096)

    assert await store.take_in("j", Batch(START, ends)) == Taken(ends)
    assert await store.position("j") == ends


async def test_a_journal_that_is_forgotten_is_at_its_start_again(store: SqlStore) -> None:
    await store.take_in("j", batch(FIRST))

    await store.forget("j")

    assert await store.position("j") == START


async def test_rows_that_are_there_already_are_passed_over(store: SqlStore) -> None:
    await store.take_in("one", batch([*FIRST, *SECOND]))
    both = batch([*SECOND, *THIRD])

    assert await store.take_in("two", both) == Taken(both.ends)
    assert await ids(store) == names(FIRST, SECOND, THIRD)


async def test_a_row_that_the_database_refuses_holds_up_no_other(store: SqlStore) -> None:
    mixed = of_rows([encoded(FIRST[0]), without_deployment(FIRST[1]), encoded(FIRST[2])])

    taken = await store.take_in("j", mixed)

    assert (taken.position, taken.refused) == (mixed.ends, 1)
    assert taken.reason
    assert await ids(store) == [FIRST[0].id, FIRST[2].id]
    assert await store.position("j") == mixed.ends


async def test_what_is_no_rows_is_refused_and_those_before_it_are_written(store: SqlStore) -> None:
    broken = replace(of_rows([encoded(FIRST[0]), b"\0\1\2"]), records=3)

    taken = await store.take_in("j", broken)

    assert (taken.position, taken.refused) == (broken.ends, 2)
    assert await ids(store) == [FIRST[0].id]


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_a_row_that_an_index_has_no_room_for_is_refused_alone(store: SqlStore) -> None:
    endless = replace(FIRST[1], deployment="".join(chr(0x4E00 + number) for number in range(5000)))

    taken = await store.take_in("j", of_rows([encoded(each) for each in (FIRST[0], endless, FIRST[2])]))

    assert taken.refused == 1
    assert "ProgramLimitExceeded" in taken.reason
    assert await ids(store) == [FIRST[0].id, FIRST[2].id]


async def test_where_the_rows_cannot_be_written_the_position_stays(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable("gone")

    monkeypatch.setattr(store._database, "log", fail)
    with pytest.raises(Unavailable):
        await store.take_in("j", batch(FIRST))
    monkeypatch.undo()

    assert await store.position("j") == START
    assert (await store.take_in("j", batch(FIRST))).position == batch(FIRST).ends
    assert await ids(store) == names(FIRST)


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_who_comes_after_a_writer_that_is_not_done_waits_for_it(
    store: SqlStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed, and the server has yet to end its transaction, by a commit or not."""
    killed = await open_store(database_url)
    log, begun, end = killed._database.log, asyncio.Event(), asyncio.Event()

    async def log_slowly(*arguments: object) -> None:
        await log(*arguments)  # type: ignore[arg-type]
        begun.set()
        await end.wait()

    monkeypatch.setattr(killed._database, "log", log_slowly)
    first = asyncio.create_task(killed.take_in("j", batch(FIRST)))
    await begun.wait()
    second = asyncio.create_task(store.take_in("j", batch([*FIRST, *SECOND])))
    await asyncio.wait({second}, timeout=0.1)
    assert not second.done()

    end.set()

    assert (await first).position == (await second).position == batch(FIRST).ends
    assert await ids(store) == names(FIRST)
    await killed.close()


async def test_a_batch_of_days_far_apart_is_written(store: SqlStore) -> None:
    apart = [prediction(number, when=at(86_400 * days)) for number, days in enumerate((0, 5, 30))]

    await write_log(store, apart)

    assert await ids(store) == names(apart)


async def test_a_position_that_has_not_moved_for_long_is_pruned(store: SqlStore, run_sql: RunSql) -> None:
    await store.take_in("old", batch(FIRST))
    await run_sql("UPDATE journal_positions SET updated_at = '2020-01-01T00:00:00.000000+00:00'")
    await store.take_in("new", batch(SECOND))

    await store.prune(NOW)

    assert await store.position("old") == START
    assert await store.position("new") == batch(SECOND).ends
