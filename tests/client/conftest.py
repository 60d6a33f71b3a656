from collections.abc import Iterator

import pytest
from tests.client.fake_server import FakeServer, running

from serinus.client import DocumentClient


@pytest.fixture(scope="session")
def listening() -> Iterator[FakeServer]:
    with running(FakeServer()) as server:
        yield server


@pytest.fixture
def server(listening: FakeServer) -> FakeServer:
    listening.forget()
    listening.add_version("heart@1")
    listening.add_version("heart@2")
    return listening


@pytest.fixture
def client(server: FakeServer) -> Iterator[DocumentClient]:
    with DocumentClient(server.url, actor="ann") as client:
        yield client
