import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.client.fake_server import FakeServer, running

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


@pytest.fixture(autouse=True)
def _quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("SERINUS_URL", raising=False)


@pytest.fixture(scope="session")
def listening() -> Iterator[FakeServer]:
    with running(FakeServer()) as server:
        yield server


@pytest.fixture
def server(listening: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A server with two versions of heart, the first of them in production as heart-prod."""
    listening.forget()
    listening.add_version("heart@1")
    listening.add_version("heart@2", metrics={"accuracy": 0.541}, description="underfit")
    listening.add_deployment("heart-prod", "heart@1")
    monkeypatch.setenv("SERINUS_URL", listening.url)
    return listening


@pytest.fixture
def canary(capfd: pytest.CaptureFixture[str]) -> Canary:
    """Run a command here, as the console command would."""

    def run(*arguments: str) -> Ran:
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run
