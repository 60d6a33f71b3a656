"""Who is told of events, and what each of them has yet to be told."""

import sqlalchemy as sa
from alembic import op

from serinus.core.errors import PlatformError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Add what the code of before knows nothing of, and need not."""
    op.create_table(
        "store_identity",
        sa.Column("place", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_store_identity"),
    )
    op.create_table(
        "notification_targets",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("begins_after", sa.BigInteger, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notification_targets"),
    )
    op.create_table(
        "notifications",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("event", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("refusals", sa.Integer, nullable=False),
        sa.Column("not_before", _INSTANT),
        sa.PrimaryKeyConstraint("target", "event", name="pk_notifications"),
        sa.ForeignKeyConstraint(["event"], ["events.id"], name="fk_notifications_event_events"),
    )
    op.drop_index("ix_outbox_undelivered", table_name="outbox")  # rows go once they are delivered: the key does for it


def downgrade() -> None:
    """Refuse: nobody could tell any more who has been told of what."""
    raise PlatformError(
        "Revision 0004 cannot be taken back: what targets have yet to be told would be lost.",
        remedy="Restore the database from a backup made before its upgrade.",
    )
