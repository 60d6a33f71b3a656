"""The addresses among the settings: whether one can be, and how it is shown without its secrets. Nothing is asked."""

import re
from urllib.parse import urlsplit

from serinus.core.endpoint import checked_place, parsed_tokens

MASK = "********"
"""Stands for a secret that is there, whatever its length."""

DATABASES = frozenset({"sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+psycopg", "postgres"})
BOARDS = frozenset({"redis", "rediss", "unix"})
LAST_PORT = 65_535

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_SECRET_IN_QUERY = re.compile(r"[?&][^=&]*pass(?!file)[^=&]*=", re.IGNORECASE)
_PREFIX = re.compile(r"[!-~]{1,64}\Z")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]\Z")
# As SQLAlchemy takes them apart: user and password, server and name, options.
_POSTGRESQL_PARTS = re.compile(r"[^:]*://(?:([^:/]*(?::[^@]*)?)@)?([^?]*)(.*)", re.DOTALL)
_REDIS_PARTS = re.compile(r"[^:]*://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"\A(\[[^]]*\]|[^:]*):?")
_NO_PORT = re.compile(r"\A([^:/\[]*:)(?![0-9]*(/|\Z)).*", re.DOTALL)
_POSTGRESQL = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
_REDIS = "redis://USER:PASSWORD@HOST:PORT/NUMBER"
_NOT_AS_IT_IS = "its user or password holds a character that cannot stand there as it is"
_AS_PERCENT = "Write @ as %40, / as %2F, ? as %3F and # as %23 in user and password."
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
    else:
        _check_postgresql(url)
    return url


def _check_postgresql(url: str) -> None:
    if _SECRET_IN_QUERY.search(url):
        raise Wrong(
            "a password has no place after the question mark, where messages would show it",
            f"Write {_POSTGRESQL}, or name a file with the whole URL in SERINUS_DATABASE_URL_FILE.",
        )
    user, address, options = _parts(_POSTGRESQL_PARTS, url)
    server, _, name = address.partition("/")
    if "@" in address or ("@" in options and not name):
        raise Wrong(_NOT_AS_IT_IS, _AS_PERCENT)
    _check_port(server, known=bool(user), remedy=f"Write {_POSTGRESQL}; without :PORT it is 5432.")
    if not name:
        raise Wrong("it names no database", f"Write the name of the database after the server: {_POSTGRESQL}.")


def checked_redis(url: str) -> str:
    """Give the URL of a Redis back; Wrong if it is none."""
    scheme = scheme_of(url)
    if scheme in BOARDS:
        if scheme != "unix":
            _check_redis(url)
        return url
    if scheme in {"valkey", "valkeys"}:
        raise Wrong(
            f"{scheme}:// is no scheme that Serinus knows, although it can use Valkey",
            f"Write {'rediss' if scheme == 'valkeys' else 'redis'}://, for it speaks the same protocol.",
        )
    raise Wrong(
        f"Serinus cannot use {scheme}:// as its board" if scheme else "it is no URL",
        f"Write {_REDIS}, rediss:// for TLS, or unix://PATH?db=NUMBER; leave it unset for a server of one process.",
    )


def _check_redis(url: str) -> None:
    authority, path, rest = _parts(_REDIS_PARTS, url)
    _, at, server = authority.rpartition("@")
    if "@" in path or ("@" in rest and (rest.startswith("#") or not _is_number(_port(server)))):
        raise Wrong(_NOT_AS_IT_IS, _AS_PERCENT)
    _check_port(server, known=bool(at), remedy=f"Write {_REDIS}; without :PORT it is 6379.")
    number = path.strip("/")
    if not _is_number(number):
        raise Wrong(
            f"the database {number!r} is no number", "Write a number after the server, such as /0, or leave it out."
        )


def checked_prefix(prefix: str) -> str:
    """Give back what the names of keys are to begin with; Wrong if it cannot be."""
    if not _PREFIX.match(prefix):
        raise Wrong("1 to 64 letters, digits and signs of ASCII are wanted, without a space")
    return prefix


def _check_port(server: str, remedy: str, *, known: bool) -> None:
    """See that a port is one; show it only if it is ``known`` to be no password with its server forgotten."""
    port = _port(server)
    if not _is_number(port):
        raise Wrong(f"the port {port!r} is no number" if known else "its port is no number", remedy)
    if port and not 0 < int(port) <= LAST_PORT:
        raise Wrong(f"there is no port {port}", remedy)


def _port(server: str) -> str:
    return _HOST.sub("", server)


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal())


def _parts(pattern: re.Pattern[str], url: str) -> tuple[str, ...]:
    match = pattern.match(url)
    return match.groups("") if match else ()


def checked_artifacts(place: str) -> str:
    """Give the place of model files back; Wrong if it is neither a folder nor S3."""
    remedy = "Give a folder, as a path or a file:///absolute/path URL, or s3://BUCKET/PREFIX; keys have own settings."
    scheme = place[: len(scheme_of(place))]  # as it is written
    if scheme == "s3":
        bucket = place.partition("://")[2].partition("/")[0]
        if not bucket or "@" in place or "?" in place:
            raise Wrong("it names no bucket", remedy)
        if not _BUCKET.match(bucket):
            raise Wrong(
                f"{bucket!r} can be no bucket: their names have 3 to 63 letters, digits, dots and hyphens", remedy
            )
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


def checked_engine(place: str) -> str:
    """Give back a place where engines may compute remote versions; Wrong if it is none."""
    try:
        return checked_place(place)
    except ValueError as wrong:
        raise Wrong(
            str(wrong), "Write them as triton, triton:8000 or http://triton:8000, with commas in between."
        ) from None


def check_engine_tokens(text: str) -> None:
    """Wrong if one of them is not a place and the token that engines there are shown."""
    try:
        parsed_tokens(text)
    except ValueError as wrong:
        raise Wrong(
            str(wrong), "Write triton:8000=TOKEN or https://ml.example.org=TOKEN, with commas in between."
        ) from None


def checked_feature_server(url: str) -> str:
    """Give the address of a feature server back, without a slash at its end; Wrong if it is none."""
    try:
        known = checked_place(url)
    except ValueError:
        known = ""
    if scheme_of(known) not in {"http", "https"}:
        raise Wrong("it is no address of a feature server", "Write http://HOST:PORT, where `feast serve` listens.")
    return known.rstrip("/")


def checked_lineage_server(url: str) -> str:
    """Give the address of a server that takes OpenLineage back, without a slash at its end; Wrong if it is none."""
    remedy = "Write http://HOST:PORT or https://HOST, without the path /api/v1/lineage, which is the same for all."
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or "@" in url or "?" in url or "#" in url:
        raise Wrong("it is no address of a server that takes OpenLineage", remedy)
    return url.rstrip("/")


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
    if not at:
        address = _NO_PORT.sub(rf"\1{MASK}", address)  # a password whose server was forgotten
    return f"{scheme}://{before}{at}{address}{question}{'&'.join(_option(each) for each in options.split('&'))}"


def _option(text: str) -> str:
    name, equals, _ = text.partition("=")
    return text if name in _HARMLESS or not text else f"{name if equals else ''}{equals}{MASK}"
