"""What the databases that ``SqlStore`` can be on do each in its own way, and transactions on any of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import date, datetime
from typing import Protocol

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serinus.core.errors import SerinusError, Unavailable
from serinus.core.log_frames import Batch

Insert = sqlite.Insert | postgresql.Insert
Begin = Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncConnection]]


class Database(Protocol):
    """One kind of database."""

    readers: AsyncEngine
    """Its transactions see one state of the database."""
    writers: AsyncEngine
    """Its transactions cannot be overtaken between a read and a write of the same row."""

    def insert(self, table: Table) -> Insert:
        """Begin an INSERT that can have ON CONFLICT, which is no part of what SQLAlchemy has for all databases."""
        ...

    def lease_times(self, now: datetime, ttl_s: float) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
        """Give this instant by the clock that leases go by, and the one ``ttl_s`` seconds later."""
        ...

    async def in_order(self, connection: AsyncConnection) -> None:
        """Let no other transaction write events until this one has ended: their numbers become visible in order."""
        ...

    async def make_room(self, begin: Begin, days: Sequence[date], *, anew: bool = False) -> None:
        """See that predictions of some days (UTC) have a place; ``anew``: even where they are thought to have one."""
        ...

    async def log(self, connection: AsyncConnection, batch: Batch) -> None:
        """Append the rows of a batch to the prediction log; raises what ``refuses`` knows if it does not take them all.

        Where it can, it passes over those whose id is there already.
        """
        ...

    def refuses(self, error: Exception) -> bool:
        """Whether an error is about what a row holds, so that trying again is of no use."""
        ...

    async def prune_log(self, begin: Begin, before: datetime) -> int:
        """Remove predictions older than an instant, and count them."""
        ...

    async def dispose(self) -> None:
        """Close the connections that nobody uses."""
        ...

    def explained(self, error: Exception) -> SerinusError | None:
        """Give what to raise in place of an error of the driver; None if it is a mistake in a statement."""
        ...


class Transactions:
    """Transactions on a database, until it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that sees one state of the database and changes nothing."""
        return self.on(self._database.readers)

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that is kept whole when its block ends well, and not at all when it raises."""
        return self.on(self._database.writers)

    async def close(self) -> None:
        """Wait for what is under way and release what is open; closing again does nothing."""
        self._closed = True
        await self._idle.wait()
        await self._database.dispose()

    @asynccontextmanager
    async def on(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on one of the database's engines."""
        if self._closed:
            raise Unavailable("The store is closed.", remedy="Open it again.")
        self._under_way += 1
        self._idle.clear()
        try:
            with explaining(self._database.explained):
                async with engine.begin() as connection:
                    yield connection
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()


@contextmanager
def explaining(explained: Callable[[Exception], SerinusError | None]) -> Iterator[None]:
    """Turn "the database does not answer" into Unavailable; a mistake in a statement goes through."""
    try:
        yield
    except SerinusError:
        raise
    except Exception as wrong:
        instead = explained(wrong)
        if instead is None:
            raise
        raise instead from wrong
