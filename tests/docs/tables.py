"""Writes the README's table of settings from the settings themselves: `python -m tests.docs.tables`."""

import re
from pathlib import Path

from pydantic import SecretStr

from serinus.settings import PREFIX, ServerSettings

README = Path(__file__).parents[2] / "README.md"
PLACE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    """Give the table in Markdown."""
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    for name, field in ServerSettings.model_fields.items():
        lines.append(f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, SecretStr) or default in ("", frozenset()):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    README.write_text(PLACE.sub(lambda _: settings_table(), README.read_text()))
