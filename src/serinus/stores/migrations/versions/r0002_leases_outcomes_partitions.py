"""Leases, outcomes, the evidence of each gateway process; on PostgreSQL, predictions in partitions by day."""

import sqlalchemy as sa
from alembic import op

from serinus.core.errors import PlatformError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Add the new tables, carry the evidence over, and part the prediction log."""
    _compatibility()
    _leases_and_outcomes()
    _boot_evidence()
    if op.get_context().dialect.name == "postgresql":
        _part_predictions()


def downgrade() -> None:
    """Refuse: what is in the new tables has no place in the old ones."""
    raise PlatformError(
        "Revision 0002 cannot be taken back: leases, outcomes and kept evidence would be lost.",
        remedy="Restore the database from a backup made before its upgrade.",
    )


def _compatibility() -> None:
    op.create_table(
        "schema_compatibility",
        sa.Column("oldest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("oldest", name="pk_schema_compatibility"),
    )
    op.execute("INSERT INTO schema_compatibility VALUES ('0002')")


def _leases_and_outcomes() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "outcomes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_outcomes"),
    )


def _boot_evidence() -> None:
    op.create_table(
        "boot_evidence",
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("rollout", "boot", name="pk_boot_evidence"),
    )
    # Until now the newest health check of a rollout carried the evidence of all processes, ended ones too.
    op.execute(
        "INSERT INTO boot_evidence (rollout, boot, gateway, evidence, updated_at) "
        "SELECT rollout, 'before 0002', '', evidence, at FROM ("
        "SELECT rollout, evidence, at, row_number() OVER (PARTITION BY rollout ORDER BY at DESC, id DESC) AS place "
        "FROM health_snapshots) AS ranked WHERE place = 1"
    )


_MAKE_DAY = """
CREATE FUNCTION make_predictions_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    part text := 'predictions_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF day NOT BETWEEN '0001-01-01' AND '9999-12-31' THEN
        RAISE EXCEPTION 'no prediction is of %', day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('serinus predictions', 0));
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made first and attached then: that stops neither those who read the log nor those who write to it.
    EXECUTE format('CREATE TABLE %I (LIKE predictions INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE predictions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   part, day::timestamptz, (day + 1)::timestamptz);
END $$
"""

_DROP_DAY = """
CREATE FUNCTION drop_predictions_day(before timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    part regclass;
    removed bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('serinus predictions', 0));
    -- Names of days are as long as each other, so their order is that of time.
    SELECT inhrelid::regclass INTO part FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'predictions'::regclass AND relname ~ '^predictions_[0-9]{{8}}$'
      AND relname::text < 'predictions_' || to_char(before, 'YYYYMMDD') COLLATE "C"
    ORDER BY relname LIMIT 1;
    IF part IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s', part) INTO removed;
    EXECUTE format('DROP TABLE %s', part);
    RETURN removed;
END $$
"""


def _part_predictions() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.rename_table("predictions", "predictions_before_0002")
    op.execute("ALTER INDEX pk_predictions RENAME TO pk_predictions_before_0002")
    op.execute("ALTER INDEX ix_predictions_deployment_at RENAME TO ix_predictions_deployment_at_before_0002")
    op.execute(
        "CREATE TABLE predictions (LIKE predictions_before_0002, CONSTRAINT pk_predictions PRIMARY KEY (at, id)) "
        "PARTITION BY RANGE (at)"
    )
    op.create_index("ix_predictions_deployment_at", "predictions", ["deployment", "at"])
    for function in (_MAKE_DAY, _DROP_DAY):
        op.execute(function.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION make_predictions_day(date), drop_predictions_day(timestamptz) FROM PUBLIC")
    op.execute(
        "SELECT make_predictions_day(day) FROM "
        "(SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM predictions_before_0002) AS days"
    )
    op.execute("INSERT INTO predictions SELECT * FROM predictions_before_0002")
    op.drop_table("predictions_before_0002")
