"""The Store port on SQL: each method is one transaction. Rows are made and read in ``codec``."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import AlreadyExists, PlatformError, StaleGeneration
from serinus.core.events import Event
from serinus.core.log_frames import Batch, Position, Taken
from serinus.core.looks import Tested
from serinus.core.names import VersionRef
from serinus.core.records import (
    EvidenceReport,
    HealthSnapshot,
    Lease,
    ModelSummary,
    ModelVersion,
    Once,
    Outcome,
    PredictionRecord,
    Pruned,
    RecordedEvent,
    VersionDraft,
)
from serinus.stores import codec, journals, leases, timeline
from serinus.stores.database import Database, Transactions
from serinus.stores.outbox import SqlOutbox
from serinus.stores.outcomes import claim, settle
from serinus.stores.postgresql import open_postgresql
from serinus.stores.pruning import prune
from serinus.stores.sqlite import open_sqlite
from serinus.stores.tables import (
    boot_evidence,
    deployments,
    events,
    health_snapshots,
    journal_positions,
    model_versions,
    models,
    outbox,
    outcomes,
    predictions,
    rollouts,
    sequential_tests,
)
from serinus.stores.urls import parsed, postgresql_url

T = TypeVar("T")

KEYS_KEPT = timedelta(days=1)
"""An outcome is never removed sooner."""


async def open_store(url: str) -> "SqlStore":
    """Open the database, making or upgrading it as needed.

    Args:
        url: ``sqlite:///relative/path.db`` (from the working directory) or ``sqlite:////absolute/path.db``; the
            folder is made. Or ``postgresql://user:password@host:port/name``; the database must be there.

    Raises:
        InvalidInput: the URL is not of this kind.
        PlatformError: the database was made by a newer version of Serinus that this one cannot work with.
        Unavailable: the database cannot be opened, made or locked, or does not answer.
    """
    if parsed(url).drivername == "sqlite":
        return SqlStore(await open_sqlite(parsed(url)))
    return SqlStore(await open_postgresql(postgresql_url(url)))


class SqlStore:
    """An open database; ``close`` it. Made by ``open_store``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._transactions = Transactions(database)
        self._reading = self._transactions.reading
        self._writing = self._transactions.writing
        self._unreadable: dict[str, str] = {}
        self.outbox = SqlOutbox(database, self._transactions)

    async def register(self, draft: VersionDraft, now: datetime, *, once: Once | None = None) -> ModelVersion:
        """Give the draft the next number of its model; InvalidInput if it holds what JSON cannot."""
        text = codec.encoded_draft(draft)
        first = self._database.insert(models).values(name=draft.model, versions=1, updated_at=now)
        count = first.on_conflict_do_update(
            index_elements=["name"], set_={"versions": models.c.versions + 1, "updated_at": now}
        ).returning(models.c.versions)
        async with self._writing() as connection:
            await claim(self._database, connection, once, now)
            number = (await connection.execute(count)).scalar_one()
            insert = model_versions.insert().values(model=draft.model, number=number, draft=text, created_at=now)
            row = await connection.execute(insert.returning(*model_versions.c))
            version = codec.read_version(row.one())
            if once is not None:
                await settle(connection, once, Outcome(once.fingerprint, version=version.ref))
            return version

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
        """List the deployments by name; one that cannot be read is left out, and ``unreadable`` tells why."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(deployments).order_by(deployments.c.name))).all()
        found, unreadable = [], {}
        for row in rows:
            try:
                found.append(codec.read_deployment(row))
            except PlatformError as wrong:
                unreadable[str(row.name)] = wrong.message
        self._unreadable = unreadable
        return found

    def unreadable(self) -> dict[str, str]:
        """Give the deployments that ``deployments`` left out when it was last asked, and why."""
        return dict(self._unreadable)

    async def deployment(self, name: str) -> Deployment | None:
        return await self._first(select(deployments).where(deployments.c.name == name), codec.read_deployment)

    async def save(
        self,
        new: Deployment,
        expected_generation: int,
        events: Sequence[Event],
        *,
        term: int | None = None,
        once: Once | None = None,
    ) -> list[RecordedEvent]:
        at = events[-1].at if events else datetime.now(UTC)
        columns = codec.deployment_columns(new, updated_at=at)
        async with self._writing() as connection:
            await leases.fence(connection, term)
            await claim(self._database, connection, once, at)
            if expected_generation == 0:
                await self._create(connection, columns)
            else:
                await _replace(connection, columns, expected_generation)
            if new.rollout is not None:
                await self._keep_rollout(connection, new.name, new.rollouts, new.rollout)
            recorded = await self._append(connection, events)
            if once is not None:
                await settle(connection, once, Outcome(once.fingerprint, new, tuple(recorded)))
            return recorded

    async def record(self, events: Sequence[Event], *, term: int | None = None) -> list[RecordedEvent]:
        async with self._writing() as connection:
            await leases.fence(connection, term)
            return await self._append(connection, events)

    async def outcome(self, key: str) -> Outcome | None:
        return await self._first(select(outcomes).where(outcomes.c.key == key), codec.read_outcome)

    async def events(
        self,
        deployment: str,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[RecordedEvent]:
        page = timeline.Page(after, limit, newest_first, (deployment,), kinds, since, until)
        return await self._all(page.wanted, codec.read_event)

    async def timeline(
        self,
        deployments: Sequence[str] = (),
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[RecordedEvent]:
        page = timeline.Page(after, limit, newest_first, deployments, kinds, since, until)
        return await self._all(page.wanted, codec.read_event)

    async def production_events(self, until: datetime, deployment: str | None = None) -> list[RecordedEvent]:
        return await self._all(timeline.replayed(until, deployment), codec.read_event)

    async def rollout(self, rollout: str) -> Rollout | None:
        return await self._first(select(rollouts).where(rollouts.c.id == rollout), codec.read_rollout)

    async def rollouts(self, deployment: str, *, limit: int = 100) -> list[Rollout]:
        wanted = select(rollouts).where(rollouts.c.deployment == deployment)
        return await self._all(wanted.order_by(rollouts.c.number.desc()).limit(limit), codec.read_rollout)

    async def save_snapshot(
        self,
        snapshot: HealthSnapshot,
        *,
        reports: Sequence[EvidenceReport] = (),
        term: int | None = None,
        tested: Tested | None = None,
    ) -> None:
        async with self._writing() as connection:
            await leases.fence(connection, term)
            await connection.execute(health_snapshots.insert(), codec.snapshot_columns(snapshot))
            if reports:
                await self._keep_reports(connection, snapshot, reports)
            if tested is not None:
                insert = self._database.insert(sequential_tests).values(codec.tested_columns(tested))
                changing = {
                    each.name: insert.excluded[each.name] for each in sequential_tests.c if not each.primary_key
                }
                await connection.execute(insert.on_conflict_do_update(index_elements=["rollout"], set_=changing))

    async def tested(self, rollout: str) -> Tested | None:
        return await self._first(
            select(sequential_tests).where(sequential_tests.c.rollout == rollout), codec.read_tested
        )

    async def kept_reports(self, rollout: str) -> list[EvidenceReport]:
        wanted = select(boot_evidence).where(boot_evidence.c.rollout == rollout)
        return await self._all(wanted.order_by(boot_evidence.c.gateway, boot_evidence.c.boot), codec.read_report)

    async def snapshots(
        self, rollout: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[HealthSnapshot]:
        wanted = select(health_snapshots).where(health_snapshots.c.rollout == rollout)
        if since is not None:
            wanted = wanted.where(health_snapshots.c.at >= since)
        if until is not None:
            wanted = wanted.where(health_snapshots.c.at <= until)
        return await self._all(_newest_snapshots(wanted).limit(limit), codec.read_snapshot)

    async def sampled_snapshots(self, rollout: str, points: int) -> list[HealthSnapshot]:
        async with self._reading() as connection:
            numbers = (await connection.execute(timeline.first_checks(rollout, points + 1))).scalars().all()
            if len(numbers) > points:
                first, last = (await connection.execute(timeline.bounds(rollout))).one()
                wanted = timeline.next_checks(rollout, timeline.spread(first, last, points))
                numbers = sorted(set((await connection.execute(wanted)).scalars().all()))
            rows = (await connection.execute(timeline.checks(numbers))).all()
        return [codec.read_snapshot(row) for row in rows]

    async def looks(self, rollout: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, HealthSnapshot]]:
        number = health_snapshots.c.id
        wanted = select(health_snapshots).where(health_snapshots.c.rollout == rollout, number > after)
        wanted = wanted.where(health_snapshots.c.look.is_not(None)).order_by(number).limit(limit)
        async with self._reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [(int(row.id), codec.read_snapshot(row)) for row in rows]

    async def last_snapshot(self, deployment: str) -> HealthSnapshot | None:
        wanted = select(health_snapshots).where(health_snapshots.c.deployment == deployment)
        return await self._first(_newest_snapshots(wanted).limit(1), codec.read_snapshot)

    async def take_in(self, journal: str, batch: Batch) -> Taken:
        return await journals.take_in(self._database, self._transactions.on, journal, batch)

    async def position(self, journal: str) -> Position:
        async with self._reading() as connection:
            return await journals.position(connection, journal)

    async def forget(self, journal: str) -> None:
        async with self._writing() as connection:
            await journals.forget(connection, journal)

    async def predictions(self, deployment: str, *, limit: int = 100) -> list[PredictionRecord]:
        wanted = select(predictions).where(predictions.c.deployment == deployment)
        newest_first = wanted.order_by(predictions.c.at.desc(), predictions.c.id.desc())
        return await self._all(newest_first.limit(limit), codec.read_prediction)

    async def prune(self, before: datetime) -> Pruned:
        """Remove what is older than an instant, in many small transactions; see the port."""
        begin, writers = self._transactions.on, self._database.writers
        ended = select(rollouts.c.id).where(rollouts.c.ended_at.is_not(None))
        old = health_snapshots.c.at < before
        over = (sequential_tests.c.at < before) & sequential_tests.c.rollout.in_(ended)
        await prune(begin, writers, sequential_tests, [sequential_tests.c.rollout], over)
        unmoved = journal_positions.c.updated_at < before
        await prune(begin, writers, journal_positions, [journal_positions.c.journal], unmoved)
        keys_before = min(before, datetime.now(UTC) - KEYS_KEPT)
        return Pruned(
            predictions=await self._database.prune_log(begin, before),
            snapshots=await prune(
                begin, writers, health_snapshots, [health_snapshots.c.id], old & health_snapshots.c.rollout.in_(ended)
            ),
            outcomes=await prune(begin, writers, outcomes, [outcomes.c.key], outcomes.c.created_at < keys_before),
        )

    async def hold(self, name: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        async with self._writing() as connection:
            return await leases.hold(self._database, connection, Lease(name, holder, 0), ttl_s, now)

    async def release(self, name: str, holder: str) -> None:
        async with self._writing() as connection:
            await leases.release(connection, name, holder)

    async def ping(self) -> None:
        # A constant would be answered without a look at the file.
        async with self._reading() as connection:
            await connection.execute(select(models.c.name).limit(1))

    async def close(self) -> None:
        """Wait for what is under way and release what is open; closing again does nothing."""
        await self._transactions.close()

    async def _all(self, wanted: Select[*tuple[Any, ...]], read: Callable[[codec.AnyRow], T]) -> list[T]:
        async with self._reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [read(row) for row in rows]

    async def _first(self, wanted: Select[*tuple[Any, ...]], read: Callable[[codec.AnyRow], T]) -> T | None:
        async with self._reading() as connection:
            row = (await connection.execute(wanted)).first()
        return None if row is None else read(row)

    async def _create(self, connection: AsyncConnection, columns: codec.Columns) -> None:
        insert = self._database.insert(deployments).values(columns).on_conflict_do_nothing(index_elements=["name"])
        made = await connection.execute(insert.returning(deployments.c.name))
        if made.first() is None:
            raise AlreadyExists(
                f"Deployment {columns['name']!r} exists already.", field="name", remedy="Choose another name."
            )

    async def _keep_rollout(self, connection: AsyncConnection, deployment: str, number: int, rollout: Rollout) -> None:
        insert = self._database.insert(rollouts).values(codec.rollout_columns(deployment, number, rollout))
        changing = ("weight", "phase", "split_version", "ended_at", "reason")
        await connection.execute(
            insert.on_conflict_do_update(index_elements=["id"], set_={name: insert.excluded[name] for name in changing})
        )

    async def _append(self, connection: AsyncConnection, new: Sequence[Event]) -> list[RecordedEvent]:
        recorded = []
        if new:
            await self._database.in_order(connection)
        for event in new:
            insert = events.insert().values(codec.event_columns(event)).returning(events.c.id)
            number = (await connection.execute(insert)).scalar_one()
            await connection.execute(outbox.insert().values(event=number))
            recorded.append(RecordedEvent(number, event))
        return recorded

    async def _keep_reports(
        self, connection: AsyncConnection, snapshot: HealthSnapshot, reports: Sequence[EvidenceReport]
    ) -> None:
        kept = await _kept_sizes(connection, snapshot.rollout)
        # Always in the same order, so that two transactions cannot wait for each other.
        for report in sorted(reports, key=lambda report: report.boot):
            if report.size < kept.get(report.boot, 0):
                continue
            columns = codec.report_columns(snapshot.rollout, report, snapshot.at)
            insert = self._database.insert(boot_evidence).values(columns)
            changing = {name: insert.excluded[name] for name in ("gateway", "evidence", "updated_at")}
            await connection.execute(insert.on_conflict_do_update(index_elements=["rollout", "boot"], set_=changing))


async def _kept_sizes(connection: AsyncConnection, rollout: str) -> dict[str, int]:
    wanted = select(boot_evidence).where(boot_evidence.c.rollout == rollout).order_by(boot_evidence.c.boot)
    sizes = {}
    for row in (await connection.execute(wanted.with_for_update())).all():
        with suppress(PlatformError):  # what cannot be read can only gain by being replaced
            report = codec.read_report(row)
            sizes[report.boot] = report.size
    return sizes


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


def _newest_snapshots(wanted: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return wanted.order_by(health_snapshots.c.at.desc(), health_snapshots.c.id.desc())
