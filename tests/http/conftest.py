from collections.abc import Iterator
from itertools import count

import httpx2
import pytest
from tests import models
from tests.server import Server, serving

from serinus.client import DocumentClient

ARTIFACT_LIMIT = 200_000
_numbers = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with risk@1 and risk@2, which are right, risk@3, which raises, and models that do not go with them.

    It ends with the file that it serves: with all that was started on it, it goes on checking, and takes its time.
    """
    settings = {
        "SERINUS_ALLOW_PICKLE": "true",
        "SERINUS_CHECK_INTERVAL": "0.05",
        "SERINUS_EVIDENCE_INTERVAL": "0.05",
        "SERINUS_LOG_INTERVAL": "0.02",
        "SERINUS_MAX_ARTIFACT_BYTES": str(ARTIFACT_LIMIT),
    }
    with serving(tmp_path_factory.mktemp("http") / "home", **settings) as server:
        with server.client() as client:
            models.register(client, "risk", models.Risk(), metrics={"accuracy": 0.85})
            models.register(client, "risk", models.Risk(), metrics={"accuracy": 0.9})
            models.register(client, "risk", models.Raises())
            client.register_package("class", models.pickled(models.Risk(), models.CLASS))
            client.register_package("narrow", models.pickled(models.Risk(), models.NARROW))
        yield server


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx2.Client]:
    with server.http() as http:
        yield http


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[DocumentClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def name() -> str:
    """The name of a deployment that does not exist yet."""
    return f"prod-{next(_numbers)}"
