from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from tests.server import Server, serving

from serinus.client import DocumentClient

_names = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share; each has models of its own."""
    with serving(tmp_path_factory.mktemp("training") / "home") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[DocumentClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def name() -> str:
    """The name of a model that nobody has registered."""
    return f"model-{next(_names)}"


@pytest.fixture
def versions(client: DocumentClient, name: str) -> Callable[[], list[dict[str, Any]]]:
    """What is registered under the name, oldest first; empty while nothing is."""

    def registered() -> list[dict[str, Any]]:
        if name not in {model["name"] for model in client.models()["models"]}:
            return []
        found: list[dict[str, Any]] = client.versions(name)["versions"]
        return found

    return registered
