"""The Outbox port on SQL: each event waits for each target in a row of its own.

No cursor walks along the events: a row of the outbox is found whenever it becomes visible, and goes when each target
has its own.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Insert, delete, exists, func, insert, literal, select, update

from serinus.core.errors import PlatformError
from serinus.core.records import RecordedEvent, Untold
from serinus.stores import codec
from serinus.stores.database import Database, Transactions
from serinus.stores.pruning import prune
from serinus.stores.tables import events, notification_targets, notifications, outbox, store_identity

SPREAD = 500
"""Events that are given to the targets in one transaction."""


class SqlOutbox:
    """The outbox of an open database."""

    def __init__(self, database: Database, transactions: Transactions) -> None:
        self._database = database
        self._transactions = transactions
        self._reading = transactions.reading
        self._writing = transactions.writing

    async def identity(self) -> str:
        wanted = select(store_identity.c.id)
        async with self._reading() as connection:
            known = await connection.scalar(wanted)
        if known is None:  # the first who asks names it
            first = self._database.insert(store_identity).values(place=1, id=str(uuid4()))
            async with self._writing() as connection:
                await connection.execute(first.on_conflict_do_nothing(index_elements=["place"]))
                known = await connection.scalar(wanted)
        return str(known)

    async def enlist(self, target: str, now: datetime) -> None:
        newest = select(func.coalesce(func.max(events.c.id), 0)).scalar_subquery()
        entry = self._database.insert(notification_targets).values(name=target, begins_after=newest, seen_at=now)
        async with self._writing() as connection:
            await connection.execute(entry.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now}))

    async def spread(self) -> None:
        """Give each target its entries; of those that do so at once, one does it and the others wait."""
        async with self._reading() as connection:
            if not await connection.scalar(select(exists(outbox.c.event))):
                return
        some = select(outbox.c.event).order_by(outbox.c.event).limit(SPREAD).with_for_update()
        while True:
            async with self._writing() as connection:
                found = (await connection.execute(some)).scalars().all()
                if found:
                    await connection.execute(_entries(found))
                    await connection.execute(delete(outbox).where(outbox.c.event.in_(found)))
            if len(found) < SPREAD:
                return

    async def due(self, target: str, now: datetime, *, limit: int = 100) -> list[Untold]:
        ours = notifications.c.target == target
        held = select(notifications.c.deployment).where(ours, notifications.c.not_before > now)
        wanted = select(notifications.c.tries, notifications.c.refusals, events).join_from(notifications, events)
        wanted = wanted.where(ours, notifications.c.deployment.not_in(held)).order_by(notifications.c.event)
        async with self._reading() as connection:
            rows = (await connection.execute(wanted.limit(limit))).all()
        return [
            Untold(int(row.id), str(row.deployment), row.at, _readable(row), int(row.tries), int(row.refusals))
            for row in rows
        ]

    async def settle(self, target: str, events: Collection[int]) -> None:
        ours = delete(notifications).where(notifications.c.target == target)
        async with self._writing() as connection:
            await connection.execute(ours.where(notifications.c.event.in_(events)))

    async def postpone(self, target: str, untold: Untold, not_before: datetime) -> None:
        kept = update(notifications).where(notifications.c.target == target, notifications.c.event == untold.id)
        async with self._writing() as connection:
            await connection.execute(kept.values(tries=untold.tries, refusals=untold.refusals, not_before=not_before))

    async def untold(self, target: str) -> int:
        async with self._reading() as connection:
            count = select(func.count()).select_from(notifications).where(notifications.c.target == target)
            return int(await connection.scalar(count) or 0)

    async def forget(self, before: datetime) -> list[str]:
        stale = select(notification_targets.c.name).where(notification_targets.c.seen_at < before)
        async with self._reading() as connection:
            names = [str(name) for name in (await connection.execute(stale)).scalars()]
        gone = []
        for name in names:
            async with self._writing() as connection:
                still = notification_targets.c.seen_at < before
                out = delete(notification_targets).where(notification_targets.c.name == name, still)
                if (await connection.execute(out)).rowcount:
                    gone.append(name)
        await self._sweep()
        return gone

    async def _sweep(self) -> None:
        """Remove what waits for targets that are none any more, however much that is."""
        known = select(notification_targets.c.name)
        begin, writers = self._transactions.on, self._database.writers
        key = [notifications.c.target, notifications.c.event]
        await prune(begin, writers, notifications, key, notifications.c.target.not_in(known))


def _entries(numbers: Collection[int]) -> Insert:
    """Make an entry for each target and each of these events that is none of before its time."""
    each = select(notification_targets.c.name, events.c.id, events.c.deployment, literal(0), literal(0))
    each = each.where(events.c.id.in_(numbers), events.c.id > notification_targets.c.begins_after)
    return insert(notifications).from_select(["target", "event", "deployment", "tries", "refusals"], each)


def _readable(row: codec.AnyRow) -> RecordedEvent | None:
    try:
        return codec.read_event(row)
    except PlatformError:
        return None
