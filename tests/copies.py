"""Commands run by copies of a process that has imported the server already: a start takes a fraction of the time.

A copy is a child of whoever asked for it, with the arguments, environment, folder and output that it was given, and
runs what the console command runs.
"""

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any, NoReturn

_NEEDED = ("serinus.http.serving", "pandas", "skops.io", "sklearn.calibration", "sklearn.compose", "sklearn.ensemble")
"""What a server imports at its start, and with its first scikit-learn model."""
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_MESSAGE = 1 << 20


class Copy(subprocess.Popen[bytes]):
    """A process that another one has begun, and that is a child of this one."""

    def __init__(self, pid: int, arguments: Sequence[str]) -> None:  # it runs already
        self.pid = pid
        self.args = arguments
        self.stdin = self.stdout = self.stderr = None
        self.returncode: Any = None
        self._child_created = True
        self._waitpid_lock = Lock()


def begun(arguments: Sequence[str], *, env: Mapping[str, str], stderr: IO[bytes]) -> Copy:
    """Run ``canary ARGUMENTS`` in a copy, its standard output going nowhere."""
    request = json.dumps({"arguments": arguments, "env": dict(env), "cwd": str(Path.cwd())}).encode()
    with _adopting():
        original = _original(env["PYTHONPATH"])
        socket.send_fds(original, [request], [stderr.fileno()])
        answer = original.recv(64)
    assert answer, "the process that is copied has ended"
    return Copy(int(answer), arguments)


@contextmanager
def _adopting() -> Iterator[None]:
    """Be the parent of processes whose own parent ends meanwhile."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(_SUBREAPER, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)


@cache
def _original(path: str) -> socket.socket:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())], pass_fds=[its.fileno()], env=env
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # which is done first, and ends it
    return ours


def _asked(asking: socket.socket) -> tuple[dict[str, Any], int]:
    """Answer each request by the number of a process, in which this returns the request and where its errors go."""
    while True:
        message, files, _, _ = socket.recv_fds(asking, _MESSAGE, 1)
        if not message:
            sys.exit()
        reading, writing = os.pipe()
        if (between := os.fork()) == 0:
            if copy := os.fork():
                os.write(writing, str(copy).encode())
                os._exit(0)
            return json.loads(message), files[0]
        os.waitpid(between, 0)
        asking.send(os.read(reading, 64))
        for file in (reading, writing, *files):
            os.close(file)


def _run(request: Mapping[str, Any], stderr: int) -> NoReturn:
    from serinus.cli import main

    nowhere = os.open(os.devnull, os.O_RDWR)
    for number, file in ((0, nowhere), (1, nowhere), (2, stderr)):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    _keep_nursery()
    sys.argv = ["canary", *request["arguments"]]
    sys.exit(main())


def _keep_nursery() -> None:
    """Let the nursery of this process be a copy too: what models need is imported already."""
    from serinus.predictors import isolation, nursery, processes

    ours, its = socket.socketpair()
    if os.fork() == 0:
        kept = isolation.environment(os.environ, 1)
        os.environ.clear()
        os.environ.update(kept)
        os.setsid()
        ours.close()
        nursery.serve(its)
        os._exit(0)
    its.close()
    begin = processes.launched
    copies = iter([(ours, None)])
    processes.launched = lambda threads: next(copies, None) or begin(threads)


if __name__ == "__main__":
    for module in _NEEDED:
        import_module(module)
    _run(*_asked(socket.socket(fileno=int(sys.argv[1]))))
