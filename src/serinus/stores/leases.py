"""Leases, and the fence that a lease's term is to writes."""

from datetime import UTC, datetime

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import Deposed
from serinus.core.records import Lease
from serinus.ports import CHECKER
from serinus.stores.database import Database
from serinus.stores.tables import leases

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


async def hold(database: Database, connection: AsyncConnection, wanted: Lease, ttl_s: float, now: datetime) -> Lease:
    """Take or renew the lease for its holder (its term is not looked at), and say who does hold it."""
    present, end = database.lease_times(now, ttl_s)
    held = leases.c.expires_at > present
    ours = leases.c.holder == wanted.holder
    take = database.insert(leases).values(name=wanted.name, holder=wanted.holder, term=1, expires_at=end)
    take = take.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": wanted.holder,
            "term": leases.c.term + case((ours & held, 0), else_=1),
            "expires_at": end,
        },
        where=ours | ~held,
    )
    taken = (await connection.execute(take.returning(leases.c.term))).first()
    if taken is not None:
        return Lease(wanted.name, wanted.holder, taken.term)
    found = select(leases.c.holder, leases.c.term).where(leases.c.name == wanted.name)
    holder, term = (await connection.execute(found)).one()
    return Lease(wanted.name, holder, term)


async def release(connection: AsyncConnection, name: str, holder: str) -> None:
    """Let the lease run out now, if this holder has it."""
    ours = update(leases).where(leases.c.name == name, leases.c.holder == holder)
    await connection.execute(ours.values(expires_at=_LONG_AGO))


async def fence(connection: AsyncConnection, term: int | None) -> None:
    """Let the transaction go on only under the checker's lease of this term; nobody takes it until it has ended."""
    if term is None:
        return
    wanted = select(leases.c.term).where(leases.c.name == CHECKER).with_for_update(read=True)
    actual = await connection.scalar(wanted)
    if actual != term:
        raise Deposed(
            f"The checker's lease of term {term} is over: it is at term {actual or 0}.",
            remedy="Let the checker that leads go on; this one has to hold the lease again before it changes anything.",
            expected=term,
            actual=actual or 0,
        )
