"""Several processes of one server: they serve as one, show their metrics as one, and any of them may go."""

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import pytest
import redis as redis_client
from tests import models
from tests.e2e.load import ask_at_once
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.production.conftest import MakeFleet
from tests.production.fleet import QUICK, Fleet
from tests.production.load import Load, load
from tests.production.watching import logged, readings
from tests.server import COMMAND, PATIENCE_S, Server, attempt_to_serve, environment, eventually, serving
from tests.service import free_ports
from tests.services import PostgreSQL

from serinus.boards.redis import evidence
from serinus.cli.exits import ExitCode
from serinus.client import Client

pytestmark = pytest.mark.timeout(300)
WORKERS = 2
SOON_S = 20.0
"""Long enough for a busy machine, and far too short for anybody who waits until a silent worker is given up."""
KILLS = 8
WATCHED_S = 12
LOOKS = 8
"""How often metrics are read to see that it does not matter who answers."""
BATCH = 50
CALLERS = 3
PACE_S = {"prod": 0.03}
BY_HAND = {"auto_promote": False, "auto_rollback": False}


@dataclass(frozen=True)
class Crew:
    """A server of several workers, on a port that is known before it listens."""

    fleet: Fleet
    server: Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pids(self) -> set[int]:
        """Give the workers' processes."""
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        return {int(pid) for pid in children if b"spawn_main" in command_of(pid)}

    def is_whole(self, *, without: Collection[int] = ()) -> bool:
        """Say whether all workers run, and none of those."""
        pids = self.pids()
        return len(pids) == WORKERS and pids.isdisjoint(without)

    def served(self, rollout: str) -> Counter[int]:
        """Count what each process answered in a rollout, by what it reports to the board."""
        key = f"{self.fleet.settings['SERINUS_REDIS_PREFIX']}evidence:{rollout}"
        with redis_client.Redis.from_url(self.fleet.settings["SERINUS_REDIS_URL"], decode_responses=True) as board:
            reports = [evidence.read(rollout, name, value) for name, value in board.hgetall(key).items()]
        return Counter(
            {
                int(each.gateway.split(":")[1]): sum(counts.requests for counts in each.evidence.values())
                for each in reports
            }
        )

    def counted(self, deployment: str) -> float:
        """Read from the metrics, by a new connection, how many predictions there were."""
        begin = f'prediction_requests_total{{deployment="{deployment}"'
        return sum(value for series, value in readings(self.url).items() if series.startswith(begin))

    @contextmanager
    def counting(self, deployment: str) -> Iterator[list[float]]:
        """Read that again and again until the block ends."""
        seen: list[float] = []
        ended = Event()

        def count() -> None:
            while not ended.wait(0.02):
                with suppress(OSError):  # whoever was asked was killed
                    seen.append(self.counted(deployment))

        with ThreadPoolExecutor(1) as thread:
            work = thread.submit(count)
            try:
                yield seen
            finally:
                ended.set()
                work.result()


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


def begun(fleet: Fleet, name: str) -> Crew:
    """Start a server of several workers, and give it when one of them serves."""
    (port,) = free_ports(1)
    crew = Crew(fleet, fleet.begin(name, "--workers", str(WORKERS), "--port", str(port)), port)
    assert eventually(lambda: is_ready(crew.url) or crew.server.process.poll() is not None)
    assert crew.server.process.poll() is None, crew.server.stderr
    return crew


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory, new_fleet: MakeFleet) -> Iterator[Crew]:
    """A server of two workers with risk@1 and risk@2; it judges its canaries itself."""
    with new_fleet(tmp_path_factory.mktemp("workers")) as fleet:
        crew = begun(fleet, "home")
        with Client(crew.url) as client:
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


def command_of(pid: str) -> bytes:
    """Read what a process runs, nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_ready(url: str) -> bool:
    with suppress(OSError):
        readings(url)
        return True
    return False


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


def test_workers_end_when_their_server_is_killed(tmp_path: Path, fleet: Fleet) -> None:
    crew = begun(fleet, "home")
    assert eventually(lambda: len(crew.pids()) == WORKERS)
    workers = crew.pids()

    crew.server.kill()

    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not is_ready(crew.url)


def test_workers_killed_again_and_again_are_each_replaced_soon_and_the_server_ends_when_told(fleet: Fleet) -> None:
    crew = begun(fleet, "home")
    assert eventually(crew.is_whole)
    waited: list[float] = []
    for number in range(KILLS):
        assert eventually(lambda: is_ready(crew.url))
        killed = min(crew.pids())
        if number % 2:  # whoever looks whether it lives gets no answer, and then sees it die
            os.kill(killed, signal.SIGSTOP)
            time.sleep(1.0)
        os.kill(killed, signal.SIGKILL)
        killed_at = time.monotonic()
        assert eventually(partial(crew.is_whole, without={killed}), SOON_S)
        waited.append(time.monotonic() - killed_at)
    say(f"replaced after {', '.join(f'{each:.2f}' for each in waited)} s")

    os.kill(max(crew.pids()), signal.SIGKILL)
    crew.server.process.send_signal(signal.SIGTERM)

    assert crew.server.process.wait(SOON_S) == ExitCode.OK


def test_a_silent_worker_keeps_nobody_from_being_replaced_and_is_replaced_itself(fleet: Fleet) -> None:
    crew = begun(fleet, "home")
    assert eventually(crew.is_whole)
    silent, killed = crew.pids()
    os.kill(silent, signal.SIGSTOP)
    time.sleep(1.0)

    os.kill(killed, signal.SIGKILL)

    assert eventually(lambda: crew.is_whole(without={killed}), SOON_S)
    assert silent in crew.pids()
    assert eventually(lambda: crew.is_whole(without={silent, killed}))
    assert eventually(lambda: is_ready(crew.url))


def test_a_worker_that_dies_whenever_it_starts_is_started_ever_more_seldom(fleet: Fleet) -> None:
    crew = begun(fleet, "home")
    assert eventually(crew.is_whole)
    kept = min(crew.pids())
    os.kill(max(crew.pids()), signal.SIGKILL)
    started: set[int] = set()
    watched_until = time.monotonic() + WATCHED_S
    while time.monotonic() < watched_until:
        for pid in crew.pids() - {kept} - started:
            started.add(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    say(f"started {len(started)} times in {WATCHED_S} s")

    assert 0 < len(started) < WATCHED_S
    assert is_ready(crew.url)
    assert eventually(crew.is_whole)


# ---------------------------------------------------------------------------------------------- refused


def test_a_server_none_of_whose_workers_can_start_ends(fleet: Fleet) -> None:
    (nobody,) = free_ports(1)
    nowhere = fleet.settings | {"SERINUS_DATABASE_URL": f"postgresql://someone@127.0.0.1:{nobody}/serinus"}

    attempt = attempt_to_serve(fleet.folder / "home", "--workers", str(WORKERS), **nowhere)

    assert attempt.returncode == ExitCode.FAILURE
    assert str(nobody) in attempt.stderr


def attempt_to_check(home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a checker that is expected not to start, to its end."""
    return subprocess.run(
        [*COMMAND, "check", "--home", str(home), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(),
    )


@pytest.mark.parametrize("arguments", [["--workers", "2"], ["--no-checker"]], ids=" ".join)
def test_what_needs_redis_is_refused_without_it(tmp_path: Path, arguments: list[str]) -> None:
    attempt = attempt_to_serve(tmp_path / "home", *arguments)

    assert attempt.returncode == ExitCode.USAGE
    assert "SERINUS_REDIS_URL" in attempt.stderr


def test_a_checker_of_its_own_is_refused_without_redis(tmp_path: Path) -> None:
    attempt = attempt_to_check(tmp_path / "home")

    assert attempt.returncode == ExitCode.USAGE
    assert "SERINUS_REDIS_URL" in attempt.stderr


def test_a_second_embedded_board_on_one_database_is_refused(tmp_path: Path, postgresql: PostgreSQL) -> None:
    database = postgresql.url(postgresql.create_database())
    with serving(tmp_path / "first", SERINUS_DATABASE_URL=database, **QUICK) as first:
        asked_at = time.monotonic()
        attempt = attempt_to_serve(tmp_path / "second", SERINUS_DATABASE_URL=database, **QUICK)
        say(f"refused after {time.monotonic() - asked_at:.1f} s")

        with first.http() as http:
            assert http.get("/health/ready").status_code == 200
    assert attempt.returncode == ExitCode.FAILURE
    assert str(tmp_path / "first") in attempt.stderr
    assert "SERINUS_REDIS_URL" in attempt.stderr
