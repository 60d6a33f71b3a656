"""What a demo leaves behind: processes, files, and what it wrote."""

import io
from pathlib import Path

from rich.console import Console


def processes_of(folder: Path) -> list[str]:
    """Find the processes that were started on a folder."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [command for command in commands if str(folder) in command]


def assert_nothing_is_left(folder: Path) -> None:
    assert processes_of(folder) == []
    assert list(folder.glob("serinus-demo-*")) == []


def console() -> Console:
    return Console(file=io.StringIO(), width=100, markup=False, highlight=False)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()
