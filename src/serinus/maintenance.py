"""What an operator does to a server's database now and then, beside the servers that run on it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serinus.core.errors import InvalidInput, NotFound
from serinus.core.records import Pruned
from serinus.settings import read_settings
from serinus.stores import grants
from serinus.stores.sql import open_store
from serinus.stores.sqlite import file_of
from serinus.stores.urls import named, parsed

SHORTEST_S = 60.0
"""Nothing younger is removed: it may still be on its way."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was removed, and from which database: a file's path, or a URL without its password."""

    database: str
    removed: Pruned


async def prune(older_than_s: float, home: Path | None = None) -> Pruning:
    """Remove logged predictions, checks of ended rollouts and idempotency keys that are older; never an event.

    Raises:
        InvalidInput: a span that cannot be, or settings that are wrong. NotFound: no server has made the database yet.
        Unavailable: the database does not answer.
    """
    if not older_than_s >= SHORTEST_S:
        raise InvalidInput(
            f"--older-than is {older_than_s:g} s.",
            field="--older-than",
            remedy=f"Give {SHORTEST_S:g} s at least, such as 30d.",
        )
    url = read_settings(home=home).database
    database = _existing(url)
    store = await open_store(url)
    try:
        return Pruning(database, await store.prune(datetime.now(UTC) - timedelta(seconds=older_than_s)))
    finally:
        await store.close()


def _existing(url: str) -> str:
    """Name a database; NotFound if it is a file that is not there, which opening it would make."""
    address = parsed(url)
    if address.drivername != "sqlite":
        return named(address)
    path = file_of(address)
    if not path.exists():
        raise NotFound(
            f"There is no database {path}.",
            field="SERINUS_DATABASE_URL",
            remedy="Set SERINUS_DATABASE_URL as the server has it, or name the server's folder with --home.",
        )
    return str(path)


def grant(role: str, home: Path | None = None) -> None:
    """Give a role of the settings' database the rights to run Serinus and no others; see ``stores.grants.grant``.

    Raises:
        InvalidInput: settings or a role that cannot be. PlatformError: the settings' user does not own the database.
        Unavailable: the database does not answer.
    """
    grants.grant(read_settings(home=home).database, role)
