"""The rights of a role that runs Serinus on PostgreSQL and owns nothing there: what it must not do, it cannot."""

from sqlalchemy import Connection, text

from serinus.core.errors import InvalidInput
from serinus.stores.connections import owners_engine
from serinus.stores.database import explaining
from serinus.stores.postgresql import refusal, upgrade_as_owner
from serinus.stores.urls import named, postgresql_url

TABLES = {
    "alembic_version": "SELECT",
    "schema_compatibility": "SELECT",
    "models": "SELECT, INSERT, UPDATE (versions, updated_at)",
    "model_versions": "SELECT, INSERT",
    "deployments": "SELECT, INSERT, UPDATE",
    "rollouts": "SELECT, INSERT, UPDATE (weight, phase, split_version, ended_at, reason)",
    "events": "SELECT, INSERT",
    "outbox": "SELECT, INSERT, UPDATE (delivered_at), DELETE",
    "notification_targets": "SELECT, INSERT, UPDATE (seen_at), DELETE",
    "notifications": "SELECT, INSERT, UPDATE (tries, refusals, not_before), DELETE",
    "store_identity": "SELECT, INSERT",
    "health_snapshots": "SELECT, INSERT, DELETE",
    "boot_evidence": "SELECT, INSERT, UPDATE (gateway, evidence, updated_at)",
    "sequential_tests": "SELECT, INSERT, UPDATE (policy, state, seen, begun, split_version, at), DELETE",
    "predictions": "SELECT, INSERT, DELETE",
    "journal_positions": "SELECT, INSERT, UPDATE (segment, place, updated_at), DELETE",
    "leases": "SELECT, INSERT, UPDATE (holder, term, expires_at)",
    "outcomes": "SELECT, INSERT, UPDATE (result), DELETE",
}
_SEQUENCES = "events_id_seq, health_snapshots_id_seq"
_FUNCTIONS = "make_predictions_day(date), drop_predictions_day(timestamptz)"

_STANDING = text(
    "SELECT rolsuper AS superuser, pg_has_role(oid, tableowner, 'MEMBER') AS owner, "
    "has_schema_privilege(oid, schemaname, 'CREATE') AS creator, schemaname AS schema "
    "FROM pg_roles, pg_tables "
    "WHERE rolname = :role AND tablename = 'events' AND schemaname = current_schema()"
)


def grant(url: str, role: str) -> None:
    """Upgrade the database, and give a role the rights to run Serinus on it, and no others on its tables.

    It may read and append to the events and the model versions, never change or remove one; it may make nothing of
    its own. To be called again after each upgrade.

    Args:
        url: the database's, with the user who owns it.
        role: one that is there and can log in; neither the owner nor a superuser, whom no right holds back.

    Raises:
        InvalidInput: the URL or the role is not of this kind.
        PlatformError: the user of the URL does not own the database's tables.
        Unavailable: the database does not answer.
    """
    parsed = postgresql_url(url)
    with explaining(lambda error: refusal(parsed, error)):
        upgrade_as_owner(parsed)
        with owners_engine(parsed).begin() as connection:
            _grant(connection, role)


def _grant(connection: Connection, role: str) -> None:
    database = named(connection.engine.url)
    standing = connection.execute(_STANDING, {"role": role}).one_or_none()
    if standing is None:
        raise InvalidInput(
            f"The server of {database} has no role {role!r}.",
            field="role",
            remedy="Make one: CREATE ROLE … LOGIN PASSWORD '…'.",
        )
    if standing.superuser or standing.owner:
        raise InvalidInput(
            f"The role {role!r} is a superuser or the owner of {database}: it cannot be kept from changing events.",
            field="role",
            remedy="Name another role, which owns nothing: CREATE ROLE … LOGIN PASSWORD '…'.",
        )
    if standing.creator:
        raise InvalidInput(
            f"The role {role!r} may make tables and functions in the schema {standing.schema!r} of {database}.",
            field="role",
            remedy=f"Take that right away: REVOKE CREATE ON SCHEMA {standing.schema} FROM PUBLIC, and from the role.",
        )
    quoted = connection.dialect.identifier_preparer.quote_identifier
    whose = {"role": quoted(role), "schema": quoted(standing.schema)}
    for statement in _statements():
        connection.exec_driver_sql(statement.format(**whose))


def _statements() -> list[str]:
    every_table = ", ".join(TABLES)
    return [
        f"REVOKE ALL ON {every_table} FROM {{role}}",
        f"REVOKE ALL ON SEQUENCE {_SEQUENCES} FROM {{role}}",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        *(f"GRANT {rights} ON {table} TO {{role}}" for table, rights in TABLES.items()),
        f"GRANT USAGE ON SEQUENCE {_SEQUENCES} TO {{role}}",
        f"GRANT EXECUTE ON FUNCTION {_FUNCTIONS} TO {{role}}",
    ]
