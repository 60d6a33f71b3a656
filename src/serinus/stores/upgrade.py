"""Brings a database to the schema that this version of Serinus knows, or lives with a newer one that says it may."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, select

from serinus.core.errors import PlatformError
from serinus.stores.tables import schema_compatibility

_MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic keeps the migration under way in a global of its module.
_ONE_AT_A_TIME = Lock()


def upgrade(engine: Engine, take_turn: Callable[[Connection], None] = lambda _: None) -> None:
    """Run the revisions that are missing, all in one transaction.

    Of two processes that open a new database the second must find it made: either the engine's transactions exclude
    each other from their start on, or ``take_turn``, called first, waits until this one is alone.

    Raises:
        PlatformError: a newer Serinus has upgraded the database, and this one cannot work with what came of it.
    """
    with _ONE_AT_A_TIME, engine.begin() as connection:
        take_turn(connection)
        if needs_upgrade(connection):
            command.upgrade(alembic_config(connection), "head")


def needs_upgrade(connection: Connection) -> bool:
    """Say whether revisions are missing; changes nothing.

    Raises:
        PlatformError: as ``upgrade``.
    """
    # First what takes long, as long as no transaction has begun.
    script = ScriptDirectory.from_config(alembic_config(connection))
    known, head = {revision.revision for revision in script.walk_revisions()}, script.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current in known:
        return current != head
    oldest = _oldest_that_works(connection)
    if oldest not in known:
        raise PlatformError(
            f"The database has schema revision {current!r}, and this version of Serinus knows revisions up to "
            f"{head!r}: a newer Serinus has upgraded it, to what works from {oldest!r} on.",
            remedy="Run that newer version, or restore the database from a backup made before its upgrade.",
            revision=current,
        )
    return False


def alembic_config(connection: Connection) -> Config:
    """Give what Alembic wants to know in place of an ``alembic.ini``."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _oldest_that_works(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema_compatibility.name):
        return None
    return connection.scalar(select(schema_compatibility.c.oldest))
