"""How Serinus speaks to PostgreSQL: which URLs it takes, what went wrong, and its own ways to log and to prune."""

import asyncio
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Interval,
    Table,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import InvalidInput, PlatformError, SerinusError, Unavailable
from serinus.core.log_frames import Batch
from serinus.core.log_rows import COLUMNS
from serinus.stores.connections import owners_engine, pooled_engine, slow_engine
from serinus.stores.database import Begin, Insert, explaining
from serinus.stores.pruning import prune
from serinus.stores.tables import predictions
from serinus.stores.upgrade import needs_upgrade, upgrade
from serinus.stores.urls import named

DDL_LOCK_S = 30
"""How long a migration waits for a table that others use."""

_COPY = f"COPY predictions ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
# Signature, flags and the length of an extension; and the number of fields that no row has.
_COPY_BEGINS = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS = b"\xff\xff"

_NOT_ALLOWED = "42501"
_NOT_AS_MADE = frozenset({"42P01", "42P07", "42703", "42710", "42883"})
"""A table, column or function that is missing, or there before its time."""
_OUTAGES = frozenset({"25006", "25P03"})
"""Read-only, as a standby is; and hung up on for having fallen asleep. The driver has no class for these."""
_OVER_A_LIMIT = "54"
"""A value too long for an index, and the like: no outage."""

# While a connection is made the driver hands no SQLSTATE on, only the server's words: other languages are not known.
_REFUSED = re.compile(
    r"(?P<user>\w+ authentication failed|no password supplied|no such user"
    r'|role ".*" (does not exist|is not permitted to log in)|permission denied for database|no pg_hba\.conf entry)'
    r'|(?P<database>database ".*" does not exist|no such database)'
)
_SAID_ANYHOW = re.compile(r"connection (failed|is bad): (?=connection )| ?Is the server running [^?]*\?")
"""Words of psycopg and of libpq around the reason why there is no connection."""


async def open_postgresql(url: URL) -> "Postgresql":
    """Open a database, upgrading it as needed; only that needs the rights of its owner."""
    database = Postgresql(url)
    try:
        with explaining(database.explained):
            async with database.readers.connect() as connection:
                outdated = await connection.run_sync(_is_outdated)
            if outdated:
                await asyncio.to_thread(upgrade_as_owner, url)
    except BaseException:
        await database.dispose()
        raise
    return database


def refusal(url: URL, error: Exception) -> SerinusError | None:
    """Give what to raise in place of an error of the driver; None if it is a mistake in a statement."""
    import psycopg

    cause = error.orig if isinstance(error, DBAPIError) else error
    said = _in_a_clause(str(cause))
    if isinstance(cause, NoConnection | OSError):
        return _unavailable(url, said)
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate or ""
    if state == _NOT_ALLOWED:
        return PlatformError(
            f"The role {url.username!r} has not the right to do this in the database {named(url)}: {said}.",
            remedy="Open the database once with its owner's URL, which upgrades it, and grant this role anew what "
            "it needs.",
        )
    if state in _NOT_AS_MADE:
        return PlatformError(
            f"The database {named(url)} is not as Serinus makes it: {said}.",
            remedy="Give Serinus a database of its own; nothing was changed in this one.",
        )
    if isinstance(cause, psycopg.ProgrammingError) and not state:
        return InvalidInput(
            f"The options of the database URL {named(url)} cannot be used: {said}.",
            field="SERINUS_DATABASE_URL",
            remedy="Write options that libpq knows, as in postgresql://user:password@host:port/name?sslmode=require.",
        )
    refused = _REFUSED.search(said) if isinstance(cause, psycopg.OperationalError) else None
    if refused:
        return _no_such_database(url) if refused["database"] else _no_such_user(url, said)
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        outage = not state.startswith(_OVER_A_LIMIT)
    else:
        outage = state in _OUTAGES
    return _unavailable(url, said) if outage else None


def upgrade_as_owner(url: URL) -> None:
    """Make or upgrade the schema; however many processes do so at once."""
    engine = owners_engine(url)
    upgrade(engine, _wait_for_other_upgrades)


class Postgresql:
    """A database on a server, as ``stores.database.Database`` wants it."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self.readers = pooled_engine(url, "REPEATABLE READ", read_only=True)
        self.writers = pooled_engine(url, "READ COMMITTED")
        self._slow = slow_engine(url)
        self._days: set[date] = set()
        """Those whose partitions are known to be there."""

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def lease_times(self, now: datetime, ttl_s: float) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
        """Go by the server's clock, whatever those of its clients say."""
        present = func.clock_timestamp()
        return present, present + literal(timedelta(seconds=ttl_s), Interval)

    async def in_order(self, connection: AsyncConnection) -> None:
        # Released after the commit is visible to all.
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("serinus events", 0))))

    async def make_room(self, begin: Begin, days: Sequence[date], *, anew: bool = False) -> None:
        if anew:
            self._days.clear()
        for day in days:
            if day not in self._days:
                async with begin(self.writers) as connection:
                    await connection.execute(select(func.make_predictions_day(day)))
                self._days.add(day)

    async def log(self, connection: AsyncConnection, batch: Batch) -> None:
        """Append rows by COPY, which takes all of them or none, in the form that they have already."""
        driver: Any = (await connection.get_raw_connection()).driver_connection
        async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            await copy.write(_COPY_BEGINS + batch.payload + _COPY_ENDS)

    def refuses(self, error: Exception) -> bool:
        import psycopg

        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, psycopg.OperationalError):
            return (cause.sqlstate or "").startswith(_OVER_A_LIMIT)
        return isinstance(cause, psycopg.DataError | psycopg.IntegrityError | ValueError | TypeError | OverflowError)

    async def prune_log(self, begin: Begin, before: datetime) -> int:
        """Drop the days that are over, each in a transaction of its own, and remove the rest in small ones."""
        removed = 0
        while (rows := await self._drop_a_day(begin, before)) is not None:
            removed += rows
        return removed + await self._prune_rows(begin, before)

    def explained(self, error: Exception) -> SerinusError | None:
        return refusal(self._url, error)

    async def dispose(self) -> None:
        for engine in (self.readers, self.writers, self._slow):
            await engine.dispose()

    async def _prune_rows(self, begin: Begin, before: datetime) -> int:
        key = (predictions.c.at, predictions.c.id)
        return await prune(begin, self.writers, predictions, key, predictions.c.at < before)

    async def _drop_a_day(self, begin: Begin, before: datetime) -> int | None:
        async with begin(self._slow) as connection:
            rows = await connection.scalar(select(func.drop_predictions_day(before)))
        self._days.clear()
        return rows


def _in_a_clause(said: str) -> str:
    """Fit what the driver says into a sentence of ours: without what ours says anyhow, and the questions it ends in."""
    return _SAID_ANYHOW.sub("", " ".join(said.split())).rstrip(" .")


def _is_outdated(connection: Connection) -> bool:
    outdated = needs_upgrade(connection)
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding not in {"UTF8", "SQL_ASCII"}:
        raise PlatformError(
            f"The database {named(connection.engine.url)} keeps text as {encoding}, which has not all characters.",
            remedy="Make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )
    return outdated


def _wait_for_other_upgrades(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("serinus schema", 0))))
    connection.execute(text(f"SET LOCAL lock_timeout = '{DDL_LOCK_S}s'"))


def _unavailable(url: URL, said: str) -> Unavailable:
    return Unavailable(
        f"The database {named(url)} does not answer: {said}.",
        remedy="See that PostgreSQL runs there and can be reached from here, that it takes this user and password, "
        "and that it has connections, memory and disk left; then try again.",
    )


def _no_such_user(url: URL, said: str) -> Unavailable:
    return Unavailable(
        f"The database {named(url)} refuses {f'user {url.username!r}' if url.username else 'this user'}: {said}.",
        remedy="Correct user and password in SERINUS_DATABASE_URL, or let the server take them: a role with LOGIN, its "
        "right to CONNECT, a line in pg_hba.conf.",
    )


def _no_such_database(url: URL) -> Unavailable:
    return Unavailable(
        f"The server of {named(url)} has no database {url.database!r}.",
        remedy=f'Make it there, CREATE DATABASE "{url.database}", or correct its name in SERINUS_DATABASE_URL.',
    )
