"""A server with releases on it, the dashboard that shows it, and a browser: one of each for a file."""

import http.client
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests import models
from tests.dashboard.browser import PATIENCE_MS, chromium, window_of
from tests.server import COMMAND, Server, environment, eventually, serving

from serinus.client import DocumentClient, UnreachableError

QUICK = {
    "SERINUS_ALLOW_PICKLE": "true",
    "SERINUS_CHECK_INTERVAL": "0.25",
    "SERINUS_EVIDENCE_INTERVAL": "0.1",
    "SERINUS_LOG_INTERVAL": "0.1",
}
BY_HAND = {"auto_rollback": False, "auto_promote": False}
"""Settings with which nothing happens to a canary but what the test does."""
_numbers = count(1)


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard."""

    process: "subprocess.Popen[bytes]"
    url: str

    def page(self, name: str, deployment: str = "") -> str:
        """Give the address of a page."""
        return f"{self.url}/{name}" + (f"?deployment={deployment}" if deployment else "")


@contextmanager
def dashboard_of(url: str, log: Path, *arguments: str, **settings: str) -> Iterator[Dashboard]:
    """Run a dashboard of the server at ``url``, killed when the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "dashboard", "--port", "0", "--url", url, *arguments],
            stdout=out,
            stderr=out,
            env=environment(PYTHONUNBUFFERED="1", **settings),
        )
    try:
        assert eventually(lambda: process.poll() is not None or told_address(log), every_s=0.1)
        address = told_address(log)
        assert eventually(lambda: process.poll() is not None or answers(address), every_s=0.1)
        assert process.poll() is None, log.read_text()
        yield Dashboard(process, address)
    finally:
        process.kill()
        process.wait()


def told_address(log: Path) -> str:
    """Give the address a dashboard printed; empty while it has printed none."""
    told = re.search(r"Dashboard: (\S+)", log.read_text())
    return told[1] if told else ""


def answers(url: str) -> bool:
    """Say whether a dashboard answers there."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Callers:
    """Ask a deployment again and again, about fifty times a second, while the block runs."""

    def __init__(self, url: str, name: str) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call, args=(url, name), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _call(self, url: str, name: str) -> None:
        with DocumentClient(url) as client:
            while not self._over.wait(0.02):
                with suppress(UnreachableError):
                    client.predict(name, models.KNOWN)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with risk@1 and risk@2, which are right."""
    with serving(tmp_path_factory.mktemp("dashboard") / "home", **QUICK) as server:
        with server.client() as client:
            for accuracy in (0.84, 0.87):
                models.register(client, "risk", models.Risk(), metrics={"accuracy": accuracy})
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[DocumentClient]:
    """Another person, who acts by the API."""
    with DocumentClient(server.url, actor="grace") as client:
        yield client


@pytest.fixture(scope="module")
def dashboard(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with dashboard_of(server.url, tmp_path_factory.mktemp("board") / "log") as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    with window_of(browser) as window:
        yield window


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    page = window.new_page()
    yield page
    page.close()


@pytest.fixture
def stable(client: DocumentClient) -> str:
    """A new deployment of risk@1."""
    name = f"risk-{next(_numbers):03}"
    client.deploy(name, models.STABLE, BY_HAND)
    return name


@pytest.fixture
def release(client: DocumentClient, stable: str) -> str:
    """A new deployment of risk@1 whose canary, risk@2, has 20 %."""
    client.start(stable, 2, 20)
    return stable
