"""The Store port on SQL: each method is one transaction. Rows are made and read in ``codec``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import stamina
from sqlalchemy import URL, Select, Table, make_url, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import AlreadyExists, InvalidInput, StaleGeneration, Unavailable
from serinus.core.events import Event
from serinus.core.names import VersionRef
from serinus.core.records import (
    HealthSnapshot,
    ModelSummary,
    ModelVersion,
    PredictionRecord,
    RecordedEvent,
    VersionDraft,
)
from serinus.stores import codec
from serinus.stores.sqlite import BUSY_TIMEOUT_S, file_of, is_busy, reading_engine, upgrading_engine, writing_engine
from serinus.stores.tables import (
    deployments,
    events,
    health_snapshots,
    model_versions,
    models,
    outbox,
    predictions,
    rollouts,
)
from serinus.stores.upgrade import upgrade

Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""ON CONFLICT is written alike in both, but is no part of SQLAlchemy's common INSERT."""


async def open_store(url: str) -> "SqlStore":
    """Open the database, making or upgrading it as needed.

    Args:
        url: ``sqlite:///relative/path.db`` (from the working directory) or ``sqlite:////absolute/path.db``; the
            folder is made.

    Raises:
        InvalidInput: the URL is not of this kind.
        PlatformError: the database was made by a newer version of Serinus.
        Unavailable: the file cannot be opened, made or locked.
    """
    parsed = _parsed(url)
    path = file_of(parsed)
    async with _answering(parsed):
        await asyncio.to_thread(_make_ready, path)
    return SqlStore(parsed, reading_engine(path), writing_engine(path))
