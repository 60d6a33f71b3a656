import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.importing.training import Logged, log_models
from tests.peers.mlflow_server import MLflowServer
from tests.server import Server, serving
from tests.service import provided

from serinus.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Canary = Callable[..., Ran]


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[MLflowServer]:
    with provided(MLflowServer()) as server:
        yield server


@pytest.fixture(scope="session")
def logged(mlflow_server: MLflowServer) -> Iterator[Logged]:
    """Models of each flavor, logged and registered as people do."""
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow and of what it imports
        try:
            yield log_models(mlflow_server.url)
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "home") as running:
        yield running


@pytest.fixture
def canary(
    server: Server, mlflow_server: MLflowServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Canary:
    """Run a command here, as the console command would, between the two servers."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("SERINUS_URL", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
