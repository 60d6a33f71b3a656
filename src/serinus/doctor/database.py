"""The check of the database. It changes nothing, and upgrades nothing: that is for a server to do."""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import SerinusError, Unavailable
from serinus.core.records import Lease
from serinus.doctor.machine import check_folder
from serinus.doctor.reports import Report
from serinus.settings import ServerSettings
from serinus.stores.connections import POOL_SIZE
from serinus.stores.database import Database, explaining
from serinus.stores.grants import TABLES
from serinus.stores.postgresql import Postgresql
from serinus.stores.sqlite import Sqlite, file_of
from serinus.stores.tables import leases
from serinus.stores.upgrade import alembic_config, needs_upgrade
from serinus.stores.urls import named, parsed, postgresql_url

OLDEST_POSTGRESQL = 13
CLOCKS_APART_S = 2.0
"""Difference of clocks that history and health checks begin to show."""
WRITE_S = 3.0

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What other checks go on from: whether the schema is this version's, and the leases that are held."""

    ready: bool = False
    leases: Mapping[str, Lease] = field(default_factory=dict)


async def check_database(report: Report, settings: ServerSettings) -> Found:
    """Look whether the database answers, what it is, whether it has the right schema, and whether it takes writes."""
    url = parsed(settings.database)
    if url.drivername == "postgresql":
        report.fact(f"at {named(url)}")
        database = Postgresql(postgresql_url(settings.database))
        return await _look_at(report, database, lambda c: _look_at_postgresql(report, c, settings))
    path = file_of(url)
    if not await asyncio.to_thread(path.exists):
        report.fact("SQLite, made at the first start")
        await asyncio.to_thread(check_folder, report, path.parent, "SERINUS_DATABASE_URL")
        return Found()
    found = await _look_at(report, Sqlite(url, path), lambda c: _look_at_sqlite(report, c, path))
    if not settings.is_embedded:
        report.fact("for gateways of this machine alone")
    return found


async def _look_at(
    report: Report, database: Database, of_its_kind: Callable[[AsyncConnection], Awaitable[None]]
) -> Found:
    try:
        with explaining(database.explained):
            async with database.readers.connect() as connection:
                await of_its_kind(connection)
                if not await _has_right_schema(report, connection):
                    return Found()
                report.fact(f"round trip {await _latency_ms(connection):.1f} ms")
                held = await _leases(database, connection)
        await _try_to_write(report, database)
        return Found(ready=True, leases=held)
    finally:
        await database.dispose()


# ------------------------------------------------------------------------------------------------- of its kind


async def _look_at_sqlite(report: Report, connection: AsyncConnection, path: Path) -> None:
    report.fact(f"SQLite {await connection.scalar(text('SELECT sqlite_version()'))}, {path}")
    await asyncio.to_thread(_take_write_lock, path)


def _take_write_lock(path: Path) -> None:
    """Take the lock that writes take, and give it back; Unavailable if another process keeps it."""
    try:
        with closing(sqlite3.connect(path, timeout=WRITE_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as trouble:
        raise Unavailable(
            f"The database {path} takes no writes: {trouble}.",
            remedy="See that this user may write to it and its folder, and that no other process keeps it locked.",
        ) from trouble


async def _look_at_postgresql(report: Report, connection: AsyncConnection, settings: ServerSettings) -> None:
    facts = (await connection.execute(_FACTS)).one()
    report.facts.insert(0, f"PostgreSQL {facts.version.split()[0]}")
    if facts.number // 10_000 < OLDEST_POSTGRESQL:
        report.wrong(f"PostgreSQL {facts.version} is too old.", f"Upgrade it to version {OLDEST_POSTGRESQL} or newer.")
    if facts.encoding != "UTF8":
        report.wrong(
            f"The database is encoded in {facts.encoding}, which cannot hold all text.",
            "Make a new one with ENCODING 'UTF8' TEMPLATE template0.",
        )
    if facts.replica:
        report.wrong("It is a replica, which takes no writes.", "Set SERINUS_DATABASE_URL to the primary server.")
    if facts.fsync == "off" or facts.synchronous_commit == "off":
        which = "fsync" if facts.fsync == "off" else "synchronous_commit"
        report.note(
            f"Its setting {which} is off: what was acknowledged may be lost when it crashes.", f"Set {which} to on."
        )
    needed, left = 2 * POOL_SIZE * settings.workers, facts.most - facts.connected
    if left < needed:
        report.note(
            f"It has {left} of {facts.most} connections left, and this server takes up to {needed}.",
            "Raise max_connections, or put a pooler in front of it.",
        )
    await _compare_clocks(report, connection)
    await _look_at_rights(report, connection)


_FACTS = text("""
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
       pg_encoding_to_char(encoding) AS encoding, pg_is_in_recovery() AS replica,
       current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('max_connections')::int AS most, (SELECT count(*) FROM pg_stat_activity) AS connected
FROM pg_database WHERE datname = current_database()
""")


async def _compare_clocks(report: Report, connection: AsyncConnection) -> None:
    before = datetime.now(UTC)
    there = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    here = before + (datetime.now(UTC) - before) / 2
    apart = (there - here).total_seconds()
    report.fact(f"clock {apart:+.2f} s" if abs(apart) >= 0.005 else "clock alike")  # noqa: PLR2004 - as it is shown
    if abs(apart) > CLOCKS_APART_S:
        report.note(
            f"Its clock is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's.",
            "Let both follow the same time servers (NTP).",
        )


async def _look_at_rights(report: Report, connection: AsyncConnection) -> None:
    """Look whether this role may do on each table what a server does there; what is not there yet is passed over."""
    wanted = [(table, right) for table, rights in TABLES.items() for right in _RIGHTS if right in rights]
    found = await connection.execute(
        _MISSING, {"tables": [table for table, _ in wanted], "rights": [right for _, right in wanted]}
    )
    missing: dict[str, list[str]] = {}
    for table, right in found:
        missing.setdefault(table, []).append(right)
    if missing:
        listed = "; ".join(f"{', '.join(rights)} on {table}" for table, rights in missing.items())
        report.wrong(
            f"The role of this server lacks rights: {listed}.",
            "Let the owner of the tables grant them, as after each upgrade.",
        )


_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MISSING = text("""
SELECT name, wanted FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[])) AS listed(name, wanted)
WHERE to_regclass(quote_ident(name)) IS NOT NULL AND NOT CASE
    WHEN wanted = 'DELETE' THEN has_table_privilege(quote_ident(name), wanted)
    ELSE has_any_column_privilege(quote_ident(name), wanted) END
""")

# ---------------------------------------------------------------------------------------------------- of any


async def _has_right_schema(report: Report, connection: AsyncConnection) -> bool:
    """Say whether a server would find the schema as it needs it."""
    current, newest, outdated = await connection.run_sync(_schema)
    if not outdated:
        report.fact(f"schema {current}" if current == newest else f"schema {current} of a newer Serinus, which fits")
        return True
    if current is None:
        report.fact(f"no tables yet, made at the first start (schema {newest})")
    else:
        report.note(
            f"Its schema is of revision {current}: the next server that starts upgrades it to {newest}.",
            "Make a backup before that.",
        )
    if connection.dialect.name == "postgresql" and not await connection.scalar(_MAY_CREATE):
        report.wrong(
            "The role of this server may not make tables there.",
            "Let a server start once with the URL of the database's owner, or grant CREATE on the schema.",
        )
    return False


_MAY_CREATE = text("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")


def _schema(connection: Connection) -> tuple[str | None, str | None, bool]:
    """Give the revision that is there, the newest one that is known, and whether an upgrade is due."""
    current = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()
    return current, newest, needs_upgrade(connection)


async def _latency_ms(connection: AsyncConnection) -> float:
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await connection.execute(select(leases.c.name).limit(1))
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


async def _leases(database: Database, connection: AsyncConnection) -> dict[str, Lease]:
    present, _ = database.lease_times(datetime.now(UTC), 0)
    held = select(leases.c.name, leases.c.holder, leases.c.term).where(leases.c.expires_at > present)
    return {row.name: Lease(row.name, row.holder, row.term) for row in await connection.execute(held)}


async def _try_to_write(report: Report, database: Database) -> None:
    """Write a row, and take it back."""
    row = {"name": f"doctor {uuid4().hex}", "holder": "the doctor", "term": 0, "expires_at": datetime.now(UTC)}
    try:
        with explaining(database.explained):
            async with database.writers.connect() as connection:
                await connection.execute(insert(leases), row)
                await connection.rollback()
    except SerinusError as trouble:
        report.wrong(trouble.message, trouble.remedy)
    else:
        report.fact("takes writes")
