from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests import models
from tests.server import Server, serving

from serinus.assembly import System, assembled
from serinus.client import DocumentClient
from serinus.home import Home
from serinus.settings import read_settings

_numbers = count(1)
QUICK = {
    "SERINUS_ALLOW_PICKLE": "true",
    "SERINUS_CHECK_INTERVAL": "0.1",
    "SERINUS_EVIDENCE_INTERVAL": "0.05",
    "SERINUS_LOG_INTERVAL": "0.02",
}
"""Settings under which nothing has to be waited for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with risk@1 and risk@2, which are right.

    It ends with the file that it serves: with all that was started on it, it goes on checking, and takes its time.
    """
    with serving(tmp_path_factory.mktemp("e2e") / "home", **QUICK) as server:
        with server.client() as client:
            for _ in range(2):
                models.register(client, "risk", models.Risk())
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[DocumentClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def name() -> str:
    """The name of a deployment that does not exist yet."""
    return f"prod-{next(_numbers)}"


@pytest.fixture
async def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[System]:
    """A whole system in this process, that checks and reconciles by hand, with risk@1 and risk@2, which are right."""
    monkeypatch.setattr("serinus.assembly.RECONCILE_S", 3600.0)
    settings = read_settings(
        home=tmp_path / "home",
        allow_pickle=True,
        check_interval=3600,
        canary_lease=86_400,
        evidence_interval=0.01,
        log_interval=0.01,
    )
    with Home(settings.home) as home:
        async with assembled(settings, home) as system:
            for _ in range(2):
                await system.registry.register(models.pickled(models.Risk()), "risk")
            yield system
