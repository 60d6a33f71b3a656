"""What sequential tests took in and how far they have come."""

import sqlalchemy as sa
from alembic import op

from serinus.core.errors import PlatformError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Add what the code of before knows nothing of, and need not."""
    op.add_column("health_snapshots", sa.Column("look", sa.Text))
    op.create_table(
        "sequential_tests",
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seen", sa.Text, nullable=False),
        sa.Column("begun", sa.Text, nullable=False),
        sa.Column("split_version", sa.Integer, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("rollout", name="pk_sequential_tests"),
    )


def downgrade() -> None:
    """Refuse: the evidence of the rollouts under way would be lost."""
    raise PlatformError(
        "Revision 0003 cannot be taken back: the tests of the canaries under way would be lost.",
        remedy="Restore the database from a backup made before its upgrade.",
    )
