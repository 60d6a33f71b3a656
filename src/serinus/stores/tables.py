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

from serinus.core.texts import escaped


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


class PlainText(TypeDecorator[str]):
    """Text that may be anybody's: what no database can hold goes in as ``escaped`` writes it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else escaped(value)


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
    Column("name", PlainText, primary_key=True),
    Column("versions", Integer, nullable=False),  # the number of the newest version
    Column("updated_at", UtcDateTime, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", PlainText, ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("draft", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("status", PlainText, nullable=False),
    Column("baseline", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),  # the whole truth; the columns before it are for guards and readers
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("deployment", PlainText, ForeignKey("deployments.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("canary", PlainText, nullable=False),
    Column("baseline", PlainText, nullable=False),
    Column("weight", Double, nullable=False),
    Column("phase", PlainText, nullable=False),
    Column("split_version", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("reason", PlainText, nullable=False),
    UniqueConstraint("deployment", "number"),
)

# The logs refer to deployments by name alone: whatever was seen is written down.
events = Table(
    "events",
    metadata,
    Column("id", _GROWING_ID, primary_key=True),
    Column("deployment", PlainText, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("rollout", PlainText, nullable=False),
    Column("data", PlainText, nullable=False),
    Index("ix_events_deployment_id", "deployment", "id"),
    sqlite_autoincrement=True,
)

# One row for each event, written with it; it goes when each target has a row of its own in ``notifications``.
outbox = Table(
    "outbox",
    metadata,
    Column("event", _GROWING_ID, ForeignKey("events.id"), primary_key=True, autoincrement=False),
    Column("delivered_at", UtcDateTime),  # never written; who may change it may lock rows, and change nothing else
)

# Who is told of the events that come after one; a server that has the target in its settings says so now and then.
notification_targets = Table(
    "notification_targets",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("begins_after", BigInteger, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

# What a target has yet to be told: a row goes when it has been.
notifications = Table(
    "notifications",
    metadata,
    Column("target", PlainText, primary_key=True),
    Column("event", _GROWING_ID, ForeignKey("events.id"), primary_key=True, autoincrement=False),
    Column("deployment", PlainText, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("not_before", UtcDateTime),
)

# One row: the name by which others know this store's events from those of another one.
store_identity = Table(
    "store_identity",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("id", PlainText, nullable=False),
)

health_snapshots = Table(
    "health_snapshots",
    metadata,
    Column("id", _GROWING_ID, primary_key=True),
    Column("deployment", PlainText, nullable=False),
    Column("rollout", PlainText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("verdict", PlainText),
    Column("reason", PlainText, nullable=False),
    Column("action", PlainText, nullable=False),
    Column("evidence", PlainText, nullable=False),
    Column("look", PlainText),
    Index("ix_health_snapshots_rollout_at", "rollout", "at"),
    Index("ix_health_snapshots_deployment_at", "deployment", "at"),
    sqlite_autoincrement=True,
)

# PostgreSQL has it in partitions, one for each day (UTC), and there its key is (at, id).
predictions = Table(
    "predictions",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("deployment", PlainText, nullable=False),
    Column("rollout", PlainText, nullable=False),
    Column("split_version", Integer, nullable=False),
    Column("role", PlainText, nullable=False),
    Column("version", PlainText, nullable=False),
    Column("answered_by", PlainText, nullable=False),
    Column("inputs_hmac", PlainText, nullable=False),
    Column("key_id", PlainText, nullable=False),
    Column("prediction", PlainText, nullable=False),
    Column("prediction_class", PlainText),
    Column("confidence", Double),
    Column("latency_ms", Double, nullable=False),
    Column("error_kind", PlainText, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("entity_hmac", PlainText, nullable=False),
    Index("ix_predictions_deployment_at", "deployment", "at"),
)

# How far a gateway's journal has come into the prediction log: all before is there, nothing after.
journal_positions = Table(
    "journal_positions",
    metadata,
    Column("journal", PlainText, primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# A process of a gateway, and what it had counted of a rollout when a health check last looked.
boot_evidence = Table(
    "boot_evidence",
    metadata,
    Column("rollout", PlainText, primary_key=True),
    Column("boot", PlainText, primary_key=True),
    Column("gateway", PlainText, nullable=False),
    Column("evidence", PlainText, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# How far the sequential test of a rollout has come.
sequential_tests = Table(
    "sequential_tests",
    metadata,
    Column("rollout", PlainText, primary_key=True),
    Column("policy", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("seen", PlainText, nullable=False),
    Column("begun", PlainText, nullable=False),
    Column("split_version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("holder", PlainText, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("fingerprint", PlainText, nullable=False),
    Column("result", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# One row: the oldest revision whose code can still work with this schema.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("oldest", PlainText, primary_key=True),
)
