"""The first schema."""

import sqlalchemy as sa
from alembic import op

from serinus.core.errors import PlatformError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")

_FROZEN = {
    "events": "events are append-only: an entry is never changed or removed",
    "model_versions": "model versions are immutable: register a new version instead",
}
_KEYS = {"events": "id = NEW.id", "model_versions": "model = NEW.model AND number = NEW.number"}


def upgrade() -> None:
    """Create every table, and the triggers that keep events and model versions as they were written."""
    _models()
    _deployments()
    _events()
    _health_snapshots()
    _predictions()
    for table, message in _FROZEN.items():
        if op.get_context().dialect.name == "sqlite":
            _freeze_on_sqlite(table, message)
        else:
            _freeze_on_postgresql(table, message)


def downgrade() -> None:
    """Refuse: this would remove what is meant to be kept for good."""
    raise PlatformError(
        "The first schema cannot be taken back: that would remove every version, event and prediction.",
        remedy="To start afresh, point SERINUS_DATABASE_URL at a new database.",
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("versions", sa.Integer, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("draft", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_model_versions"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_model_versions_model_models"),
    )


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("baseline", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_deployments"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("canary", sa.Text, nullable=False),
        sa.Column("baseline", sa.Text, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("split_version", sa.Integer, nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["deployment"], ["deployments.name"], name="fk_rollouts_deployment_deployments"),
        sa.UniqueConstraint("deployment", "number", name="uq_rollouts_deployment_number"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_deployment_id", "events", ["deployment", "id"])
    op.create_table(
        "outbox",
        sa.Column("event", _ID, autoincrement=False, nullable=False),
        sa.Column("delivered_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("event", name="pk_outbox"),
        sa.ForeignKeyConstraint(["event"], ["events.id"], name="fk_outbox_event_events"),
    )
    undelivered = sa.text("delivered_at IS NULL")
    op.create_index(
        "ix_outbox_undelivered",
        "outbox",
        ["event"],
        sqlite_where=undelivered,
        postgresql_where=undelivered,
    )


def _health_snapshots() -> None:
    op.create_table(
        "health_snapshots",
        sa.Column("id", _ID, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("verdict", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_health_snapshots"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_health_snapshots_rollout_at", "health_snapshots", ["rollout", "at"])
    op.create_index("ix_health_snapshots_deployment_at", "health_snapshots", ["deployment", "at"])


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("split_version", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("answered_by", sa.Text, nullable=False),
        sa.Column("inputs_hmac", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("prediction", sa.Text, nullable=False),
        sa.Column("prediction_class", sa.Text, nullable=True),
        sa.Column("confidence", sa.Double, nullable=True),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("error_kind", sa.Text, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("entity_hmac", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
    )
    op.create_index("ix_predictions_deployment_at", "predictions", ["deployment", "at"])


def _freeze_on_sqlite(table: str, message: str) -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    # INSERT OR REPLACE removes the old row without firing a DELETE trigger (unless recursive_triggers is on).
    taken = f"EXISTS (SELECT 1 FROM {table} WHERE {_KEYS[table]})"  # noqa: S608 - names of our own, above
    op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {taken} {refuse}")


def _freeze_on_postgresql(table: str, message: str) -> None:
    function = f"{table}_refuse_change"
    op.execute(
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    for name, operations, each in (
        ("no_change", "UPDATE OR DELETE", "ROW"),
        ("no_truncate", "TRUNCATE", "STATEMENT"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_{name} BEFORE {operations} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {function}()"
        )
