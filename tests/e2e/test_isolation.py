"""Whatever a canary does to the process that runs it, no caller sees an error, and nothing of it is left afterwards."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harmful, models
from tests.e2e.conftest import QUICK
from tests.e2e.load import ask_steadily
from tests.e2e.reporting import milliseconds, say
from tests.models import KNOWN, STABLE
from tests.server import Server, eventually, serving

from serinus.client import DocumentClient
from serinus.core.names import VersionRef

EACH_S = 0.01
NUMBER = 250
HARMS = {
    "reads where nothing is": harmful.ReadsNothing(),
    "exits": harmful.Exits(),
    "allocates": harmful.Allocates(mib=8 * 1024),
    "holds the lock": harmful.HoldsLock(),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("isolation") / "home"
    with serving(home, SERINUS_RUNNER_MEMORY=str(2**30), **QUICK) as server:
        with server.client() as client:
            models.register(client, "risk", models.Risk())
        yield server


def runners(server: Server) -> set[int]:
    """Give the processes that run models: the children of its nursery."""
    return {runner for nursery in _children(server.pid) for runner in _children(nursery)}


def _children(pid: int) -> set[int]:
    found = set[int]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.mark.parametrize("harm", HARMS)
async def test_callers_are_answered_the_canary_is_rolled_back_and_its_process_is_gone(
    server: Server, client: DocumentClient, name: str, harm: str
) -> None:
    version = VersionRef.parse(models.register(client, "risk", HARMS[harm])).version
    client.deploy(name, STABLE)
    before = runners(server)
    asking = asyncio.create_task(ask_steadily(server.port, name, NUMBER, {"features": KNOWN}, each_s=EACH_S))
    await asyncio.to_thread(client.start, name, version, 20)

    replies = await asking

    say(f"{harm}: {milliseconds([reply.seconds for reply in replies])}")
    assert Counter(reply.status for reply in replies) == {200: NUMBER}
    assert any(reply.document["failover"] for reply in replies) or harm == "holds the lock"
    assert eventually(lambda: client.deployment(name)["status"] == "stable")
    assert client.deployment(name)["rollout"]["phase"] == "rolled_back"
    assert eventually(lambda: runners(server) == before)
