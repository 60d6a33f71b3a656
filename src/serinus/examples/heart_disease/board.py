"""A dashboard of the demo's own: a sub-process on a free port, which never outlives the demo."""

import http.client
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from serinus.dashboard.launching import LIBRARIES

START_S = 30.0
STOP_S = 5.0
_POLL_S = 0.1
_ADDRESS = re.compile(r"Dashboard: (\S+)")


def can_be_shown() -> bool:
    """Whether what the dashboard needs is installed."""
    return all(find_spec(library) is not None for library in LIBRARIES)


class Board:
    """A dashboard of the server at ``url``; used as a context manager, and stopped at its end however that comes."""

    def __init__(self, url: str, log: Path) -> None:
        self.log = log
        self._server = url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the process; it does not listen yet when this returns."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, on this package
                [sys.executable, "-m", "serinus", "dashboard", "--port", "0", "--url", self._server],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # Ctrl-C is for the demo, which then stops the dashboard in order.
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
        """Wait until it answers, and say where; "" if it does not."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            told = _ADDRESS.search(self.log.read_text(errors="replace"))
            if told and _answers(told[1]):
                return told[1]
            time.sleep(_POLL_S)
        return ""


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2.0)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
