"""Workers that die or fall silent are replaced, however often, and none outlives its server."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.reporting import say
from tests.production.crew import WORKERS, begun, is_ready
from tests.production.fleet import Fleet
from tests.server import eventually

from serinus.cli.exits import ExitCode

pytestmark = pytest.mark.timeout(300)
SOON_S = 20.0
"""Long enough for a busy machine, and far too short for anybody who waits until a silent worker is given up."""
KILLS = 8
WATCHED_S = 12


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


def test_workers_are_replaced_when_what_they_are_copies_of_was_killed(fleet: Fleet) -> None:
    crew = begun(fleet, "home")
    assert eventually(crew.is_whole)
    old = crew.pids()
    (nursery,) = crew.nurseries()

    os.kill(nursery, signal.SIGKILL)

    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old))
    assert eventually(partial(crew.is_whole, without=old))
    assert eventually(lambda: is_ready(crew.url))
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
