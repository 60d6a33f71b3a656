"""Settings that hold a secret can stand in a file that a variable names, as container platforms mount them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from serinus.settings.addresses import Wrong

PREFIX = "SERINUS_"
SUFFIX = "_FILE"
SECRET_BEARING = (
    "database_url",
    "redis_url",
    "s3_secret_access_key",
    "hash_key",
    "remote_tokens",
    "webhook_urls",
    "webhook_secret",
    "notify_urls",
)
"""The fields that may come from a file: SERINUS_<NAME>_FILE names it."""

_LONGEST = 65_536


class SecretFiles(PydanticBaseSettingsSource):
    """What stands in the files. What is wrong with one stands in place of its value, for validation to refuse."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = file_of(field_name, os.environ)
        return (_read(path, variable(field_name)) if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def variable(field: str) -> str:
    """Name the environment variable of a field."""
    return PREFIX + field.upper()


def file_of(field: str, environment: Mapping[str, str]) -> str:
    """Give the path that the environment names for a field, "" if none."""
    return environment.get(variable(field) + SUFFIX, "") if field in SECRET_BEARING else ""


def _read(path: str, name: str) -> str | Wrong:
    """Read a secret, without the line's end that editors leave behind it; or say why it cannot be taken."""
    if os.environ.get(name):
        return Wrong(f"it is set, and so is {name}{SUFFIX}", "Unset one of the two.")
    source = f"the file {path!r}, which {name}{SUFFIX} names,"
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LONGEST + 1).decode().strip()
    except OSError as trouble:
        return Wrong(
            f"{source} cannot be read: {trouble.strerror or type(trouble).__name__}",
            "See that it is there and that this user may read it, or correct the path.",
        )
    except UnicodeDecodeError:
        return Wrong(f"{source} is no text", "Write it as text, in UTF-8.")
    if not text or len(text) > _LONGEST:
        what = "is empty" if not text else f"is longer than {_LONGEST} characters"
        return Wrong(f"{source} {what}", "Write the value into it, and nothing else.")
    return text
