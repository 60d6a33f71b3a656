"""Writes what the README shows of the program, from the program.

`python -m tests.docs.tables` writes the table of settings; with `--demo` it also runs the demo and writes its output.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from serinus.settings import PREFIX, ServerSettings

README = Path(__file__).parents[2] / "README.md"
DEMO = re.compile(r"(?<=<!-- demo -->\n).*?(?=<!-- /demo -->)", re.DOTALL)
PROOF = re.compile(r"(?<=<!-- proof -->\n).*?(?=<!-- /proof -->)", re.DOTALL)
AIMS = README.parent / "docs" / "decisions" / "aims.md"
PLACE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    """Give the table in Markdown."""
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    for name, field in ServerSettings.model_fields.items():
        lines.append(f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def proof_table() -> str:
    """Give what the simulations found, against what was aimed at."""
    lines = [line for line in AIMS.read_text().splitlines() if line.startswith("|")]
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, SecretStr) or default in ("", frozenset()):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def demo_output() -> str:
    """Run the demo and give its output in a Markdown block."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "serinus", "demo"]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [line.rstrip() for line in ran.stdout.strip().splitlines()]
    return "\n".join(["```text", *lines, "```"]) + "\n"


if __name__ == "__main__":
    text = PLACE.sub(lambda _: settings_table(), README.read_text())
    text = PROOF.sub(lambda _: proof_table(), text)
    if "--demo" in sys.argv:
        output = demo_output()
        text = DEMO.sub(lambda _: output, text)
    README.write_text(text)
