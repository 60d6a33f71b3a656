"""The addresses among the settings: whether one can be, and how it is shown without its secrets. Nothing is asked."""

import re
from urllib.parse import urlsplit

MASK = "********"
"""Stands for a secret that is there, whatever its length."""

DATABASES = frozenset({"sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+psycopg", "postgres"})
BOARDS = frozenset({"redis", "rediss", "unix"})

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_SECRET_IN_QUERY = re.compile(r"[?&][^=&]*pass(?!file)[^=&]*=", re.IGNORECASE)
_BUCKET = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/|\Z)")
_HARMLESS = frozenset(
    {"db", "protocol", "ssl_cert_reqs", "sslmode", "sslrootcert", "host", "port", "connect_timeout", "application_name"}
    | {"target_session_attrs"}
)
"""Options of a URL whose values hold no secret."""


class Wrong(ValueError):
    """A value that cannot be: why, and what to do. The value itself is not part of it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


def checked_database(url: str) -> str:
    """Give the URL of a database back; Wrong if Serinus has no adapter for it."""
    scheme = scheme_of(url)
    if scheme not in DATABASES:
        raise Wrong(
            f"Serinus cannot use a {scheme}:// database" if scheme else "it is no URL",
            "Write sqlite:////absolute/path.db or postgresql://USER:PASSWORD@HOST:PORT/NAME, or leave it unset for "
            "SQLite in the home.",
        )
    if scheme.startswith("sqlite"):
        if not re.match(r"[^:]+:///[^?]+\Z", url) or url.endswith(":memory:"):
            raise Wrong(
                "it names no database file",
                "Write sqlite:////absolute/path.db, or sqlite:///relative/path.db from the working directory, without "
                "options.",
            )
    elif _SECRET_IN_QUERY.search(url):
        raise Wrong(
            "a password has no place after the question mark, where messages would show it",
            "Write postgresql://USER:PASSWORD@HOST:PORT/NAME, or name a file with the whole URL in "
            "SERINUS_DATABASE_URL_FILE.",
        )
    return url


def checked_redis(url: str) -> str:
    """Give the URL of a Redis back; Wrong if it is none."""
    scheme = scheme_of(url)
    if scheme in BOARDS:
        return url
    if scheme in {"valkey", "valkeys"}:
        raise Wrong(
            f"{scheme}:// is no scheme that Serinus knows, although it can use Valkey",
            f"Write {'rediss' if scheme == 'valkeys' else 'redis'}://, for it speaks the same protocol.",
        )
    raise Wrong(
        f"Serinus cannot use {scheme}:// as its board" if scheme else "it is no URL",
        "Write redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, or unix://PATH?db=NUMBER; leave it unset for "
        "a server of one process.",
    )


def checked_artifacts(place: str) -> str:
    """Give the place of model files back; Wrong if it is neither a folder nor S3."""
    remedy = "Give a folder, as a path or a file:///absolute/path URL, or s3://BUCKET/PREFIX; keys have own settings."
    scheme = scheme_of(place)
    if scheme == "s3":
        if not _BUCKET.match(place) or "@" in place or "?" in place:
            raise Wrong("it names no bucket", remedy)
    elif scheme == "file":
        if not place.startswith("file:///"):
            raise Wrong("it names no folder of this machine", remedy)
    elif "://" in place:
        raise Wrong(f"Serinus keeps no model files at {scheme or '?'}://", remedy)
    return place


def checked_endpoint(url: str) -> str:
    """Give the address of an S3 server back; Wrong if it is none."""
    remedy = "Write http://HOST:PORT or https://HOST, without keys and bucket, or leave it unset for Amazon S3."
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or "@" in url or "?" in url:
        raise Wrong("it is no address of an S3 server", remedy)
    return url


def scheme_of(url: str) -> str:
    """Give what stands before ``://`` in small letters, "" if nothing does that can be a scheme."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and _SCHEME.match(scheme) else ""


def masked(url: str) -> str:
    """Show a URL without the secrets that are, or by mistake may be, in it.

    Whatever stands before the last ``@`` counts as user and password, since a password may hold any character.
    """
    scheme = scheme_of(url)
    if not scheme:
        return MASK if url else ""
    if scheme.startswith(("sqlite", "file")):
        return url
    rest = url[len(scheme) + len("://") :]
    before, at, place = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    if colon:
        before = f"{user}:{MASK}"
    elif at and scheme in BOARDS:
        before = MASK  # a password without the colon that should stand before it
    address, question, options = place.partition("?")
    return f"{scheme}://{before}{at}{address}{question}{'&'.join(_option(each) for each in options.split('&'))}"


def _option(text: str) -> str:
    name, equals, _ = text.partition("=")
    return text if name in _HARMLESS or not text else f"{name if equals else ''}{equals}{MASK}"
