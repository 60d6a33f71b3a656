"""What processes that would not see each other are not started for, and servers that cannot start at all."""

import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.reporting import say
from tests.production.crew import WORKERS
from tests.production.fleet import QUICK, Fleet
from tests.server import COMMAND, PATIENCE_S, attempt_to_serve, environment, serving
from tests.service import free_ports
from tests.services import PostgreSQL

from serinus.cli.exits import ExitCode


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
