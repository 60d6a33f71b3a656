"""Where a version came from that was imported from an MLflow registry, as its tags say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

MODEL, VERSION, RUN, LOGGED_MODEL, SERVER = (
    "mlflow.model",
    "mlflow.version",
    "mlflow.run_id",
    "mlflow.model_id",
    "mlflow.tracking_uri",
)
_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Origin:
    """A model in MLflow: ``server`` is its tracking server, without credentials.

    ``model`` and ``version`` name it in the registry, "" where it is not registered; ``model_id`` is that of the logged
    model, "" before MLflow 3.
    """

    server: str
    model: str = ""
    version: str = ""
    run_id: str = ""
    model_id: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Give what a version is tagged with."""
        every = {
            MODEL: self.model,
            VERSION: self.version,
            RUN: self.run_id,
            LOGGED_MODEL: self.model_id,
            SERVER: self.server,
        }
        return {name: value for name, value in every.items() if value}

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Self | None:
        """Read it from a version's tags; None where the version was not imported."""
        if SERVER not in tags:
            return None
        names = (MODEL, VERSION, RUN, LOGGED_MODEL)
        return cls(bare_address(tags[SERVER]), *(str(tags.get(name, "")) for name in names))

    def is_same_model(self, other: "Origin") -> bool:
        """Say whether both are the same: the same registered version, or, of what is not registered, the same model."""
        if self.server != other.server:
            return False
        if self.model or other.model:
            return (self.model, self.version) == (other.model, other.version)
        return (self.model_id or self.run_id) == (other.model_id or other.run_id)


def bare_address(uri: str) -> str:
    """Write a server's address as it is compared: without credentials, default port, query and last slash."""
    scheme, found, rest = uri.strip().partition("://")
    if not found:
        return uri.strip()
    scheme = scheme.lower()
    rest = rest.partition("?")[0].partition("#")[0]
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2].lower().removesuffix(_PORTS.get(scheme, "\0"))
    return f"{scheme}://{authority}{slash}{path}".rstrip("/")
