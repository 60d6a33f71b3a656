"""Runs the console command in a process of its own, with or without a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import serinus

SOURCE = str(Path(serinus.__file__).parents[1])
PATIENCE_S = 60.0
COMMAND = [sys.executable, "-c", "import sys; from serinus.cli import main; sys.exit(main())"]


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "TERM"}}
    return inherited | {"PYTHONPATH": SOURCE, "TERM": "xterm-256color", "COLUMNS": "100"} | more


def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**more),
        encoding="utf-8",
    )


class Terminal:
    """A command at a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.screen = ""

    def wait_for(self, text: str, seconds: float = PATIENCE_S) -> str:
        """Read until ``text`` has been shown."""
        deadline = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but:\n{self.screen}"
            if not self._read():
                break
        assert text in self.screen, f"{text!r} was not shown, but:\n{self.screen}"
        return self.screen

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read to the end and give the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        assert select.select([self._descriptor], [], [], PATIENCE_S)[0], f"nothing is shown after:\n{self.screen}"
        try:
            chunk = os.read(self._descriptor, 65536)
        except OSError:  # on Linux, how a terminal says that the other side is gone
            return False
        self.screen += chunk.decode("utf-8", "replace")
        return bool(chunk)


@contextmanager
def at_terminal(*arguments: str, **more: str) -> Iterator[Terminal]:
    """Run a command whose stdin, stdout and stderr are a terminal of 100 by 40."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**more),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.terminate()  # so that it takes what it started with it, also where a test has failed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        os.close(ours)
