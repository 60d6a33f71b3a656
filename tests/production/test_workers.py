"""Several processes of one server: they serve as one, show their metrics as one, and any of them may go."""

import asyncio
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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

WORKERS = 2
LOOKS = 8
"""How often metrics are read to see that it does not matter who answers."""
BATCH = 50
BY_HAND = {"auto_promote": False, "auto_rollback": False}


@dataclass(frozen=True)
class Crew:
    """A server of several workers, on a port that is known before it listens."""

    fleet: Fleet
    server: Server
    port: int

    def pids(self) -> set[int]:
        """Give the workers' processes."""
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}

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
        return sum(value for series, value in readings(self.server).items() if series.startswith(begin))

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
