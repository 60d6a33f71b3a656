"""The process that runners are copies of: it imports what models need once, holds no secret, and does nothing else.

It was begun with an environment of its own and knows only the socket over which a gateway asks for runners. Each
request is a line of JSON with two files: the runner's socket and the artifact. When the gateway hangs up, or ends
however it ends, all runners are killed.
"""

import errno
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import msgspec

from serinus.predictors import isolation
from serinus.predictors.runner import quiet_standard_files, run, said_by

_MESSAGE = 1 << 16
_FILES = 16


class Request(msgspec.Struct, tag_field="do", tag="begin"):
    """Begin a runner: what it goes by, which modules its model needs, and what it may have."""

    number: int
    modules: list[str]
    memory: int
    network: bool


class End(msgspec.Struct, tag_field="do", tag="end"):
    """Kill a runner."""

    pid: int


class Begun(msgspec.Struct, tag_field="is", tag="begun"):
    """A runner was begun; no ``pid``: it could not be, for the reason that is given."""

    number: int
    pid: int = 0
    reason: str = ""


class Gone(msgspec.Struct, tag_field="is", tag="gone"):
    """A runner has ended: its exit code, or the negative number of the signal that ended it."""

    pid: int
    code: int


_requests = msgspec.json.Decoder(Request | End)


def serve(link: socket.socket) -> None:
    """Begin runners until the gateway hangs up, then kill those that are left."""
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway drains first, and then hangs up
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    nursery = _Nursery(link)
    try:
        while nursery.is_wanted:
            ready, _, _ = select.select([link.fileno(), waking], [], [])
            if waking in ready:
                os.read(waking, 4096)
                nursery.bury()
            if link.fileno() in ready:
                nursery.listen()
    finally:
        nursery.kill_all()


class _Nursery:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._heard = b""
        self._files: list[int] = []
        self._living: set[int] = set()
        self.is_wanted = True

    def listen(self) -> None:
        """Do what is asked."""
        try:
            data, files, _, _ = socket.recv_fds(self._link, _MESSAGE, _FILES)
        except ConnectionError:
            data, files = b"", []
        if not data:
            self.is_wanted = False
            return
        self._files += files
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            request = _requests.decode(line)
            if isinstance(request, End):
                if request.pid in self._living:
                    os.kill(request.pid, signal.SIGKILL)
            else:
                self._begin(request, self._files.pop(0), self._files.pop(0))

    def bury(self) -> None:
        """Say which runners have ended."""
        for pid, code in _ended():
            self._living.discard(pid)
            self._say(Gone(pid, code))

    def kill_all(self) -> None:
        """Leave none behind."""
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)

    def _begin(self, request: Request, link: int, artifact: int) -> None:
        for module in request.modules:
            _import(module)
        gc.freeze()  # what is here already is shared by all runners, and is not looked through again
        try:
            pid = os.fork()
        except OSError as trouble:
            self._say(Begun(request.number, reason=str(trouble)))
        else:
            if pid == 0:
                self._become_runner(request, link, artifact)
            self._living.add(pid)
            self._say(Begun(request.number, pid))
        os.close(link)
        os.close(artifact)

    def _become_runner(self, request: Request, link: int, artifact: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            isolation.die_with_parent()
            quiet_standard_files()
            kept = sorted({link, artifact})
            _close_all_but(kept)
            isolation.no_core_file()
            offline = not request.network and isolation.leave_network()
            if request.memory:
                isolation.limit_memory(request.memory)
            run(socket.socket(fileno=link), artifact, offline=offline)
        except (ConnectionError, KeyboardInterrupt):
            code = 0  # the gateway has gone
        except BaseException as failure:  # noqa: BLE001 - the copy must not go on as if it were the nursery
            _complain(f"a runner failed: {said_by(failure)}")
        finally:
            os._exit(code)

    def _say(self, what: msgspec.Struct) -> None:
        try:
            self._link.sendall(msgspec.json.encode(what) + b"\n")
        except ConnectionError:
            self.is_wanted = False


def _import(module: str) -> None:
    """Import what a model may need; a runner that lacks it says so better than this process could."""
    try:
        import_module(module)
    except Exception as trouble:  # noqa: BLE001 - as above
        _complain(f"{module} could not be imported: {said_by(trouble)}")


def _complain(what: str) -> None:
    with suppress(OSError):
        os.write(2, f"{what}\n".encode())


def _ended() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except OSError as trouble:
            if trouble.errno == errno.ECHILD:
                return
            raise
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _close_all_but(kept: list[int]) -> None:
    begin = 3
    for number in kept:
        os.closerange(begin, number)
        begin = number + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))


def main(arguments: list[str]) -> None:
    """Run as the program of a process: the number of its socket, then where modules are found."""
    number, *path = arguments
    sys.path[:] = path
    serve(socket.socket(fileno=int(number)))
