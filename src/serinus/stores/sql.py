"""The Store port on SQL: each method is one transaction. Rows are made and read in ``codec``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

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
from serinus.stores.sqlite import file_of, make_ready, reading_engine, writing_engine
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

T = TypeVar("T")
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
    with _answering(parsed):
        await asyncio.to_thread(make_ready, path)
    return SqlStore(parsed, reading_engine(path), writing_engine(path))


class SqlStore:
    """An open database; ``close`` it. Made by ``open_store``.

    Args:
        url: names the database in errors.
        readers: its transactions see one state of the database.
        writers: its transactions see one state of the database and cannot be overtaken between a read and a write of
            the same row.
    """

    def __init__(self, url: URL, readers: AsyncEngine, writers: AsyncEngine) -> None:
        self._url = url
        self._readers = readers
        self._writers = writers
        self._insert = _INSERTS[writers.dialect.name]
        self._closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def register(self, draft: VersionDraft, now: datetime) -> ModelVersion:
        """Give the draft the next number of its model; InvalidInput if it holds what JSON cannot."""
        text = codec.encoded_draft(draft)
        first = self._insert(models).values(name=draft.model, versions=1, updated_at=now)
        count = first.on_conflict_do_update(
            index_elements=["name"], set_={"versions": models.c.versions + 1, "updated_at": now}
        ).returning(models.c.versions)
        async with self._transaction(self._writers) as connection:
            number = (await connection.execute(count)).scalar_one()
            version = model_versions.insert().values(model=draft.model, number=number, draft=text, created_at=now)
            row = await connection.execute(version.returning(*model_versions.c))
            return codec.read_version(row.one())

    async def models(self) -> list[ModelSummary]:
        return await self._all(select(models).order_by(models.c.name), codec.read_model)

    async def versions(self, model: str) -> list[ModelVersion]:
        wanted = select(model_versions).where(model_versions.c.model == model)
        return await self._all(wanted.order_by(model_versions.c.number), codec.read_version)

    async def version(self, ref: VersionRef) -> ModelVersion | None:
        wanted = select(model_versions).where(
            model_versions.c.model == ref.model, model_versions.c.number == ref.version
        )
        return await self._first(wanted, codec.read_version)

    async def deployments(self) -> list[Deployment]:
        return await self._all(select(deployments).order_by(deployments.c.name), codec.read_deployment)

    async def deployment(self, name: str) -> Deployment | None:
        return await self._first(select(deployments).where(deployments.c.name == name), codec.read_deployment)

    async def save(self, new: Deployment, expected_generation: int, events: Sequence[Event]) -> list[RecordedEvent]:
        columns = codec.deployment_columns(new, updated_at=events[-1].at)
        async with self._transaction(self._writers) as connection:
            if expected_generation == 0:
                await self._create(connection, columns)
            else:
                await _replace(connection, columns, expected_generation)
            if new.rollout is not None:
                await self._keep_rollout(connection, new.name, new.rollouts, new.rollout)
            return await _append(connection, events)

    async def record(self, events: Sequence[Event]) -> list[RecordedEvent]:
        async with self._transaction(self._writers) as connection:
            return await _append(connection, events)

    async def events(
        self,
        deployment: str,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
    ) -> list[RecordedEvent]:
        number = events.c.id
        wanted = select(events).where(events.c.deployment == deployment)
        if kinds:
            wanted = wanted.where(events.c.kind.in_(kinds))
        if after:
            wanted = wanted.where(number < after if newest_first else number > after)
        wanted = wanted.order_by(number.desc() if newest_first else number)
        return await self._all(wanted.limit(limit), codec.read_event)

    async def rollouts(self, deployment: str, *, limit: int = 100) -> list[Rollout]:
        wanted = select(rollouts).where(rollouts.c.deployment == deployment)
        return await self._all(wanted.order_by(rollouts.c.number.desc()).limit(limit), codec.read_rollout)

    async def save_snapshot(self, snapshot: HealthSnapshot) -> None:
        async with self._transaction(self._writers) as connection:
            await connection.execute(health_snapshots.insert(), codec.snapshot_columns(snapshot))

    async def snapshots(
        self, rollout: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[HealthSnapshot]:
        wanted = select(health_snapshots).where(health_snapshots.c.rollout == rollout)
        if since is not None:
            wanted = wanted.where(health_snapshots.c.at >= since)
        if until is not None:
            wanted = wanted.where(health_snapshots.c.at <= until)
        return await self._all(_newest_snapshots(wanted).limit(limit), codec.read_snapshot)

    async def last_snapshot(self, deployment: str) -> HealthSnapshot | None:
        wanted = select(health_snapshots).where(health_snapshots.c.deployment == deployment)
        return await self._first(_newest_snapshots(wanted).limit(1), codec.read_snapshot)

    async def append_predictions(self, records: Sequence[PredictionRecord]) -> None:
        if not records:
            return
        rows = [codec.prediction_columns(record) for record in records]
        async with self._transaction(self._writers) as connection:
            await connection.execute(self._insert(predictions).on_conflict_do_nothing(index_elements=["id"]), rows)

    async def predictions(self, deployment: str, *, limit: int = 100) -> list[PredictionRecord]:
        wanted = select(predictions).where(predictions.c.deployment == deployment)
        newest_first = wanted.order_by(predictions.c.at.desc(), predictions.c.id.desc())
        return await self._all(newest_first.limit(limit), codec.read_prediction)

    async def ping(self) -> None:
        # A constant would be answered without a look at the file.
        async with self._transaction(self._readers) as connection:
            await connection.execute(select(models.c.name).limit(1))

    async def close(self) -> None:
        """Wait for what is under way and release what is open; closing again does nothing."""
        self._closed = True
        await self._idle.wait()
        await self._readers.dispose()
        await self._writers.dispose()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        if self._closed:
            raise Unavailable("The store is closed.", remedy="Open it again.")
        self._under_way += 1
        self._idle.clear()
        try:
            with _answering(self._url):
                async with engine.begin() as connection:
                    yield connection
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _all(self, wanted: Select[*tuple[Any, ...]], read: Callable[[codec.AnyRow], T]) -> list[T]:
        async with self._transaction(self._readers) as connection:
            rows = (await connection.execute(wanted)).all()
        return [read(row) for row in rows]

    async def _first(self, wanted: Select[*tuple[Any, ...]], read: Callable[[codec.AnyRow], T]) -> T | None:
        async with self._transaction(self._readers) as connection:
            row = (await connection.execute(wanted)).first()
        return None if row is None else read(row)

    async def _create(self, connection: AsyncConnection, columns: codec.Columns) -> None:
        insert = self._insert(deployments).values(columns).on_conflict_do_nothing(index_elements=["name"])
        made = await connection.execute(insert.returning(deployments.c.name))
        if made.first() is None:
            raise AlreadyExists(
                f"Deployment {columns['name']!r} exists already.", field="name", remedy="Choose another name."
            )

    async def _keep_rollout(self, connection: AsyncConnection, deployment: str, number: int, rollout: Rollout) -> None:
        insert = self._insert(rollouts).values(codec.rollout_columns(deployment, number, rollout))
        changing = ("weight", "phase", "split_version", "ended_at", "reason")
        await connection.execute(
            insert.on_conflict_do_update(index_elements=["id"], set_={name: insert.excluded[name] for name in changing})
        )


async def _replace(connection: AsyncConnection, columns: codec.Columns, expected: int) -> None:
    same = deployments.c.name == columns["name"]
    guarded = update(deployments).where(same, deployments.c.generation == expected)
    if (await connection.execute(guarded.values(columns))).rowcount:
        return
    actual = await connection.scalar(select(deployments.c.generation).where(same)) or 0
    raise StaleGeneration(
        f"Deployment {columns['name']!r} is at generation {actual}, not {expected}: somebody else changed it first.",
        remedy="Read the deployment again and repeat the command.",
        expected=expected,
        actual=actual,
    )


async def _append(connection: AsyncConnection, new: Sequence[Event]) -> list[RecordedEvent]:
    recorded = []
    for event in new:
        insert = events.insert().values(codec.event_columns(event)).returning(events.c.id)
        number = (await connection.execute(insert)).scalar_one()
        await connection.execute(outbox.insert().values(event=number))
        recorded.append(RecordedEvent(number, event))
    return recorded


def _newest_snapshots(wanted: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return wanted.order_by(health_snapshots.c.at.desc(), health_snapshots.c.id.desc())


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = URL.create("")
    if parsed.drivername not in {"sqlite", "sqlite+aiosqlite"}:
        raise InvalidInput(
            f"{parsed.render_as_string()!r} is not the URL of a database that Serinus can use.",
            field="database_url",
            remedy="Write sqlite:///relative/path.db or sqlite:////absolute/path.db.",
        )
    return parsed


@contextmanager
def _answering(url: URL) -> Iterator[None]:
    """Turn "the database does not answer" into Unavailable; a mistake in a statement goes through."""
    try:
        yield
    except (DBAPIError, NoConnection, OSError) as wrong:
        if isinstance(wrong, DBAPIError) and not _is_outage(wrong):
            raise
        cause = wrong.orig if isinstance(wrong, DBAPIError) else wrong
        raise Unavailable(
            f"The database {url.render_as_string()} does not answer: {cause}.",
            remedy="See that its folder exists and can be written to, that the disk is not full, and that no other "
            "process keeps the database locked; then try again.",
        ) from wrong


def _is_outage(error: DBAPIError) -> bool:
    # A plain DatabaseError is a damaged file, or no database at all.
    return (
        isinstance(error, OperationalError | InterfaceError)
        or type(error) is DatabaseError
        or error.connection_invalidated
    )
