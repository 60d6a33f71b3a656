"""Which database URLs Serinus takes, and how a database is named in a message: without its password."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from serinus.core.errors import InvalidInput

_KINDS = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgres": "postgresql",
}
_FIELD = "SERINUS_DATABASE_URL"
_REMEDY = "Write postgresql://user:password@host:port/name."


def parsed(url: str) -> URL:
    """Read a URL whose driver is ``sqlite`` or ``postgresql``; InvalidInput if it is of another kind."""
    remedy = (
        "Write sqlite:///relative/path.db, sqlite:////absolute/path.db or postgresql://user:password@host:port/name."
    )
    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained and not shown: whoever reads the URL wrongly does not know where its password is.
        raise InvalidInput("The address of the database is no URL.", field=_FIELD, remedy=remedy) from None
    if given.drivername not in _KINDS:
        raise InvalidInput(
            f"{named(given)!r} is not the URL of a database that Serinus can use.", field=_FIELD, remedy=remedy
        )
    return given.set(drivername=_KINDS[given.drivername])


def postgresql_url(url: str) -> URL:
    """Read the URL of a PostgreSQL database for psycopg; InvalidInput where it is another or psycopg is missing."""
    given = parsed(url)
    if given.drivername != "postgresql":
        raise InvalidInput(f"{named(given)} is no PostgreSQL database.", field=_FIELD, remedy=_REMEDY)
    if not given.database:
        raise InvalidInput(f"{named(given)!r} does not name a database.", field=_FIELD, remedy=_REMEDY)
    if "password" in given.query:
        raise InvalidInput(
            f"The URL of the database {named(given)} has its password among the options.",
            field=_FIELD,
            remedy=_REMEDY,
        )
    try:
        import psycopg  # noqa: F401 - SQLAlchemy would name the module that is missing, and not the remedy
    except ImportError as missing:
        raise InvalidInput(
            f"The database {named(given)} needs psycopg, which is not installed.",
            field=_FIELD,
            remedy="pip install 'serinus[postgres]'",
        ) from missing
    return given.set(drivername="postgresql+psycopg")


def named(url: URL) -> str:
    """Name a database without password and options."""
    kind = url.drivername.partition("+")[0]
    return URL.create(kind, url.username, None, url.host, url.port, url.database).render_as_string()
