"""Removing old rows without making others wait: a little at a time, each time in a transaction of its own."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from serinus.stores.database import Begin

BATCH = 1000
"""Rows removed in one transaction."""


async def prune(
    begin: Begin, writers: AsyncEngine, table: Table, key: Sequence[ColumnElement[object]], old: ColumnElement[bool]
) -> int:
    """Remove the rows that are old, found again by their key, and count them."""
    some = delete(table).where(tuple_(*key).in_(select(*key).where(old).limit(BATCH)))
    removed = 0
    while True:
        async with begin(writers) as connection:
            rows = (await connection.execute(some)).rowcount
        removed += rows
        if rows < BATCH:
            return removed
