"""Several processes of one server: they serve as one, show their metrics as one, and any of them may go."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests import models
from tests.e2e.load import ask_at_once
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.production.conftest import MakeFleet
from tests.production.crew import WORKERS, Crew, begun
from tests.production.load import Load, load
from tests.production.watching import logged
from tests.server import PATIENCE_S, eventually

from serinus.client import DocumentClient

pytestmark = pytest.mark.timeout(300)
LOOKS = 8
"""How often metrics are read to see that it does not matter who answers."""
BATCH = 50
CALLERS = 3
PACE_S = {"prod": 0.03}
BY_HAND = {"auto_promote": False, "auto_rollback": False}


@dataclass
class Story:
    """One server's life, in the order of its fields."""

    first: set[int] = field(default_factory=set)
    served: Counter[int] = field(default_factory=Counter)
    asked: int = 0
    counted: list[float] = field(default_factory=list)
    counted_s: float = 0.0
    killed: int = 0
    after_kill: set[int] = field(default_factory=set)
    through_kill: Load = field(default_factory=Load)
    through_kill_counted: list[float] = field(default_factory=list)
    after_hangup: set[int] = field(default_factory=set)
    through_hangup: Load = field(default_factory=Load)
    through_hangup_counted: list[float] = field(default_factory=list)
    through_end: Load = field(default_factory=Load)
    exit_code: int = -1


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory, new_fleet: MakeFleet) -> Iterator[Crew]:
    """A server of two workers with risk@1 and risk@2; it judges its canaries itself."""
    with new_fleet(tmp_path_factory.mktemp("workers")) as fleet:
        crew = begun(fleet, "home")
        with DocumentClient(crew.url) as client:
            for _ in range(2):
                models.register(client, "risk", models.Risk())
            for name in ("prod", "ending"):
                client.deploy(name, STABLE, BY_HAND)
                client.start(name, 2, 50)
        yield crew


@pytest.fixture(scope="module")
def story(crew: Crew) -> Story:
    """Live through everything that can become of a worker."""
    assert eventually(lambda: len(crew.pids()) == WORKERS)
    seen = Story(first=crew.pids())
    seen.asked = ask_until_both_serve(crew)
    asked_at = time.monotonic()
    assert eventually(lambda: crew.counted("prod") == seen.asked)
    seen.counted_s = time.monotonic() - asked_at
    time.sleep(1.5)
    seen.counted = [crew.counted("prod") for _ in range(LOOKS)]
    seen.served = crew.served("prod:1")

    load_on, counting = load([crew.port] * CALLERS, PACE_S, anew=True), crew.counting("prod")
    with load_on as seen.through_kill, counting as seen.through_kill_counted:
        time.sleep(1.0)
        seen.killed = max(seen.first)
        os.kill(seen.killed, signal.SIGKILL)
        assert eventually(lambda: crew.is_whole(without={seen.killed}))
        seen.after_kill = crew.pids()
        assert eventually(lambda: min(crew.served("prod:1")[pid] for pid in seen.after_kill) > 0)

    load_on, counting = load([crew.port] * CALLERS, PACE_S, anew=True), crew.counting("prod")
    with load_on as seen.through_hangup, counting as seen.through_hangup_counted:
        time.sleep(0.5)
        seen.after_hangup = replaced(crew, seen.after_kill)
        time.sleep(1.0)

    with load([crew.port], {"ending": 0.02}, anew=True) as seen.through_end:
        time.sleep(1.0)
        crew.server.process.send_signal(signal.SIGTERM)
        seen.exit_code = crew.server.process.wait(PATIENCE_S)
    return seen


def replaced(crew: Crew, workers: set[int]) -> set[int]:
    """Tell a server to replace its workers, again where a busy machine is too slow for it; give the new ones."""
    present = set[int]()

    def are_new() -> bool:
        nonlocal present
        present = crew.pids()
        return len(present) == WORKERS and present.isdisjoint(workers)

    for _ in range(3):
        crew.server.process.send_signal(signal.SIGHUP)
        if eventually(are_new, patience_s=45.0):
            break
    return present


def ask_until_both_serve(crew: Crew) -> int:
    """Ask in batches, by a few new connections each; gives how often."""
    asked = 0

    def both_serve() -> bool:
        nonlocal asked
        replies = asyncio.run(ask_at_once(crew.port, "prod", BATCH, {"features": KNOWN}, connections=5))
        assert {reply.status for reply in replies} == {200}
        asked += len(replies)
        return len(+crew.served("prod:1")) == WORKERS

    assert eventually(both_serve, every_s=0.1)
    return asked


def test_every_worker_serves(story: Story) -> None:
    say(f"answered by each: {dict(story.served)}")

    assert len(story.first) == WORKERS
    assert story.served.keys() == story.first
    assert story.served.total() == story.asked


def test_metrics_show_the_sum_whoever_is_asked(story: Story) -> None:
    say(f"the sum is there after {story.counted_s:.2f} s")

    assert story.counted == [story.asked] * LOOKS


def test_a_worker_that_is_killed_is_replaced_and_requests_go_on(story: Story) -> None:
    say(f"{len(story.through_kill.answers)} answered, {len(story.through_kill.lost)} connections broke")

    assert story.killed not in story.after_kill
    assert story.first - {story.killed} < story.after_kill
    assert {answer.status for answer in story.through_kill.answers} == {200}
    assert len(story.through_kill.lost) <= CALLERS


def test_counters_never_fall_although_a_worker_is_killed(story: Story) -> None:
    counted = story.through_kill_counted

    assert len(counted) > LOOKS
    assert counted == sorted(counted)


def test_a_hangup_replaces_the_workers_without_a_failed_request(story: Story) -> None:
    assert not story.after_hangup & story.after_kill
    assert {answer.status for answer in story.through_hangup.answers} == {200}
    assert story.through_hangup.lost == []


def test_counters_never_fall_while_workers_are_replaced(story: Story) -> None:
    counted = story.through_hangup_counted

    assert counted == sorted(counted)
    assert counted[0] >= story.through_kill_counted[-1]


def test_a_server_told_to_end_ends_well(story: Story) -> None:
    assert story.exit_code == 0
    assert {answer.status for answer in story.through_end.answers} == {200}


def test_every_answer_of_a_server_told_to_end_is_logged_once(crew: Crew, story: Story) -> None:
    answered = [answer.id for answer in story.through_end.of("ending")]
    rows = [row.id for row in logged(crew.fleet, "ending")]

    assert len(answered) > BATCH / 2
    assert set(answered) <= set(rows)
    assert len(rows) == len(set(rows))
