"""The README is true: its commands run, its tables are complete."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
import typer
from tests.docs.tables import PLACE, PROOF, README, proof_table, settings_table

from serinus.cli.app import app as command_line
from serinus.http.app import control_plane

TEXT = README.read_text()
REPOSITORY = README.parent


class Block(NamedTuple):
    """A block of code: its language and its text."""

    language: str
    text: str


def tour() -> list[Block]:
    """Give the blocks of the five-minute tour, in order."""
    section = TEXT.split("\n## Your own model", 1)[1].split("\n## ", 1)[0]
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run the README's `canary serve` at a free port, and give the environment of a user beside it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SERINUS_URL": url, "NO_COLOR": "1"}
    serve = next(block.text for block in tour() if block.text == "canary serve\n")
    process = subprocess.Popen([*serve.split(), "--port", str(port)], cwd=tmp_path, env=environment)
    try:
        _wait_until_ready(url)
        yield environment
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _wait_until_ready(url: str) -> None:
    for _ in range(300):
        try:
            if httpx2.get(f"{url}/health/ready").is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"no server at {url}")


@pytest.mark.timeout(300)  # some thirty programs, one after the other, on a machine that may be busy
def test_the_tour_runs_as_written_and_ends_as_it_says(server: dict[str, str], tmp_path: Path) -> None:
    shown = []
    for block in tour():
        if block.language == "python":
            name = block.text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(block.text)
        elif block.text != "canary serve\n":
            script = f"set -eu\n{block.text}"
            ran = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=server, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{block.text}\n{ran.stdout}\n{ran.stderr}"
            shown.append(ran.stdout)
    before_undo = "".join(shown[:-1])
    assert "promoted" in before_undo
    assert '"auto_promotion_triggered"' in shown[-1]
    assert '"promotion_undone"' in shown[-1]


def test_the_two_commands_are_targets_of_make() -> None:
    section = TEXT.split("\n## Two commands", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"^\$ make (\w+)", section, re.MULTILINE)
    assert commands == ["demo", "test"]
    for target in commands:
        dry_run = subprocess.run(
            [shutil.which("make") or "make", "--dry-run", target],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert dry_run.returncode == 0, dry_run.stderr


def test_the_table_of_settings_is_that_of_the_settings() -> None:
    found = PLACE.search(TEXT)
    assert found is not None
    assert found[0] == settings_table(), "write it anew: python -m tests.docs.tables"


def test_the_table_of_the_proof_is_what_was_found() -> None:
    found = PROOF.search(TEXT)
    assert found is not None
    assert found[0] == proof_table(), "write it anew: python -m tests.docs.tables"


def test_the_table_of_commands_names_every_command() -> None:
    commands = typer.main.get_command(command_line)
    names = set(getattr(commands, "commands", {}))
    section = TEXT.split("\n## Command line", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`canary (\w+)`", section)) == names


def test_the_table_of_routes_names_every_route() -> None:
    section = TEXT.split("\n## HTTP API", 1)[1].split("\n## ", 1)[0]
    written = set(re.findall(r"`(GET|POST|PUT|PATCH) (/[^`]*)`", section))
    assert written == set(_routes())


def _routes() -> Iterator[tuple[str, str]]:
    paths = control_plane(lambda: pytest.fail("not started")).openapi()["paths"]
    for path, methods in paths.items():
        for method in methods:
            yield method.upper(), path


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []
