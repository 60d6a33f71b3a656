"""Connections to PostgreSQL that wait for nothing without end: a server may be gone, stopped, or starting again.

The server ends what takes it too long. One that does not even answer is hung up on from this side.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 3
"""How long a new connection may take."""
PING_S = 2.0
"""How long a connection from the pool may take to show that it still works."""
POOL_SIZE = 4
"""Connections for reads, and as many for writes."""
POOL_WAIT_S = 10.0
"""How long a transaction waits for a connection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds: a statement, its wait for a lock, and a transaction from end to end.

    The last is measured here, the others by the server, which also ends a transaction that sends nothing for
    ``idle_s``: it may hold locks that all others wait for.
    """

    statement_s: float
    lock_s: float
    transaction_s: float
    idle_s: float = 15.0


# Whoever is paused in a transaction holds its locks for less than others wait for them, and for less than the lease of
# the leading checker, which a paused leader would else keep beyond its end.
QUICK = Limits(statement_s=10.0, lock_s=5.0, transaction_s=12.0, idle_s=3.0)
# While a table's lock is waited for, others queue behind: for less than their own patience.
SLOW = Limits(statement_s=300.0, lock_s=2.0, transaction_s=310.0)
MIGRATION = Limits(statement_s=1800.0, lock_s=1800.0, transaction_s=3600.0)


class _Timer(Protocol):
    def cancel(self) -> None: ...


def pooled_engine(url: URL, isolation: str, *, read_only: bool = False) -> AsyncEngine:
    """Make an engine for short transactions."""
    engine = create_async_engine(
        url,
        connect_args=_connect_args(url, QUICK),
        isolation_level=isolation,
        execution_options={"postgresql_readonly": True} if read_only else {},
        use_native_hstore=False,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_use_lifo=True,
    )
    _bound(engine.sync_engine, QUICK, _call_later)
    return engine


def slow_engine(url: URL) -> AsyncEngine:
    """Make an engine for rare transactions that may take minutes, each on a connection of its own."""
    engine = create_async_engine(
        url, connect_args=_connect_args(url, SLOW), use_native_hstore=False, poolclass=NullPool
    )
    _bound(engine.sync_engine, SLOW, _call_later)
    return engine


def owners_engine(url: URL) -> Engine:
    """Make an engine, not an asynchronous one, to change the schema and its rights."""
    engine = create_engine(url, connect_args=_connect_args(url, MIGRATION), use_native_hstore=False, poolclass=NullPool)
    _bound(engine, MIGRATION, _start_timer)
    return engine


def _connect_args(url: URL, limits: Limits) -> dict[str, Any]:
    ours = {
        "connect_timeout": CONNECT_S,
        "client_encoding": "utf8",
        "application_name": "serinus",
        # A machine that is gone without a word.
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    settings = {
        "statement_timeout": limits.statement_s,
        "lock_timeout": limits.lock_s,
        "idle_in_transaction_session_timeout": limits.idle_s,
    }
    options = [f"-c {name}={seconds * 1000:.0f}" for name, seconds in settings.items()]
    wanted = url.query.get("options", "")
    options += [wanted] if isinstance(wanted, str) else wanted
    return {name: value for name, value in ours.items() if name not in url.query} | {"options": " ".join(options)}


def _bound(engine: Engine, limits: Limits, later: Callable[[float, DBAPIConnection], _Timer]) -> None:
    """See that no use of the engine's connections lasts longer than its limits."""

    def hang_up_after(seconds: float, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        relax(connection, entry)
        entry.info["timer"] = later(seconds, connection)

    def relax(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if (timer := entry.info.pop("timer", None)) is not None:
            timer.cancel()

    # Before SQLAlchemy's own listener, which asks the server's version.
    @event.listens_for(engine, "connect", insert=True)
    def _(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        hang_up_after(limits.transaction_s, connection, entry)
        entry.info["fresh"] = True

    @event.listens_for(engine, "checkout")
    def _(connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        if not entry.info.pop("fresh", False):
            hang_up_after(PING_S, connection, entry)
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as gone:
                raise InvalidatePoolError from gone
        hang_up_after(limits.transaction_s, connection, entry)

    for name in ("checkin", "invalidate", "close"):
        event.listen(engine, name, lambda connection, entry, *_: relax(connection, entry))


def _call_later(seconds: float, connection: DBAPIConnection) -> _Timer:
    return asyncio.get_running_loop().call_later(seconds, _hang_up, connection)


def _start_timer(seconds: float, connection: DBAPIConnection) -> _Timer:
    timer = Timer(seconds, _hang_up, [connection])
    timer.daemon = True
    timer.start()
    return timer


def _hang_up(connection: Any) -> None:
    """End the connection under whoever waits for its answer: cancelling would wait for the server's answer to that."""
    raw: psycopg.BaseConnection[Any] = getattr(connection, "driver_connection", connection)
    # What is closed already raises.
    with suppress(Exception), socket.socket(fileno=os.dup(raw.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
