"""One small server a module, each as its project's documentation has it for production, on one core.

Each runs in an environment of its own, `.peers/bench-NAME`, and is told the same: `PORT MODEL FOLDER`. The folder is
empty and for whatever the server wants to keep.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

BATCH_ROWS = 64
"""The largest batch, where a server batches: as many as there are connections at most."""
BATCH_WAIT_S = 0.002
"""How long a batch is waited for, where that is to be said."""


def exec_beside(command: list[str], **environment: str) -> NoReturn:
    """Become a program that was installed beside this Python, where it finds the others that were."""
    beside = Path(sys.executable).parent
    path = f"{beside}{os.pathsep}{os.environ['PATH']}"
    os.execve(beside / command[0], command, os.environ | {"PATH": path} | environment)  # noqa: S606 - no shell
