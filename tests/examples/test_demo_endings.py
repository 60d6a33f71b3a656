"""However `canary demo` ends, it takes with it what it started."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.terminal import at_terminal, environment
from tests.examples.leftovers import assert_nothing_is_left, console, processes_of, written

from serinus.client import DocumentClient
from serinus.examples.heart_disease import demo, server
from serinus.examples.heart_disease.models import Candidate, train

NO_STORY = (
    "import sys; from rich.console import Console; from serinus.examples.heart_disease import demo; "
    "demo.tell = lambda narrator, url, *rest: bool(url()); sys.exit(demo.run(True, Console(markup=False)))"
)
"""The demo with --keep, without the story in between."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_demo_cleans_up_when_it_is_ended_early(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with at_terminal("demo", TMPDIR=str(tmp_path)) as terminal:
        terminal.wait_for("to heart@2")
        assert processes_of(tmp_path) != []
        terminal.process.send_signal(number)

        assert terminal.end() == code
    assert "Traceback" not in terminal.screen
    assert_nothing_is_left(tmp_path)


def test_a_server_that_is_kept_answers_until_ctrl_c_and_its_data_stay(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", NO_STORY],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    with process.stdout as lines:
        said = []
        for line in lines:
            said.append(line)
            if "Ctrl-C" in line:
                break
        url = re.search(r"export SERINUS_URL=(\S+)", "".join(said))
        assert url is not None, "".join(said)
        with DocumentClient(url[1]) as client:
            assert client.server_health()
        process.send_signal(signal.SIGINT)
        rest = lines.read()

    assert process.wait(30) == 0
    (folder,) = tmp_path.glob("serinus-demo-*")
    assert f"serve --home {folder}/home" in rest
    assert (folder / "home" / "serinus.db").exists()
    assert processes_of(tmp_path) == []


def test_a_server_that_does_not_start_is_explained_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(server, "_environment", lambda: {**os.environ, "SERINUS_CHECK_INTERVAL": "soon"})
    out = console()

    code = demo.run(keep=True, console=out)

    assert code == 1
    assert "could not start" in written(out)
    assert "SERINUS_CHECK_INTERVAL" in written(out)
    assert_nothing_is_left(tmp_path)


def test_a_server_that_dies_on_the_way_ends_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = console()

    def trained() -> Sequence[Candidate]:
        # The folder's name stands in the server's command line.
        while not list(tmp_path.glob("serinus-demo-*/home/server.json")):
            time.sleep(0.05)
        announced = next(tmp_path.glob("serinus-demo-*/home/server.json"))
        os.kill(int(re.findall(r'"pid": (\d+)', announced.read_text())[0]), signal.SIGKILL)
        return train()

    code = demo.run(keep=False, console=out, trained=trained)

    assert code == 1
    assert "Error: " in written(out)
    assert_nothing_is_left(tmp_path)
