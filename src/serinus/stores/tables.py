"""The schema, for SQLite and PostgreSQL alike; how it came to be is in ``migrations``, what the rows mean in ``codec``.

JSON is kept as text: nothing here searches in it, and text keeps every number as it was written (JSONB does not).
"""

from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with its time zone: goes in with any, comes back in UTC; microseconds are kept.

    SQLite, which has no such type, holds it as ISO 8601 text in UTC of fixed width, so that text order is time order.
    """

    impl = DateTime(timezone=True).with_variant(String(32), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"the time {value} has no time zone"
            raise ValueError(message)
        instant = value.astimezone(UTC)
        return instant.isoformat(timespec="microseconds") if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            # The codec, which can name the row, refuses what is no time.
            return value  # type: ignore[return-value]
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


_GROWING_ID = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("versions", Integer, nullable=False),  # the number of the newest version
    Column("updated_at", UtcDateTime, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", Text, ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("draft", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("state", Text, nullable=False),  # the whole truth; the columns before it are for guards and readers
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("deployment", Text, ForeignKey("deployments.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("canary", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Column("phase", Text, nullable=False),
    Column("split_version", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("reason", Text, nullable=False),
    UniqueConstraint("deployment", "number"),
)

# The logs refer to deployments by name alone: whatever was seen is written down.
events = Table(
    "events",
    metadata,
    Column("id", _GROWING_ID, primary_key=True),
    Column("deployment", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("data", Text, nullable=False),
    Index("ix_events_deployment_id", "deployment", "id"),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("event", _GROWING_ID, ForeignKey("events.id"), primary_key=True, autoincrement=False),
    Column("delivered_at", UtcDateTime),
)
Index(
    "ix_outbox_undelivered",
    outbox.c.event,
    sqlite_where=outbox.c.delivered_at.is_(None),
    postgresql_where=outbox.c.delivered_at.is_(None),
)

health_snapshots = Table(
    "health_snapshots",
    metadata,
    Column("id", _GROWING_ID, primary_key=True),
    Column("deployment", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("verdict", Text),
    Column("reason", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Index("ix_health_snapshots_rollout_at", "rollout", "at"),
    Index("ix_health_snapshots_deployment_at", "deployment", "at"),
    sqlite_autoincrement=True,
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("split_version", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("inputs_hmac", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("prediction", Text, nullable=False),
    Column("prediction_class", Text),
    Column("confidence", Double),
    Column("latency_ms", Double, nullable=False),
    Column("error_kind", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("entity_hmac", Text, nullable=False),
    Index("ix_predictions_deployment_at", "deployment", "at"),
)
