"""Brings a database to the schema that this version of Serinus knows."""

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from serinus.core.errors import PlatformError

_MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic keeps the migration under way in a global of its module.
_ONE_AT_A_TIME = Lock()


def upgrade(engine: Engine) -> None:
    """Run the revisions that are missing, all in one transaction.

    The engine's transactions must exclude each other from their start on, so that of two processes that open a new
    database the second finds it made.

    Raises:
        PlatformError: the database has a revision that this version of Serinus does not know.
    """
    with _ONE_AT_A_TIME, engine.begin() as connection:
        config = alembic_config(connection)
        _refuse_unknown(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, "head")


def alembic_config(connection: Connection) -> Config:
    """Give what Alembic wants to know in place of an ``alembic.ini``."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_unknown(connection: Connection, script: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise PlatformError(
            f"The database has schema revision {current!r}, and this version of Serinus knows revisions up to "
            f"{script.get_current_head()!r}: a newer Serinus has upgraded it.",
            remedy="Run that newer version, or restore the database from a backup made before its upgrade.",
            revision=current,
        )
