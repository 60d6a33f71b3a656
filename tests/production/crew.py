"""A server of several workers, which a test may look into and do harm to."""

from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Event

import redis as redis_client
from tests.production.fleet import Fleet
from tests.production.watching import readings
from tests.server import Server, eventually
from tests.service import free_ports

from serinus.boards.redis import evidence

WORKERS = 2


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
        return {worker for nursery in self.nurseries() for worker in children_of(nursery)}

    def nurseries(self) -> list[int]:
        """Give the process, if there is one, of which the workers are copies."""
        return [child for child in children_of(self.server.pid) if b"forkserver" in command_of(child)]

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
            while not ended.wait(0.05):
                with suppress(OSError, HTTPException):  # whoever was asked was killed
                    seen.append(self.counted(deployment))

        with ThreadPoolExecutor(1) as thread:
            work = thread.submit(count)
            try:
                yield seen
            finally:
                ended.set()
                work.result()


def begun(fleet: Fleet, name: str) -> Crew:
    """Start a server of several workers, and give it when one of them serves."""
    (port,) = free_ports(1)
    # While a worker starts, on a machine that is busy with other tests, a model may have to wait for the processor.
    settings = {"SERINUS_PREDICT_TIMEOUT": "5"}
    crew = Crew(fleet, fleet.begin(name, "--workers", str(WORKERS), "--port", str(port), **settings), port)
    assert eventually(lambda: is_ready(crew.url) or crew.server.process.poll() is not None)
    assert crew.server.process.poll() is None, crew.server.stderr
    return crew


def children_of(pid: int) -> list[int]:
    """Read which processes a process has begun, none if it has ended."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def command_of(pid: int) -> bytes:
    """Read what a process runs, nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_ready(url: str) -> bool:
    with suppress(OSError, HTTPException):
        readings(url)
        return True
    return False
