"""Whatever a canary does to the process that runs it, no caller sees an error, and nothing of it is left afterwards."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import harmful, models
from tests.e2e.conftest import QUICK
from tests.e2e.load import Reply, ask_steadily
from tests.e2e.reporting import milliseconds, say
from tests.models import KNOWN, STABLE
from tests.server import Server, eventually, serving

from serinus.client import DocumentClient
from serinus.core.names import VersionRef

EACH_S = 0.01
NUMBER = 220
HARMS = {
    "reads where nothing is": harmful.ReadsNothing(),
    "exits": harmful.Exits(),
    "allocates": harmful.Allocates(mib=8 * 1024),
    "holds the lock": harmful.HoldsLock(),
}


@dataclass(frozen=True)
class Met:
    """What callers met while a canary was tried, what became of it, and which processes there were before."""

    replies: list[Reply]
    phase: str
    before: set[int]


@dataclass(frozen=True)
class Tried:
    """What came of all canaries, and which processes there were in the end."""

    met: dict[str, Met]
    after: set[int]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Try one canary after the other on the same server, and wait until their processes are given back."""
    home = tmp_path_factory.mktemp("isolation") / "home"
    with serving(home, SERINUS_RUNNER_MEMORY=str(2**30), **QUICK) as server, server.client() as client:
        models.register(client, "risk", models.Risk())
        client.deploy("prod", STABLE)
        alone = runners(server)
        met = {harm: asyncio.run(_try(server, client, harm)) for harm in HARMS}
        eventually(lambda: runners(server) == alone)
        return Tried(met, runners(server))


async def _try(server: Server, client: DocumentClient, harm: str) -> Met:
    version = VersionRef.parse(models.register(client, "risk", HARMS[harm])).version
    before = runners(server)
    asking = asyncio.create_task(ask_steadily(server.port, "prod", NUMBER, {"features": KNOWN}, each_s=EACH_S))
    await asyncio.to_thread(client.start, "prod", version, 20)
    replies = await asking
    say(f"{harm}: {milliseconds([reply.seconds for reply in replies])}")
    await asyncio.to_thread(eventually, lambda: client.deployment("prod")["status"] == "stable")
    return Met(replies, client.deployment("prod")["rollout"]["phase"], before)


def runners(server: Server) -> set[int]:
    """Give the processes that run models: the children of its nursery."""
    return {runner for nursery in _children(server.pid) for runner in _children(nursery)}


def _children(pid: int) -> set[int]:
    found = set[int]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.mark.parametrize("harm", HARMS)
def test_no_caller_sees_an_error(tried: Tried, harm: str) -> None:
    replies = tried.met[harm].replies

    assert Counter(reply.status for reply in replies) == {200: NUMBER}
    assert {reply.document["prediction"] for reply in replies} == {0.63}


@pytest.mark.parametrize("harm", HARMS)
def test_the_canary_is_rolled_back_by_itself(tried: Tried, harm: str) -> None:
    assert tried.met[harm].phase == "rolled_back"


def test_the_processes_of_all_of_them_are_gone_and_that_of_the_baseline_is_the_same(tried: Tried) -> None:
    assert tried.after == next(iter(tried.met.values())).before
    assert len(tried.after) == 1
