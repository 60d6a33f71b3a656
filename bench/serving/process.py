"""A server in processes of its own, all on one core: its start, its memory, its time on the core, its end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

MARK = "BENCH_SERVING_MARK"
STOP_PATIENCE_S = 15.0
LOG_TAIL = 1500
_TASKSET = shutil.which("taskset") or "taskset"
_TICKS = os.sysconf("SC_CLK_TCK")


class NotStarted(RuntimeError):
    """A server ended or did not answer in time; the message holds the end of its log."""


@dataclass(frozen=True)
class Started:
    """A server that was started, and by what all its processes are found: the mark in their environment."""

    process: "subprocess.Popen[bytes]"
    began: float
    core: int
    mark: str
    log: Path

    @property
    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def pids(self) -> set[int]:
        """Find its processes, also those that have left its tree or have written over their environment."""
        parents = dict(_parents())
        root = self.process.pid if self.process.poll() is None else 0
        found = {pid for pid in parents if pid == root or _is_marked(pid, self.mark)}
        more = found
        while more:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found |= more
        return found

    def check_pinned(self) -> None:
        """Make sure that no process has left its core."""
        allowed = {pid: cores for pid in self.pids() if (cores := _cores(pid))}
        strayed = {pid: cores for pid, cores in allowed.items() if cores != {self.core}}
        assert not strayed, f"not on core {self.core} alone: {strayed}"

    def pss_mib(self) -> float:
        """Give the resident memory of all processes, of shared pages each its share."""
        return sum(map(_pss_kib, self.pids())) / 1024

    def cpu_s(self) -> float:
        """Give the time that its processes have had so far, seconds."""
        return sum(map(_cpu_ticks, self.pids())) / _TICKS


@contextmanager
def started(
    command: list[str], folder: Path, core: int, environment: Mapping[str, str], name: str = "server"
) -> Iterator[Started]:
    """Start a server on a core; all its processes end with the block."""
    mark, log = uuid4().hex, folder / f"{name}.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [_TASKSET, "--cpu-list", str(core), *command],
            env={**environment, MARK: mark},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Started(process, began, core, mark, log)
    try:
        yield server
    finally:
        _end(server)


def _end(server: Started) -> None:
    ours = {pid: _born(pid) for pid in server.pids()}
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(STOP_PATIENCE_S)
    ours |= {pid: _born(pid) for pid in server.pids()}
    for pid, born in ours.items():
        if born and _born(pid) == born:  # else its number may be another's by now
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    server.process.wait(STOP_PATIENCE_S)


def _parents() -> Iterator[tuple[int, int]]:
    """Give each process and its parent."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                yield int(folder.name), int(_stat(int(folder.name))[1])


def _stat(pid: int) -> list[str]:
    """Give what the kernel says of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _born(pid: int) -> str:
    with suppress(OSError):
        return _stat(pid)[19]
    return ""


def _is_marked(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def _cores(pid: int) -> set[int]:
    with suppress(OSError):
        return os.sched_getaffinity(pid)
    return set()


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        user, system = _stat(pid)[11:13]
        return int(user) + int(system)
    return 0
