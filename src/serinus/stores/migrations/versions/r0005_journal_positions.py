"""How far the journals of gateways have come into the prediction log."""

import sqlalchemy as sa
from alembic import op

from serinus.core.errors import PlatformError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Add what the code of before knows nothing of, and need not: it wrote from memory."""
    op.create_table(
        "journal_positions",
        sa.Column("journal", sa.Text, nullable=False),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("journal", name="pk_journal_positions"),
    )


def downgrade() -> None:
    """Refuse: predictions that wait in journals would get in twice."""
    raise PlatformError(
        "Revision 0005 cannot be taken back: how far journals have come into the log would be lost.",
        remedy="Restore the database from a backup made before its upgrade.",
    )
