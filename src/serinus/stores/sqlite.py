"""How Serinus speaks to SQLite: which files it takes, and what each connection and transaction is like.

Loss of power loses nothing that was committed: WAL with ``synchronous=FULL`` syncs the log at every commit.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import stamina
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Table,
    create_engine,
    delete,
    event,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from serinus.core.errors import InvalidInput, SerinusError, Unavailable
from serinus.stores.database import Begin, Insert, Row, explaining
from serinus.stores.pruning import BATCH
from serinus.stores.tables import UtcDateTime, predictions
from serinus.stores.upgrade import upgrade

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's lock."""
WRITER_TIMEOUT_S = 30.0
"""How long a write waits for its turn in this process."""

_PRIMARY = 0xFF
"""The bits of an error code that are left without its extension."""

# The driver begins no transaction of its own; the listeners below do.
_CONNECT: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None}


async def open_sqlite(url: URL) -> "Sqlite":
    """Open a database file, making or upgrading it as needed."""
    path = file_of(url)
    database = Sqlite(url, path)
    with explaining(database.explained):
        await asyncio.to_thread(make_ready, path)
    return database


class Sqlite:
    """A database file, as ``stores.database.Database`` wants it."""

    def __init__(self, url: URL, path: Path) -> None:
        self._url = url
        self.readers = reading_engine(path)
        self.writers = writing_engine(path)

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def lease_times(self, now: datetime, ttl_s: float) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
        """Go by the caller's clock: all who share the file are on its machine."""
        return literal(now, UtcDateTime), literal(now + timedelta(seconds=ttl_s), UtcDateTime)

    async def in_order(self, connection: AsyncConnection) -> None:
        """Do nothing: there is one writer at a time."""

    async def log(self, begin: Begin, rows: Sequence[Row]) -> None:
        async with begin(self.writers) as connection:
            await connection.execute(insert(predictions).on_conflict_do_nothing(), rows)

    async def prune_log(self, begin: Begin, before: datetime) -> int:
        """Look through the log once, without the write lock, and remove what is old a little at a time."""
        row = literal_column("rowid", Integer)
        old = select(row).where(predictions.c.at < before).order_by(row).limit(BATCH)
        removed, last = 0, -1
        while True:
            async with begin(self.readers) as connection:
                found = (await connection.execute(old.where(row > last))).scalars().all()
            if not found:
                return removed
            async with begin(self.writers) as connection:
                removed += (await connection.execute(delete(predictions).where(row.in_(found)))).rowcount
            last = found[-1]

    async def dispose(self) -> None:
        await self.readers.dispose()
        await self.writers.dispose()

    def explained(self, error: Exception) -> SerinusError | None:
        if not isinstance(error, DBAPIError | NoConnection | OSError):
            return None
        if isinstance(error, DBAPIError) and not _is_outage(error):
            return None
        cause = error.orig if isinstance(error, DBAPIError) else error
        return Unavailable(
            f"The database {self._url.render_as_string()} does not answer: {cause}.",
            remedy="See that its folder exists and can be written to, that the disk is not full, and that no other "
            "process keeps the database locked; then try again.",
        )


def _is_outage(error: DBAPIError) -> bool:
    # A plain DatabaseError is a damaged file, or no database at all.
    return (
        isinstance(error, OperationalError | InterfaceError)
        or type(error) is DatabaseError
        or error.connection_invalidated
    )


def file_of(url: URL) -> Path:
    """Give the database file's absolute path; InvalidInput where the URL does not name a file."""
    path = url.database or ""
    if not path or path == ":memory:" or path.startswith("file:") or url.query:
        raise InvalidInput(
            f"{url.render_as_string()!r} does not name a database file.",
            field="database_url",
            remedy="Write sqlite:///relative/path.db or sqlite:////absolute/path.db, without options.",
        )
    return Path(path).absolute()


def reading_engine(path: Path) -> AsyncEngine:
    """Make the engine for reads: any number at once, each seeing one state of the database."""
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)), connect_args=_CONNECT)
    _prepare(engine.sync_engine, "BEGIN")
    return engine


def writing_engine(path: Path) -> AsyncEngine:
    """Make the engine for writes: one at a time in this process, in the order they came.

    Each transaction takes the file's write lock before it reads. Begun without it, it would fail with
    SQLITE_BUSY_SNAPSHOT at its first write if another process has written since its first read.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args=_CONNECT,
        pool_size=1,
        max_overflow=0,
        pool_timeout=WRITER_TIMEOUT_S,
    )
    _prepare(engine.sync_engine, "BEGIN IMMEDIATE")
    return engine


def make_ready(path: Path) -> None:
    """Make the folder and the database, or bring it up to date; however many processes do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args=_CONNECT, poolclass=NullPool)
    _prepare(engine, "BEGIN IMMEDIATE", "journal_mode=WAL")
    # Of two processes that turn a new file to WAL one can fail without any wait: SQLite has no timeout for that lock.
    for attempt in stamina.retry_context(
        on=_is_busy, attempts=None, timeout=BUSY_TIMEOUT_S, wait_initial=0.02, wait_max=0.5, wait_jitter=0.1
    ):
        with attempt:
            upgrade(engine)


def _is_busy(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY


def _prepare(engine: Engine, begin: str, *pragmas: str) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (*pragmas, "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
