"""What an operator does to a server's database now and then, beside the servers that run on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from serinus.core.errors import InvalidInput
from serinus.core.records import Pruned
from serinus.settings import read_settings
from serinus.stores import grants
from serinus.stores.sql import open_store

SHORTEST_S = 60.0
"""Nothing younger is removed: it may still be on its way."""


async def prune(older_than_s: float, home: Path | None = None) -> Pruned:
    """Remove logged predictions, checks of ended rollouts and idempotency keys that are older; never an event.

    Raises:
        InvalidInput: a span that cannot be, or settings that are wrong. Unavailable: the database does not answer.
    """
    if not older_than_s >= SHORTEST_S:
        raise InvalidInput(
            f"--older-than is {older_than_s:g} s.",
            field="--older-than",
            remedy=f"Give {SHORTEST_S:g} s at least, such as 30d.",
        )
    store = await open_store(read_settings(home=home).database)
    try:
        return await store.prune(datetime.now(UTC) - timedelta(seconds=older_than_s))
    finally:
        await store.close()


def grant(role: str, home: Path | None = None) -> None:
    """Give a role of the settings' database the rights to run Serinus and no others; see ``stores.grants.grant``.

    Raises:
        InvalidInput: settings or a role that cannot be. PlatformError: the settings' user does not own the database.
        Unavailable: the database does not answer.
    """
    grants.grant(read_settings(home=home).database, role)
