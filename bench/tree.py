"""What the processes of a server use: its own, and all that came of it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Use:
    """What one process uses: memory in MiB, of shared pages its share (PSS), open descriptors, threads."""

    name: str
    pss_mib: float
    descriptors: int
    threads: int


def tree(root: int) -> list[int]:
    """Give a process and all that came of it."""
    parents = dict(_parents())
    found = {root} & parents.keys()
    more = found
    while more:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
    return sorted(found)


def uses(root: int) -> dict[int, Use]:
    """Say what each process of a tree uses; those that end meanwhile are left out."""
    found = {}
    for pid in tree(root):
        with suppress(OSError):
            place = Path(f"/proc/{pid}")
            command = (place / "cmdline").read_bytes()
            name = "gateway" if pid == root else "nursery or runner" if b"nursery" in command else "other"
            descriptors = len(os.listdir(place / "fd"))  # noqa: PTH208 - it is counted, not walked
            found[pid] = Use(name, _pss_mib(place), descriptors, len(os.listdir(place / "task")))  # noqa: PTH208
    return found


def pss_mib(root: int) -> float:
    """Give the memory of a tree."""
    return sum(use.pss_mib for use in uses(root).values())


def _pss_mib(place: Path) -> float:
    lines = (place / "smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
