"""Runs `canary serve` as a process of its own, on a home of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from tests import copies

import serinus
from serinus.client import DocumentClient

SOURCE = Path(serinus.__file__).parents[1]
REPOSITORY = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "import sys; from serinus.cli import main; sys.exit(main())"]
PATIENCE_S = 60.0
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")


def environment(**more: str) -> dict[str, str]:
    """Give an environment without a word on Serinus but ``more``; models pickled in tests can be loaded in it."""
    inherited = {name: os.environ[name] for name in KEPT if name in os.environ}
    path = os.pathsep.join((str(SOURCE), str(REPOSITORY)))
    # One row never needs more than one thread, and two cores have to do for everything.
    return inherited | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | more


def eventually(holds: Callable[[], object], patience_s: float = PATIENCE_S, every_s: float = 0.02) -> bool:
    """Say whether something comes true in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def attempt_to_serve(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected not to start, to its end."""
    return subprocess.run(
        [*COMMAND, "serve", "--home", str(home), "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(**settings),
    )


@dataclass(frozen=True)
class Server:
    """A running server; what it writes to stderr goes to ``log``."""

    process: "subprocess.Popen[bytes]"
    home: Path
    log: Path

    @property
    def announced(self) -> dict[str, Any]:
        """What it says of itself in its home, {} if nothing."""
        try:
            said: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        except FileNotFoundError:
            return {}
        return said if said["pid"] == self.process.pid else {}

    @property
    def url(self) -> str:
        url: str = self.announced["url"]
        return url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def database(self) -> Path:
        return self.home / "serinus.db"

    @property
    def stderr(self) -> str:
        return self.log.read_text()

    def http(self) -> httpx2.Client:
        """Speak HTTP to it."""
        return httpx2.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S)

    def client(self) -> DocumentClient:
        """Speak to it as a user's program would."""
        return DocumentClient(self.url, timeout=PATIENCE_S)

    def wait_until_ready(self) -> None:
        """Wait until it listens and says that it is ready."""
        assert eventually(lambda: self.announced or self.process.poll() is not None), "it does not listen"
        assert self.process.poll() is None, self.stderr
        with self.http() as http:
            assert eventually(lambda: http.get("/health/ready").status_code == 200), http.get("/health/ready").text

    def terminate(self) -> int:
        """Tell it to end, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it at once, if it runs."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


def start(home: Path, *arguments: str, command: str = "serve", **settings: str) -> Server:
    """Start a server (or, with the command ``check``, a checker) and give it at once, ready or not."""
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}.log"
    command_line = [command, "--home", str(home), "--port", "0", *arguments]
    process: subprocess.Popen[bytes]
    with log.open("ab") as stderr:
        if COMMAND[0] == sys.executable and "--workers" not in arguments:  # workers are copies of their own server's
            process = copies.begun(command_line, env=environment(**settings), stderr=stderr)
        else:
            process = subprocess.Popen(
                [*COMMAND, *command_line], stdout=subprocess.DEVNULL, stderr=stderr, env=environment(**settings)
            )
    return Server(process, home, log)


@contextmanager
def serving(home: Path, *arguments: str, **settings: str) -> Iterator[Server]:
    """Run a server, killed when the block ends; ``settings`` go into its environment."""
    server = start(home, *arguments, **settings)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()
