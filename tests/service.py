"""What a throwaway server of another maker is made of: a program, a process, a folder and ports of its own."""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Self, TypeVar

HOST = "127.0.0.1"
PATIENCE_S = 60.0
_POLL_S = 0.01
PAUSED_WITHIN_S = 5.0
LOG_TAIL = 3000  # characters of a log that an error shows


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


def listens(port: int) -> bool:
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
    stop_patience_s = PATIENCE_S

    def __init__(self, folder: Path | None = None) -> None:
        self._folder_is_ours = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"serinus-{type(self).__name__.lower()}-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.ports = free_ports(self.number_of_ports)
        self.process: subprocess.Popen[bytes] | None = None
        self._has_been_ready = False
        atexit.register(self.close)

    @abstractmethod
    def _command(self) -> list[str]:
        """Give the command that runs it in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether it answers."""

    def _prepare(self) -> None:  # noqa: B027 (most need nothing)
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
        deadline = time.monotonic() + PATIENCE_S
        while not self._comes_up(deadline):
            if not self._has_been_ready:
                self.ports = free_ports(self.number_of_ports)
            time.sleep(0.1)
        self._has_been_ready = True

    def _comes_up(self, deadline: float) -> bool:
        """Try to start it. False if another has its port, which may change: what a killed one held is soon free."""
        in_time = time.monotonic() < deadline
        if in_time and not all(map(_is_free, self.ports)):
            return False
        log_start = self.log.stat().st_size if self.log.exists() else 0
        self.process = self._launch(self._command())
        if self._becomes_ready(self.process, deadline):
            return True
        self.kill()
        said = self.log.read_bytes()[log_start:].decode(errors="replace")
        if in_time and ("in use" in said or "not available" in said):
            return False
        raise NotStarted(f"{type(self).__name__} did not start. The end of its log:\n{said[-LOG_TAIL:]}")

    def stop(self) -> None:
        """Tell it to end in good order, and kill it if it takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all its processes at once (SIGKILL), and wait."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang, and come back when it does: connections stay open and are not answered."""
        groups = self._groups()
        _signal_all(groups, signal.SIGSTOP)
        deadline = time.monotonic() + PAUSED_WITHIN_S
        while any(map(_runs, groups)) and time.monotonic() < deadline:
            time.sleep(0.001)

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

    def _launch(self, command: list[str]) -> "subprocess.Popen[bytes]":
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]  # the kernel kills it when we are gone
        with self.log.open("ab") as output:
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
        groups = self._groups()
        self.process.send_signal(number)
        if number != signal.SIGKILL:
            self.resume()  # a paused one would not hear of it
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_patience_s)
        _signal_all(groups, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self.process = None

    def _signal(self, number: signal.Signals) -> None:
        _signal_all(self._groups(), number)

    def _groups(self) -> list[int]:
        """Give its process group, and those that its children lead (PostgreSQL's outlive a killed parent a moment)."""
        return [self.pid, *_children(self.pid)]


def _children(pid: int) -> list[int]:
    """Give the processes that a process started, where the kernel tells."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _runs(pid: int) -> bool:
    """Say whether a process is neither stopped nor gone, where the kernel tells."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"T", "t", "Z", "X"}
    return False


def _signal_all(groups: list[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


SomeService = TypeVar("SomeService", bound=Service)


@contextmanager
def provided(service: SomeService) -> Iterator[SomeService]:
    """Run a service for tests. Where its program is missing they are skipped, but fail where ``CI`` is set."""
    import pytest

    try:
        with service:
            yield service
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
