"""How Serinus speaks to SQLite: which files it takes, and what each connection and transaction is like.

Loss of power loses nothing that was committed: WAL with ``synchronous=FULL`` syncs the log at every commit.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from struct import Struct
from typing import Any, cast
from weakref import WeakSet

import aiosqlite
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
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, MissingGreenlet, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from serinus.core.errors import InvalidInput, SerinusError, Unavailable
from serinus.core.log_frames import Batch
from serinus.core.log_rows import COLUMNS, instant, split
from serinus.stores.database import Begin, Insert, explaining
from serinus.stores.pruning import BATCH
from serinus.stores.tables import UtcDateTime, predictions
from serinus.stores.upgrade import upgrade

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's lock."""
LOCK_SLICE_S = 0.2
"""How much of that a write waits in one go: SQLite can be asked to end a statement, but not such a wait."""
WRITER_TIMEOUT_S = 30.0
"""How long a write waits for its turn in this process."""

_INTERRUPT_EVERY_S = 0.1
_PRIMARY = 0xFF
"""The bits of an error code that are left without its extension."""


class WholeConnection(sqlite3.Connection):
    """Closes as a whole: SQLite keeps the transaction of what is closed while a statement on it has rows left to give.

    One that was cancelled between its first row and the others has, for as long as the error knows of its cursor.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        cursor = super().cursor(factory)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed already, or the disk is gone
            for cursor in self._cursors:
                cursor.close()
            self.rollback()
        super().close()


# The driver begins no transaction of its own; the listeners below do.
_CONNECT: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "factory": WholeConnection}


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

    async def make_room(self, begin: Begin, days: Sequence[date], *, anew: bool = False) -> None:
        """Do nothing: all are in one table."""

    async def log(self, connection: AsyncConnection, batch: Batch) -> None:
        """Append rows past SQLAlchemy, which would bind them on the event loop; the driver has a thread for it."""
        rows = await asyncio.to_thread(lambda: list(bound_rows(batch.payload)))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.executemany(_APPEND, rows)

    def refuses(self, error: Exception) -> bool:
        cause = error.orig if isinstance(error, StatementError) else error
        return isinstance(cause, sqlite3.IntegrityError | sqlite3.DataError | ValueError | TypeError | OverflowError)

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
        if not isinstance(error, DBAPIError | sqlite3.Error | NoConnection | OSError):
            return None
        if isinstance(error, DBAPIError | sqlite3.Error) and not _is_outage(error):
            return None
        cause = error.orig if isinstance(error, DBAPIError) else error
        return Unavailable(
            f"The database {self._url.render_as_string()} does not answer: {cause}.",
            remedy="See that its folder exists and can be written to, that the disk is not full, and that no other "
            "process keeps the database locked; then try again.",
        )


def bound_rows(payload: bytes) -> Iterator[tuple[object, ...]]:
    """Give logged rows as the driver takes them for ``_APPEND``, and other threads their turn on the way."""
    for number, fields in enumerate(split(payload)):
        if number % _AT_ONCE == 0:
            time.sleep(0)
        yield tuple(None if field is None else bound(field) for bound, field in zip(_BOUND, fields, strict=True))


def _number(form: str) -> Callable[[bytes], object]:
    unpack = Struct(form).unpack
    return lambda field: unpack(field)[0]


def _instant(field: bytes) -> str:
    return instant(int.from_bytes(field, "big", signed=True)).isoformat(timespec="microseconds")


_OTHER_THAN_TEXT: dict[str, Callable[[bytes], object]] = {
    "at": _instant,
    "latency_ms": _number(">d"),
    "confidence": _number(">d"),
    "split_version": _number(">i"),
    "forced": _number(">?"),
}
_BOUND = [_OTHER_THAN_TEXT.get(name, bytes.decode) for name in COLUMNS]
_APPEND = (
    f"INSERT INTO predictions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours
)
_AT_ONCE = 50
"""Rows that are made before other threads have their turn."""


def _is_outage(error: DBAPIError | sqlite3.Error) -> bool:
    # A plain DatabaseError is a damaged file, or no database at all.
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
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
            field="SERINUS_DATABASE_URL",
            remedy="Write sqlite:///relative/path.db or sqlite:////absolute/path.db, without options.",
        )
    return Path(path).absolute()


def reading_engine(path: Path) -> AsyncEngine:
    """Make the engine for reads: any number at once, each seeing one state of the database."""
    engine = create_async_engine(URL.create(_DRIVER, database=str(path)), connect_args=_CONNECT)
    _prepare(engine.sync_engine, "BEGIN")
    return engine


def writing_engine(path: Path) -> AsyncEngine:
    """Make the engine for writes: one at a time in this process, in the order they came.

    Each transaction takes the file's write lock before it reads. Begun without it, it would fail with
    SQLITE_BUSY_SNAPSHOT at its first write if another process has written since its first read.
    """
    engine = create_async_engine(
        URL.create(_DRIVER, database=str(path)),
        connect_args=_CONNECT,
        pool_size=1,
        max_overflow=0,
        pool_timeout=WRITER_TIMEOUT_S,
    )
    _prepare(engine.sync_engine, "BEGIN IMMEDIATE", f"busy_timeout={LOCK_SLICE_S * 1000:.0f}")
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
        for pragma in ("synchronous=FULL", "foreign_keys=ON", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        patient_until = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                connection.exec_driver_sql(begin)
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= patient_until:
                    raise
            else:
                return


class EndingDialect(SQLiteDialect_aiosqlite):
    """Ends a connection together with the statement that was cancelled on it.

    SQLAlchemy's own way is to close it in the background, and, cancelled again, to stop the driver's thread as well.
    ``close`` then waits without end for that thread to stop once more.
    """

    supports_statement_cache = True

    def do_terminate(self, dbapi_connection: DBAPIConnection) -> None:
        try:
            cast("AdaptedConnection", dbapi_connection).run_async(_end)
        except MissingGreenlet:  # the garbage collector can wait for nothing
            super().do_terminate(dbapi_connection)


_DRIVER = "sqlite+ending"
registry.register("sqlite.ending", __name__, EndingDialect.__name__)


async def _end(connection: aiosqlite.Connection) -> None:
    """Interrupt what a connection is at, and close it; who is cancelled meanwhile hears of it afterwards."""
    closing = asyncio.create_task(connection.close())
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        with suppress(ValueError, sqlite3.ProgrammingError):  # what is closed already
            await connection.interrupt()
        try:
            # More than once: a statement that its thread has yet to begin is not interrupted.
            await asyncio.wait({closing}, timeout=_INTERRUPT_EVERY_S)
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled from closing.exception()
    closing.result()
