"""What commands that were given a key came to, so that each happens once."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import KeyReused
from serinus.core.records import Once, Outcome
from serinus.stores import codec
from serinus.stores.database import Database
from serinus.stores.tables import outcomes


async def claim(database: Database, connection: AsyncConnection, once: Once | None, now: datetime) -> None:
    """Take the key for this transaction, or raise KeyReused; another that has just taken it is waited for."""
    if once is None:
        return
    nothing_yet = codec.encoded_outcome(Outcome(once.fingerprint))
    row = database.insert(outcomes).values(
        key=once.key, fingerprint=once.fingerprint, result=nothing_yet, created_at=now
    )
    taken = await connection.execute(row.on_conflict_do_nothing(index_elements=["key"]).returning(outcomes.c.key))
    if taken.first() is None:
        raise KeyReused(
            f"The idempotency key {once.key!r} has been used before.",
            field="Idempotency-Key",
            remedy="Read what came of that command; give a new command a new key.",
        )


async def settle(connection: AsyncConnection, once: Once | None, outcome: Outcome) -> None:
    """Keep what came of the command under the key that ``claim`` took."""
    if once is None:
        return
    kept = update(outcomes).where(outcomes.c.key == once.key)
    await connection.execute(kept.values(result=codec.encoded_outcome(outcome)))
