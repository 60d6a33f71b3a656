"""Run by Alembic, with the connection that ``serinus.stores.upgrade`` hands it."""

from alembic import context

from serinus.stores.tables import metadata

# The caller's transaction is open: a revision, its triggers and its mark come all together or not at all.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
