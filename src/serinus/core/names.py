"""The names that people give: of models, deployments and versions."""

import re
from dataclasses import dataclass

from serinus.core.errors import InvalidInput

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")


def checked_name(name: str, field: str) -> str:
    """Return ``name`` if it can stand in a URL path and a metric label, else raise InvalidInput."""
    if not _NAME.match(name):
        raise InvalidInput(
            f"{field} {name!r} is not a valid name.",
            field=field,
            remedy="Use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit.",
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class VersionRef:
    """One version of one model, written ``model@3``."""

    model: str
    version: int

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.model}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> "VersionRef":
        """Read ``model@3``; raise InvalidInput if it is something else."""
        model, sep, number = text.rpartition("@")
        if not sep or not _NUMBER.match(number):
            raise InvalidInput(f"{text!r} is not a model version.", field="version", remedy="Write it as NAME@NUMBER.")
        return cls(checked_name(model, "model"), int(number))
