import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.service_layer.doubles import PATIENCE_S
from tests.service_layer.world import DATABASE, World

from serinus.stores.sqlite import make_ready

SHORT_S = 0.05
_PATIENCE = (
    "serinus.engine.rollbacks.RECORD_TIMEOUT_S",
    "serinus.engine.rollbacks.LOOK_TIMEOUT_S",
    "serinus.gathering.PATIENCE_S",
    "serinus.checker.checker.PATIENCE_S",
    "serinus.checker.judging.PATIENCE_S",
)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no store for a silent one because the machine is busy."""
    for name in _PATIENCE:
        monkeypatch.setattr(name, PATIENCE_S)


@pytest.fixture
def grow_impatient(_patient: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give what makes all wait only for a moment from now on, for a store that says nothing."""

    def grow_impatient() -> None:
        for name in _PATIENCE:
            monkeypatch.setattr(name, SHORT_S)

    return grow_impatient


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file as it is made, for tests to copy."""
    path = tmp_path_factory.mktemp("empty") / DATABASE
    make_ready(path)
    return path


@pytest.fixture
async def world(tmp_path: Path, empty_database: Path) -> AsyncIterator[World]:
    """A server's parts; its gateway is not started."""
    shutil.copy(empty_database, tmp_path)
    world = await World.opened(tmp_path)
    yield world
    await world.closed()
