"""Where a model comes from, as far as it can be found out here: the commit of the code that makes it."""

import subprocess
from pathlib import Path

_PATIENCE_S = 5.0


def head_commit(folder: Path | None = None) -> str:
    """Give the commit that is checked out, with ``-dirty`` if tracked files differ from it; "" outside a work tree.

    ``folder`` is the current one by default.
    """
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],  # noqa: S607  # the user's git
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
