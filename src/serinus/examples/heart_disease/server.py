"""A server of the demo's own: a sub-process on a free port, which never outlives the demo."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from serinus.core.errors import SerinusError

START_S = 60.0
STOP_S = 10.0
_POLL_S = 0.05


class ServerEnded(SerinusError):
    """The server is not there any more, or never was; ``said`` is what it wrote to stderr."""

    code = "SERINUS-DEMO-SERVER"
    title = "The demo's server ended"

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


class Server:
    """A server on a home folder; used as a context manager, and stopped at its end however that comes."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home = home
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the process; it does not listen yet when this returns."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, on this package
                [sys.executable, "-m", "serinus", "serve", "--port", "0", "--home", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                # Ctrl-C is for the demo, which then stops the server in order.
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process: with patience, then without."""
        process = self._process
        if process is None:
            return
        try:
            process.terminate()
            process.wait(STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()

    def url(self) -> str:
        """Wait until the server listens, and say where; ServerEnded if it does not."""
        announced = self.home / "server.json"
        deadline = time.monotonic() + START_S
        while not announced.exists():
            if self.ended():
                raise ServerEnded("The server could not start.", self.said())
            if time.monotonic() > deadline:
                raise ServerEnded(f"The server did not start within {START_S:g} s.", self.said())
            time.sleep(_POLL_S)
        return str(json.loads(announced.read_text())["url"])

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    def wait(self) -> None:
        """Wait for the process to end by itself."""
        if self._process is not None:
            self._process.wait()

    def said(self) -> str:
        """Give what the server wrote to stderr."""
        return self.log.read_text(errors="replace").strip()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does, so that what it holds is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _environment() -> dict[str, str]:
    """Leave out all that says how another server of this user is set: its database is not ours to write to.

    A canary yields to nobody here: on a laptop that is busy with other work it would look slow for that alone, and a
    few dozen requests have to tell a model that fails.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("SERINUS_")}
    return inherited | {"SERINUS_LOG_FORMAT": "text", "NO_COLOR": "1", "SERINUS_CANARY_NICENESS": "0"}
