"""How Serinus speaks to SQLite: which files it takes, and what each connection and transaction is like.

Loss of power loses nothing that was committed: WAL with ``synchronous=FULL`` syncs the log at every commit.
"""

import sqlite3
from pathlib import Path
from typing import Any

import stamina
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from serinus.core.errors import InvalidInput
from serinus.stores.upgrade import upgrade

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's lock."""
WRITER_TIMEOUT_S = 30.0
"""How long a write waits for its turn in this process."""

_PRIMARY = 0xFF
"""The bits of an error code that are left without its extension."""

# The driver begins no transaction of its own; the listeners below do.
_CONNECT: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None}


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
