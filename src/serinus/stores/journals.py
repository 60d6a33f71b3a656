"""The prediction log as journals fill it: rows and position in one transaction, so that each row gets in once."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.log_frames import START, Batch, Position, Taken
from serinus.core.log_rows import instant, record_of, split
from serinus.core.records import PredictionRecord
from serinus.stores import codec
from serinus.stores.database import Begin, Database
from serinus.stores.tables import journal_positions, predictions

_MOST_DAYS = 7
"""How many days are made before it is known that there are rows of each."""
_SLICE = 100
"""Rows that are bound in one go, while nothing else runs."""


async def take_in(database: Database, begin: Begin, journal: str, batch: Batch) -> Taken:
    """Write a batch as ``Store.take_in`` says, in the quickest way that takes it."""
    try:
        await database.make_room(begin, _days(batch))
        async with begin(database.writers) as connection:
            if (there := await _elsewhere(database, connection, journal, batch)) is not None:
                return Taken(there)
            if batch.records:
                await database.log(connection, batch)
            return Taken(batch.ends)
    except Exception as wrong:
        if not database.refuses(wrong):
            raise
    # Some are there already, or another process has just dropped the day they belong to, or one cannot be held.
    return await _take_in_each(database, begin, journal, batch)


async def position(connection: AsyncConnection, journal: str) -> Position:
    """Read how far a journal has come; START where nothing is known of it."""
    wanted = select(journal_positions.c.segment, journal_positions.c.place)
    row = (await connection.execute(wanted.where(journal_positions.c.journal == journal))).one_or_none()
    return START if row is None else Position(row.segment, row.place)


async def forget(connection: AsyncConnection, journal: str) -> None:
    """Forget a journal that is no more."""
    await connection.execute(delete(journal_positions).where(journal_positions.c.journal == journal))


async def _elsewhere(database: Database, connection: AsyncConnection, journal: str, batch: Batch) -> Position | None:
    """Move a journal's position on, unless it is not where the batch begins: then give where it is.

    Whoever else moves it, a process that was thought dead, is waited for here, before any row is written.
    """
    known = journal_positions.c
    insert = database.insert(journal_positions).values(
        journal=journal, segment=batch.ends.segment, place=batch.ends.place, updated_at=datetime.now(UTC)
    )
    moved = insert.on_conflict_do_update(
        index_elements=["journal"],
        set_={name: insert.excluded[name] for name in ("segment", "place", "updated_at")},
        where=(known.segment == batch.begins.segment) & (known.place == batch.begins.place),
    )
    if (await connection.execute(moved.returning(known.journal))).first() is not None:
        return None
    return await position(connection, journal)


async def _take_in_each(database: Database, begin: Begin, journal: str, batch: Batch) -> Taken:
    """Write what is not there yet; where one row spoils it, row by row without those that the database refuses."""
    records, unreadable = await asyncio.to_thread(_records, batch)
    await database.make_room(begin, sorted({record.at.date() for record in records}), anew=True)
    try:
        async with begin(database.writers) as connection:
            if (there := await _elsewhere(database, connection, journal, batch)) is not None:
                return Taken(there)
            for start in range(0, len(records), _SLICE):
                await _insert(database, connection, records[start : start + _SLICE])
            return _without(batch, unreadable)
    except Exception as wrong:
        if not database.refuses(wrong):
            raise
    async with begin(database.writers) as connection:
        if (there := await _elsewhere(database, connection, journal, batch)) is not None:
            return Taken(there)
        reasons = [await _refusal(database, connection, each) for each in records]
    return _without(batch, [*unreadable, *(reason for reason in reasons if reason)])


def _records(batch: Batch) -> tuple[list[PredictionRecord], list[str]]:
    """Read the rows of a batch, and say of those that cannot be read why; off the event loop."""
    records, unreadable = [], []
    try:
        for number, fields in enumerate(split(batch.payload)):
            if number % _SLICE == 0:
                time.sleep(0)  # the event loop waits for the interpreter
            try:
                records.append(record_of(fields))
            except ValueError as wrong:
                unreadable.append(str(wrong))
    except ValueError as wrong:
        unreadable += [str(wrong)] * (batch.records - len(records) - len(unreadable))
    return records, unreadable


def _without(batch: Batch, reasons: Sequence[str]) -> Taken:
    return Taken(batch.ends, len(reasons), reasons[-1] if reasons else "")


async def _refusal(database: Database, connection: AsyncConnection, record: PredictionRecord) -> str:
    """Write one row, and say why the database refuses it, if it does."""
    try:
        async with connection.begin_nested():
            await _insert(database, connection, [record])
    except Exception as wrong:
        if not database.refuses(wrong):
            raise
        cause = getattr(wrong, "orig", None) or wrong
        return f"{type(cause).__name__}: {cause}"
    return ""


async def _insert(database: Database, connection: AsyncConnection, records: Sequence[PredictionRecord]) -> None:
    rows = [codec.prediction_columns(record) for record in records]
    await connection.execute(database.insert(predictions).on_conflict_do_nothing(), rows)


def _days(batch: Batch) -> Sequence[date]:
    """Give the days (UTC) that a batch may have rows of: those between its oldest and its newest, if they are few.

    Of more, those of the two; a day that is missing is made when the rows are refused for it.
    """
    if not batch.records:
        return []
    first, last = instant(batch.oldest).date(), instant(batch.newest).date()
    between = (last - first).days
    return [first + timedelta(days=day) for day in (range(between + 1) if between < _MOST_DAYS else (0, between))]
