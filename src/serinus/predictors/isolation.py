"""What a runner's process may not have: secrets, a network, more than its due of memory and time."""

import ctypes
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE")
"""All that a model's process is told of its surroundings: no address of a database, no key, no token."""
_NEWUSER, _NEWNET = 0x10000000, 0x40000000  # sched.h
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_SIGKILL = 9


def environment(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Give what is left of an environment for processes that run models; native libraries use ``threads`` threads."""
    kept = {name: inherited[name] for name in _KEPT if name in inherited}
    return kept | dict.fromkeys(_THREADS, str(threads)) | {"PYTHONDONTWRITEBYTECODE": "1"}


def leave_network() -> bool:
    """Have no network from now on, not even this machine's own; False where the kernel does not allow that."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    # Without the right to, only a user namespace gives it.
    return bool(unshare(_NEWNET) == 0 or unshare(_NEWUSER | _NEWNET) == 0)


def limit_memory(more: int) -> None:
    """Let this process take ``more`` bytes beyond what it has: allocating past that fails.

    RLIMIT_DATA counts private memory as it is allocated, touched or not (Linux 4.7 and later); elsewhere nothing is
    limited.
    """
    has = _data_bytes()
    if has is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = has + more
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def die_with_parent() -> None:
    """Be killed when the process that made this one ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, _SIGKILL, 0, 0, 0)


def no_core_file() -> None:
    """Leave no image of memory behind in a crash."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def has_one_core() -> bool:
    """Say whether this process, and so what it begins, may run on one core only."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return (len(affinity(0)) if affinity is not None else os.cpu_count()) == 1


def set_niceness(pid: int, niceness: int) -> bool:
    """Let others go first, the more the greater; False where that is not allowed, as taking it back mostly is."""
    try:
        for thread in _threads_of(pid):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except OSError:
        return False
    return True


def _threads_of(pid: int) -> list[int]:
    """Name the threads of a process: on Linux each has a niceness of its own."""
    if sys.platform != "linux":
        return [pid]
    return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]


def _data_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmData:")), None)
    return None if kilobytes is None else int(kilobytes) * 1024
