"""The settings of what is set back in MLflow: the server's address and the names of the aliases."""

import re
from urllib.parse import urlsplit

from serinus.settings.addresses import Wrong

_ALIAS = re.compile(r"[A-Za-z0-9_-]*(\{deployment\})?[A-Za-z0-9_-]*\Z")
_RESERVED = re.compile(r"latest\Z|[vV]\d+\Z|\Z")


def checked_tracking_server(url: str) -> str:
    """Give the address of a tracking server back, without a slash at its end; Wrong if it is none."""
    remedy = (
        "Write http://HOST:PORT or https://HOST; user and password go into MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, a token into MLFLOW_TRACKING_TOKEN."
    )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or "@" in url or "?" in url or "#" in url:
        raise Wrong("it is no address of an MLflow tracking server", remedy)
    return url.rstrip("/")


def checked_alias(name: str) -> str:
    """Give the name of an alias back; Wrong where MLflow takes none of that name."""
    if not _ALIAS.match(name) or _RESERVED.match(name):
        raise Wrong(
            "no alias in MLflow can have that name",
            "Use letters, digits, _ and -, and {deployment} for the deployment's name; not latest, and not v1.",
        )
    return name
