"""Starts throwaway servers of other makers on 127.0.0.1, for tests, benchmarks and demonstrations.

    with PostgreSQL() as postgresql:
        url = postgresql.url(postgresql.create_database())

A service keeps its ports and its data from one start to the next. The end of the block kills it and removes its
folder. On Linux it does not outlive the *thread* that started it, however that ends: start it from a lasting one.
"""

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeVar

if TYPE_CHECKING:
    from obstore.store import S3Store

HOST = "127.0.0.1"
PATIENCE_S = 60.0
_POLL_S = 0.01
_LOG_TAIL = 3000  # characters of a log that an error shows


class Missing(RuntimeError):
    """The program of a service is not installed."""

    def __init__(self, program: str, remedy: str) -> None:
        super().__init__(f"{program} is not installed. {remedy}")
        self.program = program


class NotStarted(RuntimeError):
    """A service ended or was not ready in time; the message holds the end of its log."""


def find_program(name: str, remedy: str) -> str:
    """Give the path of a program.

    Raises:
        Missing: It is in none of the places where it is installed.
    """
    postgresql = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    places = [
        str(Path(sys.executable).parent),
        *os.environ.get("PATH", os.defpath).split(os.pathsep),
        "/usr/local/sbin",
        "/usr/sbin",  # of haproxy; not on the PATH of a Debian user
        *map(str, reversed(postgresql)),
    ]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Missing(name, remedy)
    return found


_given_ports: set[int] = set()


def free_ports(number: int) -> list[int]:
    """Give ports that nobody listens on, never one twice.

    They are below those of outgoing connections, none of which can then take the port of a service that is down.
    """
    ports: list[int] = []
    while len(ports) < number:
        port = random.randrange(10_000, 32_000)
        if port not in _given_ports and _is_free(port):
            _given_ports.add(port)
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


class Service(ABC):
    """A server in a process of its own, with a folder and ports of its own.

    Its folder is a new one that is removed in the end, unless one is given.
    """

    remedy: ClassVar[str]
    user: str | None = None  # whose process it is, if not ours
    number_of_ports = 1
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path | None = None) -> None:
        self._folder_is_ours = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"serinus-{type(self).__name__.lower()}-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.ports = free_ports(self.number_of_ports)
        self.process: subprocess.Popen[bytes] | None = None
        self._has_been_ready = False

    @abstractmethod
    def _command(self) -> list[str]:
        """Give the command that runs it in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether it answers."""

    def _prepare(self) -> None:
        """Write what it needs before its first start."""

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None, "it is not running"
        return self.process.pid

    def start(self) -> None:
        """Start it, again on the same ports and data if it ran before, and wait until it answers.

        Raises:
            Missing: Its program is not installed.
            NotStarted: It did not come up.
        """
        assert self.process is None, "it is running"
        if not self._has_been_ready:
            self._prepare()
        atexit.register(self.close)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self.process = self._launch(self._command(), self.log)
            if self._becomes_ready(self.process, deadline):
                self._has_been_ready = True
                return
            self.kill()
            said = self.log.read_bytes()[log_start:].decode(errors="replace")
            # A port was taken since it was chosen, or what a killed predecessor held is not yet free.
            if "in use" not in said or time.monotonic() > deadline:
                raise NotStarted(f"{type(self).__name__} did not start. The end of its log:\n{said[-_LOG_TAIL:]}")
            if not self._has_been_ready:
                self.ports = free_ports(self.number_of_ports)
            time.sleep(0.1)

    def stop(self) -> None:
        """Tell it to end in good order, and wait."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a power cut would, with all its processes, and wait."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open and are not answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        if self._folder_is_ours:
            shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launch(self, command: list[str], log: Path) -> "subprocess.Popen[bytes]":
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]  # the kernel kills it when we are gone
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), **self._environment()},
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _becomes_ready(self, process: "subprocess.Popen[bytes]", deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            if self._is_ready():
                return process.poll() is None  # else another one answered on a port it wanted
            time.sleep(_POLL_S)
        return False

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        # Those of PostgreSQL lead groups of their own and outlive a killed parent for a moment.
        children = _children(self.process.pid)
        self._signal(number)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)  # a paused one would never hear it
        try:
            self.process.wait(PATIENCE_S)
        finally:
            for pid in children:
                _kill(pid)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
            self.process = None
